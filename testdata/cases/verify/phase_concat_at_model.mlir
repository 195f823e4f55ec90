// verify model
// Nothing is put together before fusion.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %z = "samp.concat"(%x, %x) {label = "z"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x16xf32>
  %y = "samp.silu_mul"(%x, %x) {label = "act"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %g = "samp.gather"(%y, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %g : tensor<?x8xf32>
}
