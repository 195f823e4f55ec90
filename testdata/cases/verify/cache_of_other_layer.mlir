// verify fused
// Attention to the cache of another layer, and to one that nothing was appended to.
func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
  %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %x = "samp.embed"(%tokens, %table) {label = "embed_tokens"} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
  %wqkv = "samp.weight"() {key = "qkv", sources = ["qkv.weight"], transforms = []} : () -> tensor<16x8xbf16>
  %qkv = "samp.linear"(%x, %wqkv) {label = "qkv"} : (tensor<?x8xf32>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %q, %c = "samp.rope_append"(%qkv, %positions, %kv) {label = "append", layer = 1 : i64, heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64} : (tensor<?x16xf32>, tensor<?xi32>, !samp.kv) -> (tensor<?x8xf32>, !samp.kv)
  %z = "samp.paged_attention"(%q, %c) {label = "attention", layer = 0 : i64, heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, window = 0 : i64} : (tensor<?x8xf32>, !samp.kv) -> tensor<?x8xf32>
  %w2 = "samp.paged_attention"(%q, %kv) {label = "second", layer = 0 : i64, heads = 2 : i64, kv_heads = 1 : i64, head_dim = 4 : i64, window = 0 : i64} : (tensor<?x8xf32>, !samp.kv) -> tensor<?x8xf32>
  %y = "samp.gather"(%z, %outputs) {label = "outputs"} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
