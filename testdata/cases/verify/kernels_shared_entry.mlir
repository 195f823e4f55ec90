// verify selected
// Buckets of one entry that do not ascend, and one that is no number.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = [], format = "f16", layout = "row_major"} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens", kernels = ["1,16:k"]} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %z = "samp.add"(%x, %x) {label = "z", kernels = ["1,:k"]} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = "samp.gather"(%z, %outputs) {label = "outputs", kernels = ["16,1:k"]} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
