// verify model
// Several sources that nothing joins, and none.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %a = "samp.weight"() {key = "a", sources = ["p", "q"], transforms = []} : () -> tensor<8x8xbf16>
  %b = "samp.weight"() {key = "b", sources = [], transforms = []} : () -> tensor<8x8xbf16>
  %c = "samp.weight"() {key = "c", sources = ["c.weight"], transforms = ["concat"]} : () -> tensor<8x8xbf16>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
