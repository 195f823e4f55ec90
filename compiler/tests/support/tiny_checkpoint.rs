//! A small checkpoint made on the spot, whole or broken in one way.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value, json};

/// A tensor to be written; nothing checks that type, shape and bytes agree.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    pub dtype: String,
    pub shape: Vec<u64>,
    pub bytes: Vec<u8>,
}

/// A two-layer Llama with hidden size 64, 4 heads over 2 key/value heads and a vocabulary of 96.
#[derive(Clone, Debug)]
pub struct TinyCheckpoint {
    pub config: Map<String, Value>,
    pub tensors: BTreeMap<String, StoredTensor>,
}

impl TinyCheckpoint {
    pub fn new() -> TinyCheckpoint {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
            "bos_token_id": 1, "eos_token_id": 2,
        });
        let Value::Object(config) = config else { unreachable!("json! was given an object") };
        let mut tiny = TinyCheckpoint { config, tensors: BTreeMap::new() };
        tiny.add("model.embed_tokens.weight", &[96, 64]);
        for layer in 0..2 {
            let name = |name: &str| format!("model.layers.{layer}.{name}.weight");
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                tiny.add(&name(norm), &[64]);
            }
            for (linear, rows, cols) in [
                ("self_attn.q_proj", 64, 64),
                ("self_attn.k_proj", 32, 64),
                ("self_attn.v_proj", 32, 64),
                ("self_attn.o_proj", 64, 64),
                ("mlp.gate_proj", 128, 64),
                ("mlp.up_proj", 128, 64),
                ("mlp.down_proj", 64, 128),
            ] {
                tiny.add(&name(linear), &[rows, cols]);
            }
        }
        tiny.add("model.norm.weight", &[64]);
        tiny.add("lm_head.weight", &[96, 64]);
        tiny
    }

    /// Adds a bf16 tensor of small values that depend on its name alone.
    pub fn add(&mut self, name: &str, shape: &[u64]) {
        let mut state = name.bytes().fold(1u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let mut value = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            half::bf16::from_f32((state >> 8) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes()
        };
        let bytes = (0..shape.iter().product::<u64>()).flat_map(|_| value()).collect();
        let tensor = StoredTensor { dtype: "BF16".into(), shape: shape.to_vec(), bytes };
        self.tensors.insert(name.into(), tensor);
    }

    /// Sets a key of `config.json`.
    pub fn set(&mut self, key: &str, value: Value) {
        self.config.insert(key.into(), value);
    }

    pub fn config_text(&self) -> String {
        Value::Object(self.config.clone()).to_string()
    }

    /// The bytes of a safetensors file with the tensors whose name `picks`.
    pub fn safetensors(&self, picks: impl Fn(&str) -> bool) -> Vec<u8> {
        let mut header = Map::new();
        let mut data = Vec::new();
        for (name, tensor) in self.tensors.iter().filter(|(name, _)| picks(name)) {
            let begin = data.len();
            data.extend_from_slice(&tensor.bytes);
            let entry = json!({
                "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, data.len()],
            });
            header.insert(name.clone(), entry);
        }
        with_header(&Value::Object(header).to_string(), &data)
    }

    /// Writes `config.json` and `model.safetensors`.
    pub fn write(&self, dir: &Path) {
        fs::write(dir.join("config.json"), self.config_text()).unwrap();
        fs::write(dir.join("model.safetensors"), self.safetensors(|_| true)).unwrap();
    }

    /// Writes `config.json`, the tensors of layer 1 in `b.safetensors`, all others in `a.safetensors`, and the index.
    pub fn write_sharded(&self, dir: &Path) {
        let in_b = |name: &str| name.contains("layers.1.");
        fs::write(dir.join("config.json"), self.config_text()).unwrap();
        fs::write(dir.join("a.safetensors"), self.safetensors(|name| !in_b(name))).unwrap();
        fs::write(dir.join("b.safetensors"), self.safetensors(in_b)).unwrap();
        let shard = |name: &String| if in_b(name) { "b.safetensors" } else { "a.safetensors" };
        let map: BTreeMap<&String, &str> = self.tensors.keys().map(|name| (name, shard(name))).collect();
        let index = json!({ "metadata": { "total_size": 0 }, "weight_map": map }).to_string();
        fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
    }
}

/// A safetensors file with this header text and these bytes after it.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(data);
    file
}
