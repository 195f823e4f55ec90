// rotate 7
// Norms of queries and keys meet no stream: values are turned against o_proj, queries and keys are left alone.
func.func @forward(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>, %arg3: !samp.kv) -> tensor<?x256xf32> {
  %0 = "samp.weight"() {key = "embed_tokens", sources = ["model.embed_tokens.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %1 = "samp.embed"(%arg0, %0) {label = "embed_tokens"} : (tensor<?xi32>, tensor<256x64xbf16>) -> tensor<?x64xf32>
  %2 = "samp.weight"() {key = "layers.0.input_layernorm", sources = ["model.layers.0.input_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %3 = "samp.rms_norm"(%1, %2) {eps = 1.000000e-05 : f64, label = "layers.0.input_layernorm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %wq = "samp.weight"() {key = "layers.0.self_attn.q_proj", sources = ["model.layers.0.self_attn.q_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %q = "samp.linear"(%3, %wq) {label = "layers.0.self_attn.q_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>) -> tensor<?x64xf32>
  %wk = "samp.weight"() {key = "layers.0.self_attn.k_proj", sources = ["model.layers.0.self_attn.k_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %k = "samp.linear"(%3, %wk) {label = "layers.0.self_attn.k_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>) -> tensor<?x32xf32>
  %wv = "samp.weight"() {key = "layers.0.self_attn.v_proj", sources = ["model.layers.0.self_attn.v_proj.weight"], transforms = []} : () -> tensor<32x64xbf16>
  %v = "samp.linear"(%3, %wv) {label = "layers.0.self_attn.v_proj"} : (tensor<?x64xf32>, tensor<32x64xbf16>) -> tensor<?x32xf32>
  %gq = "samp.weight"() {key = "layers.0.self_attn.q_norm", sources = ["model.layers.0.self_attn.q_norm.weight"], transforms = []} : () -> tensor<16xbf16>
  %qn = "samp.rms_norm"(%q, %gq) {eps = 1.000000e-05 : f64, heads = 4 : i64, label = "layers.0.self_attn.q_norm"} : (tensor<?x64xf32>, tensor<16xbf16>) -> tensor<?x64xf32>
  %gk = "samp.weight"() {key = "layers.0.self_attn.k_norm", sources = ["model.layers.0.self_attn.k_norm.weight"], transforms = []} : () -> tensor<16xbf16>
  %kn = "samp.rms_norm"(%k, %gk) {eps = 1.000000e-05 : f64, heads = 2 : i64, label = "layers.0.self_attn.k_norm"} : (tensor<?x32xf32>, tensor<16xbf16>) -> tensor<?x32xf32>
  %5 = "samp.concat"(%qn, %kn, %v) {label = "layers.0.self_attn.qkv_proj"} : (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x128xf32>
  %6:2 = "samp.rope_append"(%5, %arg1, %arg3) {head_dim = 16 : i64, heads = 4 : i64, kv_heads = 2 : i64, label = "layers.0.self_attn.rope", layer = 0 : i64} : (tensor<?x128xf32>, tensor<?xi32>, !samp.kv) -> (tensor<?x64xf32>, !samp.kv)
  %7 = "samp.paged_attention"(%6#0, %6#1) {head_dim = 16 : i64, heads = 4 : i64, kv_heads = 2 : i64, label = "layers.0.self_attn", layer = 0 : i64, window = 0 : i64} : (tensor<?x64xf32>, !samp.kv) -> tensor<?x64xf32>
  %8 = "samp.weight"() {key = "layers.0.self_attn.o_proj", sources = ["model.layers.0.self_attn.o_proj.weight"], transforms = []} : () -> tensor<64x64xbf16>
  %bo = "samp.weight"() {key = "layers.0.self_attn.o_proj.bias", sources = ["model.layers.0.self_attn.o_proj.bias"], transforms = []} : () -> tensor<64xbf16>
  %9 = "samp.linear"(%7, %8, %bo) {label = "layers.0.self_attn.o_proj"} : (tensor<?x64xf32>, tensor<64x64xbf16>, tensor<64xbf16>) -> tensor<?x64xf32>
  %10 = "samp.weight"() {key = "layers.0.post_attention_layernorm", sources = ["model.layers.0.post_attention_layernorm.weight"], transforms = []} : () -> tensor<64xbf16>
  %11:2 = "samp.add_rms_norm"(%9, %1, %10) {eps = 1.000000e-05 : f64, label = "layers.0.post_attention_layernorm"} : (tensor<?x64xf32>, tensor<?x64xf32>, tensor<64xbf16>) -> (tensor<?x64xf32>, tensor<?x64xf32>)
  %12 = "samp.weight"() {key = "layers.0.mlp.gate_up_proj", sources = ["model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"], transforms = ["concat"]} : () -> tensor<256x64xbf16>
  %13 = "samp.linear"(%11#1, %12) {label = "layers.0.mlp.gate_up_proj"} : (tensor<?x64xf32>, tensor<256x64xbf16>) -> tensor<?x256xf32>
  %14 = "samp.silu_mul"(%13) {label = "layers.0.mlp.act"} : (tensor<?x256xf32>) -> tensor<?x128xf32>
  %15 = "samp.weight"() {key = "layers.0.mlp.down_proj", sources = ["model.layers.0.mlp.down_proj.weight"], transforms = []} : () -> tensor<64x128xbf16>
  %bd = "samp.weight"() {key = "layers.0.mlp.down_proj.bias", sources = ["model.layers.0.mlp.down_proj.bias"], transforms = []} : () -> tensor<64xbf16>
  %16 = "samp.linear"(%14, %15, %bd) {label = "layers.0.mlp.down_proj"} : (tensor<?x128xf32>, tensor<64x128xbf16>, tensor<64xbf16>) -> tensor<?x64xf32>
  %17 = "samp.add"(%11#0, %16) {label = "layers.0.mlp.residual"} : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  %18 = "samp.gather"(%17, %arg2) {label = "outputs"} : (tensor<?x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %19 = "samp.weight"() {key = "norm", sources = ["model.norm.weight"], transforms = []} : () -> tensor<64xbf16>
  %20 = "samp.rms_norm"(%18, %19) {eps = 1.000000e-05 : f64, label = "norm"} : (tensor<?x64xf32>, tensor<64xbf16>) -> tensor<?x64xf32>
  %21 = "samp.weight"() {key = "lm_head", sources = ["lm_head.weight"], transforms = []} : () -> tensor<256x64xbf16>
  %22 = "samp.linear"(%20, %21) {label = "lm_head"} : (tensor<?x64xf32>, tensor<256x64xbf16>) -> tensor<?x256xf32>
  return %22 : tensor<?x256xf32>
}
