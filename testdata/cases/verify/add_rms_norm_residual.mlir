// verify fused
// A residual of another width.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %n = "samp.weight"() {key = "n", sources = ["n.weight"], transforms = []} : () -> tensor<8xbf16>
  %wk = "samp.weight"() {key = "k", sources = ["k.weight"], transforms = []} : () -> tensor<4x8xbf16>
  %k = "samp.linear"(%x, %wk) {label = "k"} : (tensor<?x8xf32>, tensor<4x8xbf16>) -> tensor<?x4xf32>
  %s, %z = "samp.add_rms_norm"(%x, %k, %n) {label = "norm", eps = 1.0e-5} : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<8xbf16>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
