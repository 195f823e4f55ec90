// verify typed
// A format whose blocks do not fit the columns, and a vector that is not f32.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = [], format = "f16"} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %a = "samp.weight"() {key = "a", sources = ["a.weight"], transforms = [], format = "nf4"} : () -> tensor<8x8xbf16>
  %b = "samp.weight"() {key = "b", sources = ["b.weight"], transforms = [], format = "f16"} : () -> tensor<8xbf16>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
