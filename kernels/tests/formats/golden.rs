//! nf4 and fp4 against bitsandbytes; see testdata/formats/make_golden.py.

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use samp_abi::{Component, Format};
use samp_kernels::format::ABSMAX_MAP;

use super::{Matrix, decode, read};

/// A stored tensor as f32.
pub fn floats(file: &SafeTensors, name: &str) -> Matrix {
    let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => panic!("{name} is {other:?}"),
    };
    Matrix { cols: *tensor.shape().last().unwrap(), values }
}

/// A weight of the tiny Llama.
fn weight(name: &str) -> Matrix {
    let index: serde_json::Value =
        serde_json::from_slice(&read("models/tiny-llama/model.safetensors.index.json")).unwrap();
    let shard = read(&format!("models/tiny-llama/{}", index["weight_map"][name].as_str().unwrap()));
    floats(&SafeTensors::deserialize(&shard).unwrap(), name)
}

/// More than 32768 blocks; `formula()` in make_golden.py.
fn formula() -> Matrix {
    let (rows, cols) = (5003u64, 512);
    let value = |index: u64| {
        let hashed = (index * 2_654_435_761 % (1 << 32)) >> 8;
        (hashed as f32 / (1 << 24) as f32 - 0.5) * (index / cols + 1) as f32
    };
    Matrix { cols: cols as usize, values: (0..rows * cols).map(value).collect() }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Encodes `input` and compares every array that the file has of `case`, and the decoding.
fn compare(file: &SafeTensors, case: &str, input: &Matrix) {
    for format in [Format::Nf4, Format::Fp4] {
        let encoded = input.encode(format).unwrap();
        let mut compared = 0;
        for (component, part) in [
            (Component::AbsmaxOffset, "absmax_offset"),
            (Component::AbsmaxScales, "absmax_scales"),
            (Component::AbsmaxCodes, "absmax_codes"),
            (Component::Values, "codes"),
        ] {
            if let Ok(expected) = file.tensor(&format!("{case}.{format}.{part}")) {
                assert!(encoded.view().part(component) == expected.data(), "{part} of {case} in {format}");
                compared += 1;
            }
        }
        assert!(compared >= 3, "{case} has {compared} arrays in {format}");
        let decoded = format!("{case}.{format}.decoded");
        if file.tensor(&decoded).is_ok() {
            assert!(bits(&decode(&encoded)) == bits(&floats(file, &decoded).values), "{decoded}");
        }
    }
}

#[test]
fn nf4_and_fp4_equal_bitsandbytes() {
    let data = read("formats/bitsandbytes.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let mut names = file.names();
    names.sort();
    let cases: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".nf4.absmax_codes")).collect();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let input = match case.strip_prefix("weight:") {
            Some(name) => weight(name),
            None if case == "formula" => formula(),
            None => floats(&file, &format!("{case}.input")),
        };
        compare(&file, case, &input);
    }
}

#[test]
fn the_absmax_map_equals_bitsandbytes() {
    let data = read("formats/bitsandbytes.safetensors");
    let expected = floats(&SafeTensors::deserialize(&data).unwrap(), "absmax_map");
    assert_eq!(bits(&ABSMAX_MAP), bits(&expected.values));
}
