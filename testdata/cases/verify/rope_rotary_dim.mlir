// verify model
// More of a head is turned than there is, an odd part of it, and a part as it should be.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %a = "samp.rope"(%x, %positions) {label = "a", heads = 2 : i64, head_dim = 4 : i64, rotary_dim = 6 : i64} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %b = "samp.rope"(%x, %positions) {label = "b", heads = 2 : i64, head_dim = 4 : i64, rotary_dim = 3 : i64} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %c = "samp.rope"(%x, %positions) {label = "c", heads = 2 : i64, head_dim = 4 : i64, rotary_dim = 2 : i64} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %y = "samp.gather"(%c, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
