//! The shipped checkpoint with outliers: the same function, with channels scaled by powers of two against the channels
//! that undo it, as `testdata/models/outliers.json` says.

use std::{collections::BTreeMap, fs, path::Path};

use half::bf16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::harness::{root, tiny_llama};

/// Matrices and vectors of the checkpoint in bf16, with their shapes.
type Weights = BTreeMap<String, (Vec<usize>, Vec<bf16>)>;

/// Writes the outlier checkpoint into `out`, in one file.
pub fn write_outlier_checkpoint(out: &Path) {
    let mut weights = read();
    let edits = fs::read_to_string(root().join("testdata/models/outliers.json")).unwrap();
    let edits: Value = serde_json::from_str(&edits).unwrap();
    for edit in edits["edits"].as_array().unwrap() {
        apply(&mut weights, edit);
    }
    write(out, &weights);
}

/// Writes the shipped checkpoint with values and the factors of gates `factor` times as small, which is made up for where they are
/// read.
pub fn write_uneven_checkpoint(out: &Path, factor: f32) {
    let mut weights = read();
    for (name, (_, values)) in &mut weights {
        let by = match name {
            name if name.contains("v_proj") || name.contains("up_proj") => 1.0 / factor,
            name if name.contains("o_proj") || name.contains("down_proj") => factor,
            _ => continue,
        };
        values.iter_mut().for_each(|value| *value = bf16::from_f32(value.to_f32() * by));
    }
    write(out, &weights);
}

fn write(out: &Path, weights: &Weights) {
    fs::create_dir_all(out).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        fs::copy(tiny_llama().join(name), out.join(name)).unwrap();
    }
    let views: Vec<(&String, TensorView<'_>)> = weights
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = bytemuck::cast_slice(values);
            (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).unwrap())
        })
        .collect();
    safetensors::serialize_to_file(views, None, &out.join("model.safetensors")).unwrap();
}

fn read() -> Weights {
    let mut weights = Weights::new();
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let bytes = fs::read(tiny_llama().join(shard)).unwrap();
        for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let values = tensor.data().as_chunks::<2>().0.iter().map(|&b| bf16::from_le_bytes(b)).collect();
            weights.insert(name, (tensor.shape().to_vec(), values));
        }
    }
    weights
}

/// Multiplies, in one tensor, the rows (axis 0) or columns (axis 1) named.
fn scale(weights: &mut Weights, name: &str, axis: usize, indices: &[usize], factor: f32) {
    let (shape, values) = weights.get_mut(name).unwrap_or_else(|| panic!("no {name}"));
    let cols = shape.get(1).copied().unwrap_or(1);
    for (at, value) in values.iter_mut().enumerate() {
        if indices.contains(&[at / cols, at % cols][axis]) {
            *value = bf16::from_f32(value.to_f32() * factor);
        }
    }
}

fn apply(weights: &mut Weights, edit: &Value) {
    let tensor = |name: &str| format!("model.layers.{}.{name}.weight", edit["layer"]);
    let numbers = |key: &str| -> Vec<usize> {
        edit[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    };
    let factor = edit["scale"].as_f64().unwrap() as f32;
    match edit["kind"].as_str().unwrap() {
        "norm" => {
            let channels = numbers("channels");
            scale(weights, &tensor(edit["norm"].as_str().unwrap()), 0, &channels, factor);
            for linear in edit["linears"].as_array().unwrap() {
                scale(weights, &tensor(linear.as_str().unwrap()), 1, &channels, 1.0 / factor);
            }
        }
        "up/down" => {
            let channels = numbers("channels");
            scale(weights, &tensor("mlp.up_proj"), 0, &channels, factor);
            scale(weights, &tensor("mlp.down_proj"), 1, &channels, 1.0 / factor);
        }
        "v/o" => {
            // Head size 32; four query heads read each of the two value heads.
            let rows = numbers("v_rows");
            let columns: Vec<usize> =
                rows.iter().flat_map(|row| (0..4).map(move |q| (row / 32 * 4 + q) * 32 + row % 32)).collect();
            scale(weights, &tensor("self_attn.v_proj"), 0, &rows, factor);
            scale(weights, &tensor("self_attn.o_proj"), 1, &columns, 1.0 / factor);
        }
        "q/k rope pairs" => {
            // A rotation mixes channels i and i + 16 of a head; pairs are counted through the heads of keys.
            let halves = |head: usize, pair: usize| [0, 16].map(|half| head * 32 + half + pair % 16);
            let pairs = numbers("pairs");
            let keys: Vec<usize> = pairs.iter().flat_map(|&pair| halves(pair / 16, pair)).collect();
            let readers = |pair: usize| (0..4).flat_map(move |q| halves(pair / 16 * 4 + q, pair));
            let queries: Vec<usize> = pairs.iter().flat_map(|&pair| readers(pair)).collect();
            scale(weights, &tensor("self_attn.k_proj"), 0, &keys, factor);
            scale(weights, &tensor("self_attn.q_proj"), 0, &queries, 1.0 / factor);
        }
        other => panic!("unknown edit {other}"),
    }
}
