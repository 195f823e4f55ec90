// verify model
// A norm of heads that do not divide the row, one with a weight for the whole row, and one of two heads as it should be.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %a = "samp.weight"() {key = "a", sources = ["a.weight"], transforms = []} : () -> tensor<4xbf16>
  %b = "samp.weight"() {key = "b", sources = ["b.weight"], transforms = []} : () -> tensor<8xbf16>
  %l = "samp.rms_norm"(%x, %a) {label = "l", heads = 3 : i64, eps = 1.0e-5} : (tensor<?x8xf32>, tensor<4xbf16>) -> tensor<?x8xf32>
  %m = "samp.rms_norm"(%x, %b) {label = "m", heads = 2 : i64, eps = 1.0e-5} : (tensor<?x8xf32>, tensor<8xbf16>) -> tensor<?x8xf32>
  %n = "samp.rms_norm"(%x, %a) {label = "n", heads = 2 : i64, eps = 1.0e-5} : (tensor<?x8xf32>, tensor<4xbf16>) -> tensor<?x8xf32>
  %y = "samp.gather"(%n, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
