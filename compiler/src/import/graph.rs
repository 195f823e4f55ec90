//! The model-phase graph, built from the config alone; see `parameters` for the tensors that its weights name.

use std::collections::BTreeMap;

use samp_ir::{AttentionSpec, Builder, Context, Dtype, Module, TensorType, ValueId};

use super::{
    config::ModelConfig,
    parameter::{Parameter, parameters},
};

/// Builds the graph, whose every weight is one of [`parameters`]; `dtype_of` gives the element type of a checkpoint
/// tensor. A tied head reads the embedding's table.
pub fn build_graph(context: &Context, config: &ModelConfig, dtype_of: &dyn Fn(&str) -> Dtype) -> Module {
    let mut module = Module::new(context);
    let inputs = module.inputs();
    let parameters = parameters(config).into_iter().map(|p| (p.key.clone(), p)).collect();
    let mut graph = Graph { config, dtype_of, parameters, b: module.at_end() };

    let table = graph.weight("embed_tokens");
    let mut x = graph.b.embed("embed_tokens", [inputs.tokens, table], config.model.embedding_scale);
    for layer in 0..config.model.layers {
        x = graph.attention_block(layer, x, [inputs.positions, inputs.kv]);
        x = graph.mlp_block(layer, x);
    }
    let x = graph.b.gather("outputs", x, inputs.outputs);
    let x = graph.norm("norm", x);
    let head = if config.model.tied_embeddings { table } else { graph.weight("lm_head") };
    let logits = graph.b.linear("lm_head", x, head, None);
    module.set_output(logits);
    module
}

struct Graph<'a, 'm> {
    config: &'a ModelConfig,
    dtype_of: &'a dyn Fn(&str) -> Dtype,
    parameters: BTreeMap<String, Parameter>,
    b: Builder<'m>,
}

impl Graph<'_, '_> {
    /// `x + o_proj(attention(norm(x)))`.
    fn attention_block(&mut self, layer: u64, x: ValueId, [positions, kv]: [ValueId; 2]) -> ValueId {
        let model = &self.config.model;
        let spec = AttentionSpec {
            layer,
            heads: model.heads,
            kv_heads: model.kv_heads,
            head_dim: model.head_dim,
            rotary_dim: 2 * model.inv_frequencies(layer).len() as u64,
            window: model.window(layer).unwrap_or(0),
        };
        let label = |name: &str| format!("layers.{layer}.self_attn{name}");
        let normed = self.norm(&format!("layers.{layer}.input_layernorm"), x);
        let [q, k, v] = [".q_proj", ".k_proj", ".v_proj"].map(|name| self.linear(&label(name), normed));
        let q = self.head_norm(&label(".q_norm"), q, spec.heads);
        let k = self.head_norm(&label(".k_norm"), k, spec.kv_heads);
        let turned = |b: &mut Builder<'_>, name: &str, x, heads| match spec.rotary_dim {
            0 => x,
            _ => b.rope(&label(name), [x, positions], heads, spec),
        };
        let q = turned(&mut self.b, ".q_rope", q, spec.heads);
        let k = turned(&mut self.b, ".k_rope", k, spec.kv_heads);
        let attended = self.b.attention(&label(""), [q, k, v], kv, spec);
        let y = self.linear(&label(".o_proj"), attended);
        self.b.add(&label(".residual"), x, y)
    }

    /// `x + down_proj(silu(gate_proj(norm(x))) · up_proj(norm(x)))`.
    fn mlp_block(&mut self, layer: u64, x: ValueId) -> ValueId {
        let label = |name: &str| format!("layers.{layer}.mlp.{name}");
        let normed = self.norm(&format!("layers.{layer}.post_attention_layernorm"), x);
        let gate = self.linear(&label("gate_proj"), normed);
        let up = self.linear(&label("up_proj"), normed);
        let gated = self.b.silu_mul(&label("act"), gate, up);
        let y = self.linear(&label("down_proj"), gated);
        self.b.add(&label("residual"), x, y)
    }

    fn norm(&mut self, key: &str, x: ValueId) -> ValueId {
        let weight = self.weight(key);
        self.b.rms_norm(key, x, weight, self.config.rms_norm_eps)
    }

    /// Queries or keys, each head normalised where the architecture does so.
    fn head_norm(&mut self, key: &str, x: ValueId, heads: u64) -> ValueId {
        if !self.config.head_norms {
            return x;
        }
        let weight = self.weight(key);
        self.b.rms_norm_heads(key, [x, weight], heads, self.config.rms_norm_eps)
    }

    fn linear(&mut self, key: &str, x: ValueId) -> ValueId {
        let weight = self.weight(key);
        let bias = format!("{key}.bias");
        let bias = self.parameters.contains_key(&bias).then(|| self.weight(&bias));
        self.b.linear(key, x, weight, bias)
    }

    /// # Panics
    /// If the architecture has no such parameter, which only a mistake in this file can bring about.
    fn weight(&mut self, key: &str) -> ValueId {
        let parameter = &self.parameters[key];
        let dtype = (self.dtype_of)(&parameter.source);
        let ty = match parameter.shape[..] {
            [rows, cols] => TensorType::matrix(rows, cols, dtype),
            _ => TensorType::vector(parameter.shape.iter().product(), dtype),
        };
        self.b.weight(key, &[&parameter.source], &[], ty)
    }
}
