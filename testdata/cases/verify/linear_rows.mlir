// verify model
// A result that is not as wide as the weight has rows, and a bias of another length.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %w = "samp.weight"() {key = "w", sources = ["w.weight"], transforms = []} : () -> tensor<4x8xbf16>
  %b = "samp.weight"() {key = "b", sources = ["b.weight"], transforms = []} : () -> tensor<8xbf16>
  %z = "samp.linear"(%x, %w) {label = "z"} : (tensor<?x8xf32>, tensor<4x8xbf16>) -> tensor<?x8xf32>
  %k = "samp.linear"(%x, %w, %b) {label = "k"} : (tensor<?x8xf32>, tensor<4x8xbf16>, tensor<8xbf16>) -> tensor<?x4xf32>
  %y = "samp.gather"(%z, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
