// fuse_qkv
// Biases are joined like the weights.
func.func @forward(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>, %arg3: !samp.kv) -> tensor<?x256xf32> {
  %0 = "samp.weight"() {key = "embed_tokens", sources = ["model.embed_tokens.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %1 = "samp.embed"(%arg0, %0) {label = "embed_tokens"} : (tensor<?xi32>, tensor<256x64xbf16>) -> tensor<?x64xf32>
  %2 = "samp.weight"() {key = "layers.0.input_layernorm", sources = ["model.layers.0.input_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %3 = "samp.rms_norm"(%1, %2) {eps = 1.000000e-05 : f64, label = "layers.0.input_layernorm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %4 = "samp.weight"() {key = "layers.0.self_attn.q_proj", sources = ["model.layers.0.self_attn.q_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %5 = "samp.weight"() {key = "layers.0.self_attn.q_proj.bias", sources = ["model.layers.0.self_attn.q_proj.bias"], transforms = []} : () -> tensor<64xbf16>
  %6 = "samp.linear"(%3, %4, %5) {label = "layers.0.self_attn.q_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>, tensor<64xbf16>) -> tensor<?x64xf32>
  %7 = "samp.weight"() {key = "layers.0.self_attn.k_proj", sources = ["model.layers.0.self_attn.k_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %8 = "samp.weight"() {key = "layers.0.self_attn.k_proj.bias", sources = ["model.layers.0.self_attn.k_proj.bias"], transforms = []} : () -> tensor<32xbf16>
  %9 = "samp.linear"(%3, %7, %8) {label = "layers.0.self_attn.k_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>, tensor<32xbf16>) -> tensor<?x32xf32>
  %10 = "samp.weight"() {key = "layers.0.self_attn.v_proj", sources = ["model.layers.0.self_attn.v_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %11 = "samp.weight"() {key = "layers.0.self_attn.v_proj.bias", sources = ["model.layers.0.self_attn.v_proj.bias"], transforms = []} : () -> tensor<32xbf16>
  %12 = "samp.linear"(%3, %10, %11) {label = "layers.0.self_attn.v_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>, tensor<32xbf16>) -> tensor<?x32xf32>
  %13 = "samp.rope"(%6, %arg1) {head_dim = 16 : i64, heads = 4 : i64, label = "layers.0.self_attn.q_rope"} : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %14 = "samp.rope"(%9, %arg1) {head_dim = 16 : i64, heads = 2 : i64, label = "layers.0.self_attn.k_rope"} : (tensor<?x32xf32>, tensor<?xi32>) -> tensor<?x32xf32>
  %15 = "samp.attention"(%13, %14, %12, %arg3) {head_dim = 16 : i64, heads = 4 : i64, kv_heads = 2 : i64, label = "layers.0.self_attn", layer = 0 : i64, window = 0 : i64} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>, !samp.kv) -> tensor<?x64xf32>
  %16 = "samp.weight"() {key = "layers.0.self_attn.o_proj", sources = ["model.layers.0.self_attn.o_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %17 = "samp.weight"() {key = "layers.0.self_attn.o_proj.bias", sources = ["model.layers.0.self_attn.o_proj.bias"], transforms = []} : () -> tensor<64xbf16>
  %18 = "samp.linear"(%15, %16, %17) {label = "layers.0.self_attn.o_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>, tensor<64xbf16>) -> tensor<?x64xf32>
  %19 = "samp.add"(%1, %18) {label = "layers.0.self_attn.residual"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %20 = "samp.weight"() {key = "layers.0.post_attention_layernorm", sources = ["model.layers.0.post_attention_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %21 = "samp.rms_norm"(%19, %20) {eps = 1.000000e-05 : f64, label = "layers.0.post_attention_layernorm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %22 = "samp.weight"() {key = "layers.0.mlp.gate_proj", sources = ["model.layers.0.mlp.gate_proj.weight"], transforms = []} : () -> tensor<128x64xbf16>
  %23 = "samp.weight"() {key = "layers.0.mlp.gate_proj.bias", sources = ["model.layers.0.mlp.gate_proj.bias"], transforms = []} : () -> tensor<128xbf16>
  %24 = "samp.linear"(%21, %22, %23) {label = "layers.0.mlp.gate_proj"} : (tensor<?x64xf32>, tensor<128x64xbf16>, tensor<128xbf16>) -> tensor<?x128xf32>
  %25 = "samp.weight"() {key = "layers.0.mlp.up_proj", sources = ["model.layers.0.mlp.up_proj.weight"], transforms = []} : () -> tensor<128x64xbf16>
  %26 = "samp.weight"() {key = "layers.0.mlp.up_proj.bias", sources = ["model.layers.0.mlp.up_proj.bias"], transforms = []} : () -> tensor<128xbf16>
  %27 = "samp.linear"(%21, %25, %26) {label = "layers.0.mlp.up_proj"} : (tensor<?x64xf32>, tensor<128x64xbf16>, tensor<128xbf16>) -> tensor<?x128xf32>
  %28 = "samp.silu_mul"(%24, %27) {label = "layers.0.mlp.act"} : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  %29 = "samp.weight"() {key = "layers.0.mlp.down_proj", sources = ["model.layers.0.mlp.down_proj.weight"], transforms = []} : () -> tensor<64x128xbf16>
  %30 = "samp.weight"() {key = "layers.0.mlp.down_proj.bias", sources = ["model.layers.0.mlp.down_proj.bias"], transforms = []} : () -> tensor<64xbf16>
  %31 = "samp.linear"(%28, %29, %30) {label = "layers.0.mlp.down_proj"} : (tensor<?x128xf32>, tensor<64x128xbf16>, tensor<64xbf16>) -> tensor<?x64xf32>
  %32 = "samp.add"(%19, %31) {label = "layers.0.mlp.residual"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %33 = "samp.gather"(%32, %arg2) {label = "outputs"} : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %34 = "samp.weight"() {key = "norm", sources = ["model.norm.weight"], transforms = []} : () -> tensor<64xbf16>
  %35 = "samp.rms_norm"(%33, %34) {eps = 1.000000e-05 : f64, label = "norm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %36 = "samp.weight"() {key = "lm_head", sources = ["lm_head.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %37 = "samp.linear"(%35, %36) {label = "lm_head"} : (tensor<?x64xf32>, tensor<256x64xbf16>) -> tensor<?x256xf32>
  return %37 : tensor<?x256xf32>
}
