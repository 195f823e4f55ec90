// verify model
// A weight of integers, one without a key and one without rows.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %a = "samp.weight"() {key = "a", sources = ["a.weight"], transforms = []} : () -> tensor<8x8xi32>
  %b = "samp.weight"() {key = "", sources = ["b"], transforms = []} : () -> tensor<8x8xbf16>
  %c = "samp.weight"() {key = "c", sources = ["c.weight"], transforms = []} : () -> tensor<0x8xbf16>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
