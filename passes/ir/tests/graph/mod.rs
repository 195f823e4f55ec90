//! A model-phase graph for the tests: Llama of any depth, width 64.

use samp_ir::{AttentionSpec, Builder, Context, Dtype, Inputs, Module, TensorType, ValueId};

const WIDTH: u64 = 64;
const MLP: u64 = 128;
const VOCABULARY: u64 = 256;
const SPEC: AttentionSpec =
    AttentionSpec { layer: 0, heads: 4, kv_heads: 2, head_dim: 16, rotary_dim: 16, window: 0 };

/// The graph of `layers` layers.
pub fn tiny(context: &Context, layers: u64) -> Module {
    let mut module = Module::new(context);
    let inputs = module.inputs();
    let mut b = module.at_end();
    let table = matrix(&mut b, "embed_tokens", VOCABULARY, WIDTH);
    let mut x = b.embed("embed_tokens", [inputs.tokens, table], 1.0);
    for layer in 0..layers {
        x = attention_block(&mut b, inputs, layer, x);
        x = mlp_block(&mut b, layer, x);
    }
    x = b.gather("outputs", x, inputs.outputs);
    let normed = norm(&mut b, "norm", x);
    let head = matrix(&mut b, "lm_head", VOCABULARY, WIDTH);
    let logits = b.linear("lm_head", normed, head, None);
    module.set_output(logits);
    module
}

fn attention_block(b: &mut Builder<'_>, inputs: Inputs, layer: u64, x: ValueId) -> ValueId {
    let name = |part: &str| format!("layers.{layer}.{part}");
    let spec = AttentionSpec { layer, ..SPEC };
    let normed = norm(b, &name("input_layernorm"), x);
    let q = linear(b, &name("self_attn.q_proj"), normed, (spec.q_width(), WIDTH));
    let k = linear(b, &name("self_attn.k_proj"), normed, (spec.kv_width(), WIDTH));
    let v = linear(b, &name("self_attn.v_proj"), normed, (spec.kv_width(), WIDTH));
    let q = b.rope(&name("self_attn.q_rope"), [q, inputs.positions], spec.heads, spec);
    let k = b.rope(&name("self_attn.k_rope"), [k, inputs.positions], spec.kv_heads, spec);
    let y = b.attention(&name("self_attn"), [q, k, v], inputs.kv, spec);
    let y = linear(b, &name("self_attn.o_proj"), y, (WIDTH, spec.q_width()));
    b.add(&name("self_attn.residual"), x, y)
}

fn mlp_block(b: &mut Builder<'_>, layer: u64, x: ValueId) -> ValueId {
    let name = |part: &str| format!("layers.{layer}.{part}");
    let normed = norm(b, &name("post_attention_layernorm"), x);
    let gate = linear(b, &name("mlp.gate_proj"), normed, (MLP, WIDTH));
    let up = linear(b, &name("mlp.up_proj"), normed, (MLP, WIDTH));
    let y = b.silu_mul(&name("mlp.act"), gate, up);
    let y = linear(b, &name("mlp.down_proj"), y, (WIDTH, MLP));
    b.add(&name("mlp.residual"), x, y)
}

fn matrix(b: &mut Builder<'_>, key: &str, rows: u64, cols: u64) -> ValueId {
    b.weight(key, &[format!("model.{key}.weight")], &[], TensorType::matrix(rows, cols, Dtype::Bf16))
}

fn linear(b: &mut Builder<'_>, label: &str, x: ValueId, (rows, cols): (u64, u64)) -> ValueId {
    let weight = matrix(b, label, rows, cols);
    b.linear(label, x, weight, None)
}

fn norm(b: &mut Builder<'_>, label: &str, x: ValueId) -> ValueId {
    let weight =
        b.weight(label, &[format!("model.{label}.weight")], &[], TensorType::vector(WIDTH, Dtype::Bf16));
    b.rms_norm(label, x, weight, 1e-5)
}
