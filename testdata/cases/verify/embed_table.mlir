// verify model
// A table that is a vector, and a result that is not as wide as the table.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %t = "samp.weight"() {key = "t", sources = ["t.weight"], transforms = []} : () -> tensor<8xbf16>
  %a = "samp.embed"(%tokens, %t) {label = "a"} : (tensor<?xi32>, tensor<8xbf16>) -> tensor<?x8xf32>
  %b = "samp.embed"(%tokens, %table) {label = "b"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
