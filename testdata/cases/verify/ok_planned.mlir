// verify planned
// Two buffers of 512 bytes in 1,024: nothing to find.
module attributes {samp.arena_bytes = 1024 : i64, samp.max_tokens = 16 : i64} {
  func.func @forward(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %outputs: tensor<?xi32>, %kv: !samp.kv) -> tensor<?x8xf32> {
    %table = "samp.weight"() {key = "embed_tokens", sources = ["embed_tokens.weight"], transforms = [], format = "f16", layout = "row_major"} : () -> tensor<16x8xbf16>
    %x = "samp.embed"(%tokens, %table) {label = "embed_tokens", kernels = ["1:k", "16:k"], offsets = array<i64: 0>} : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xf32>
    %y = "samp.gather"(%x, %outputs) {label = "outputs", kernels = ["1,16:k"], offsets = array<i64: 512>} : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
}
