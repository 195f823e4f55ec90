//! Trained weights of the tiny Llama, with made-up inputs.

use half::bf16;
use safetensors::SafeTensors;
use samp_kernels::{
    format,
    quantize::{
        CholeskyFactor, ColumnOrder, Damping, RoundingSpec, gptq, nearest, output_energy, output_error,
    },
};

use super::{FORMATS, Numbers, hessian, rows};

fn weight(name: &str) -> (usize, Vec<f32>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models/tiny-llama");
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let index: serde_json::Value = serde_json::from_slice(&read("model.safetensors.index.json")).unwrap();
    let shard = read(index["weight_map"][name].as_str().unwrap());
    let file = SafeTensors::deserialize(&shard).unwrap();
    let tensor = file.tensor(name).unwrap();
    let values = tensor.data().as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect();
    (tensor.shape()[1], values)
}

#[test]
fn trained_weights_gain_from_search_and_compensation() {
    println!("output error / output energy");
    println!("{:>28} {:>14} {:>9} {:>9} {:>9}", "weight", "format", "encode", "nearest", "gptq");
    for name in ["layers.2.self_attn.q_proj", "layers.4.mlp.down_proj"] {
        let (cols, weights) = weight(&format!("model.{name}.weight"));
        let (source, count) = (rows(cols, &weights), weights.len() / cols);
        let hessian = hessian(cols, &Numbers::new(40).activations(3 * cols, cols));
        let factor = CholeskyFactor::new(&hessian, ColumnOrder::Natural, Damping::default());
        let energy = output_energy(&source, count, &hessian);
        for format in FORMATS {
            let share =
                |t: &samp_kernels::encoded::Encoded| output_error(&source, t.view(), &hessian) / energy;
            let plain = share(&format::encode(format, count, cols, &source, &[]).unwrap());
            let refined =
                share(&nearest(&source, count, &hessian.diagonal(), RoundingSpec::to(format)).unwrap());
            let result = gptq(&source, count, &factor, RoundingSpec::to(format)).unwrap();
            let compensated = share(&result.encoded);
            println!("{name:>28} {format:>14} {plain:9.2e} {refined:9.2e} {compensated:9.2e}");
            assert!(refined <= plain * 1.001 && compensated < 0.7 * refined, "{name} in {format}");
        }
    }
}
