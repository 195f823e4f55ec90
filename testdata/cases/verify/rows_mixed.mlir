// verify model
// A sum of one row per token with one row per output, and a gather of outputs.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %o = "samp.gather"(%x, %outputs) {label = "first"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %s = "samp.add"(%x, %o) {label = "mixed"} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %p = "samp.gather"(%o, %outputs) {label = "second"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
