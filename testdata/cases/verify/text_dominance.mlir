// verify model
// A use before the definition.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %z = "samp.add"(%x, %later) {label = "z"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %later = "samp.add"(%x, %x) {label = "later"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "samp.gather"(%z, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
