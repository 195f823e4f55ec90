// verify model
// Two appends to the cache of one layer.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %wk = "samp.weight"() {key = "k", sources = ["k.weight"], transforms = []} : () -> tensor<4x8xbf16>
  %k = "samp.linear"(%x, %wk) {label = "k"} : (tensor<?x8xf32>, tensor<4x8xbf16>) -> tensor<?x4xf32>
  %a = "samp.attention"(%x, %k, %k, %kv) {label = "a", layer = 0 : i64, heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, window = 0 : i64} : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>, !samp.kv) -> tensor<?x8xf32>
  %b = "samp.attention"(%x, %k, %k, %kv) {label = "b", layer = 0 : i64, heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, window = 0 : i64} : (tensor<?x8xf32>, tensor<?x4xf32>, tensor<?x4xf32>, !samp.kv) -> tensor<?x8xf32>
  %y = "samp.gather"(%x, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
