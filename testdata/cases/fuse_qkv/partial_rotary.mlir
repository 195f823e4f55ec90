// fuse_qkv
// A part of each head is turned.
func.func @forward(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>, %arg3: !samp.kv) -> tensor<?x256xf32> {
  %0 = "samp.weight"() {key = "embed_tokens", sources = ["model.embed_tokens.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %1 = "samp.embed"(%arg0, %0) {label = "embed_tokens"} : (tensor<?xi32>, tensor<256x64xbf16>) -> tensor<?x64xf32>
  %2 = "samp.weight"() {key = "layers.0.input_layernorm", sources = ["model.layers.0.input_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %3 = "samp.rms_norm"(%1, %2) {eps = 1.000000e-05 : f64, label = "layers.0.input_layernorm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %4 = "samp.weight"() {key = "layers.0.self_attn.q_proj", sources = ["model.layers.0.self_attn.q_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %5 = "samp.linear"(%3, %4) {label = "layers.0.self_attn.q_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
  %6 = "samp.weight"() {key = "layers.0.self_attn.k_proj", sources = ["model.layers.0.self_attn.k_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %7 = "samp.linear"(%3, %6) {label = "layers.0.self_attn.k_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>) -> tensor<?x32xf32>
  %8 = "samp.weight"() {key = "layers.0.self_attn.v_proj", sources = ["model.layers.0.self_attn.v_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %9 = "samp.linear"(%3, %8) {label = "layers.0.self_attn.v_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>) -> tensor<?x32xf32>
  %10 = "samp.rope"(%5, %arg1) {head_dim = 16 : i64, heads = 4 : i64, label = "layers.0.self_attn.q_rope", rotary_dim = 12 : i64} : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %11 = "samp.rope"(%7, %arg1) {head_dim = 16 : i64, heads = 2 : i64, label = "layers.0.self_attn.k_rope", rotary_dim = 12 : i64} : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
  %12 = "samp.attention"(%10, %11, %9, %arg3) {head_dim = 16 : i64, heads = 4 : i64, kv_heads = 2 : i64, label = "layers.0.self_attn", layer = 0 : i64, window = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>, !samp.kv) -> tensor<?x64xf32>
  %13 = "samp.weight"() {key = "layers.0.self_attn.o_proj", sources = ["model.layers.0.self_attn.o_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %14 = "samp.linear"(%12, %13) {label = "layers.0.self_attn.o_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
  %15 = "samp.add"(%1, %14) {label = "layers.0.self_attn.residual"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %16 = "samp.weight"() {key = "layers.0.post_attention_layernorm", sources = ["model.layers.0.post_attention_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %17 = "samp.rms_norm"(%15, %16) {eps = 1.000000e-05 : f64, label = "layers.0.post_attention_layernorm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %18 = "samp.weight"() {key = "layers.0.mlp.gate_proj", sources = ["model.layers.0.mlp.gate_proj.weight"], transforms = []} : () -> tensor<128x64xbf16>
  %19 = "samp.linear"(%17, %18) {label = "layers.0.mlp.gate_proj"} : (tensor<?x64xf32>, tensor<128x64xbf16>) -> tensor<?x128xf32>
  %20 = "samp.weight"() {key = "layers.0.mlp.up_proj", sources = ["model.layers.0.mlp.up_proj.weight"], transforms = []} : () -> tensor<128x64xbf16>
  %21 = "samp.linear"(%17, %20) {label = "layers.0.mlp.up_proj"} : (tensor<?x64xf32>, tensor<128x64xbf16>) -> tensor<?x128xf32>
  %22 = "samp.silu_mul"(%19, %21) {label = "layers.0.mlp.act"} : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  %23 = "samp.weight"() {key = "layers.0.mlp.down_proj", sources = ["model.layers.0.mlp.down_proj.weight"], transforms = []} : () -> tensor<64x128xbf16>
  %24 = "samp.linear"(%22, %23) {label = "layers.0.mlp.down_proj"} : (tensor<?x128xf32>, tensor<64x128xbf16>) -> tensor<?x64xf32>
  %25 = "samp.add"(%15, %24) {label = "layers.0.mlp.residual"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %26 = "samp.gather"(%25, %arg2) {label = "outputs"} : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %27 = "samp.weight"() {key = "norm", sources = ["model.norm.weight"], transforms = []} : () -> tensor<64xbf16>
  %28 = "samp.rms_norm"(%26, %27) {eps = 1.000000e-05 : f64, label = "norm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %29 = "samp.weight"() {key = "lm_head", sources = ["lm_head.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %30 = "samp.linear"(%28, %29) {label = "lm_head"} : (tensor<?x64xf32>, tensor<256x64xbf16>) -> tensor<?x256xf32>
  return %30 : tensor<?x256xf32>
}
