//! Checkpoints that other tools quantized: every value as their own library dequantizes it, and damage refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use safetensors::{SafeTensors, tensor::TensorView};
use samp_abi::Format;
use samp_compiler::import::{Import, RopeScaling, import};
use samp_ir::Diagnostic;
use samp_kernels::format::{RowSource, decode_rows};
use samp_runtime::{AddSpecial, Tokenizer};
use serde_json::{Value, json};

use crate::{
    assert_case, report,
    tiny_checkpoint::{StoredTensor, TinyCheckpoint},
    without_folder,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/quantized")
}

/// The folders of fixtures, sorted.
fn folders() -> Vec<PathBuf> {
    let entries =
        fs::read_dir(fixtures()).expect("the fixtures").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// BLAKE3 of every quantized weight by name, as the library that wrote it dequantizes it.
fn expected(folder: &Path) -> BTreeMap<String, String> {
    let bytes = fs::read(folder.join("expected.safetensors")).expect("what is expected");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    header.metadata().clone().expect("hashes").into_iter().collect()
}

fn hash(import: &Import, name: &str) -> String {
    let rows = import.checkpoint.rows(&[name]).expect("a weight");
    let mut values = vec![f32::NAN; rows.rows() * rows.cols()];
    // In two parts, so that rows are found wherever reading begins.
    let half = rows.rows() / 2;
    let (above, below) = values.split_at_mut(half * rows.cols());
    rows.read(half, below);
    rows.read(0, above);
    // Zeros have no sign.
    let bytes: Vec<u8> = values.iter().flat_map(|value| (value + 0.0).to_le_bytes()).collect();
    blake3::hash(&bytes).to_hex().to_string()
}

#[test]
fn every_value_is_as_the_library_of_its_format_dequantizes_it() {
    let folders = folders();
    assert!(folders.len() >= 28, "{} fixtures", folders.len());
    for folder in folders {
        let import = import(&folder).unwrap_or_else(|finding| panic!("{}: {finding}", folder.display()));
        let expected = expected(&folder);
        assert!(expected.len() >= 7, "{}", folder.display());
        for (name, hash_of_library) in &expected {
            assert_eq!(&hash(&import, name), hash_of_library, "{} {name}", folder.display());
        }
    }
}

/// A fixture that is to be damaged.
fn fixture(name: &str) -> TinyCheckpoint {
    let folder = fixtures().join(name);
    let config = fs::read(folder.join("config.json")).expect("config.json");
    let bytes = fs::read(folder.join("model.safetensors")).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let stored = |view: TensorView<'_>| StoredTensor {
        dtype: view.dtype().to_string(),
        shape: view.shape().iter().map(|&extent| extent as u64).collect(),
        bytes: view.data().to_vec(),
    };
    let tensors = file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect();
    TinyCheckpoint { config: serde_json::from_slice(&config).expect("an object"), tensors }
}

/// The fixture with one key of `quantization_config` set, at a path with dots.
fn with_key(name: &str, path: &str, value: Value) -> TinyCheckpoint {
    let mut tiny = fixture(name);
    let mut at = tiny.config.get_mut("quantization_config").expect("a quantized checkpoint");
    for key in path.split('.') {
        at = &mut at[key];
    }
    *at = value;
    tiny
}

/// The fixture with one tensor of the up projection changed.
fn with_tensor(name: &str, ending: &str, change: impl FnOnce(&mut StoredTensor)) -> TinyCheckpoint {
    let mut tiny = fixture(name);
    let tensor = tiny.tensors.get_mut(&format!("model.layers.0.mlp.up_proj.{ending}"));
    change(tensor.unwrap_or_else(|| panic!("{name} has no {ending}")));
    tiny
}

fn refused(tiny: &TinyCheckpoint) -> Result<(), Diagnostic> {
    let dir = tempfile::tempdir().expect("a folder");
    tiny.write(dir.path());
    import(dir.path()).map(drop).map_err(|finding| without_folder(finding, dir.path()))
}

#[test]
fn tensors_that_contradict_their_method_are_refused() {
    let without = |name: &str, ending: &str| {
        let mut tiny = fixture(name);
        tiny.tensors.remove(&format!("model.layers.0.mlp.up_proj.{ending}")).expect("a tensor");
        tiny
    };
    let cut = |tensor: &mut StoredTensor| {
        tensor.shape[0] -= 1;
        let rest = tensor.bytes.len() / (tensor.shape[0] as usize + 1) * tensor.shape[0] as usize;
        tensor.bytes.truncate(rest);
    };
    let first = |value: &'static [u8]| {
        move |tensor: &mut StoredTensor| tensor.bytes[..value.len()].copy_from_slice(value)
    };
    let text = |text: String| {
        move |tensor: &mut StoredTensor| {
            tensor.bytes = text.into_bytes();
            tensor.shape = vec![tensor.bytes.len() as u64];
        }
    };
    let state = "weight.quant_state.bitsandbytes__nf4";
    let mut stray = fixture("gptq-g128");
    stray.add("model.layers.0.mlp.up_proj.perm", &[128]);
    let cases = [
        ("group out of range", with_tensor("gptq-g64-act-order", "g_idx", first(&[0xff; 4]))),
        ("codes of another width", with_tensor("gptq-g128", "qweight", cut)),
        ("zero points of another width", with_tensor("awq-g64", "qzeros", cut)),
        ("scales of another shape", with_tensor("gptq-g128", "scales", |scales| scales.shape.reverse())),
        ("no scales", without("gptq-g128", "scales")),
        ("a scale that is no number", with_tensor("awq-g64", "scales", first(&[0x00, 0x7e]))),
        ("an infinite scale", with_tensor("fbgemm-fp8", "weight_scale", first(&[0, 0, 0x80, 0x7f]))),
        ("tensor that nothing reads", stray),
        ("another shape is stated", with_tensor("ct-int4-g128", "weight_shape", first(&[64]))),
        ("packed to another width", with_tensor("ct-int5-g32", "weight_packed", cut)),
        (
            "a global scale that is no number",
            with_tensor("ct-nvfp4", "weight_global_scale", first(&[0, 0, 0xc0, 0xff])),
        ),
        ("codes of another kind", with_tensor("vllm-fp8", "weight", |weight| weight.dtype = "I8".into())),
        ("codes in the order of a kernel", with_tensor("bnb-int8", "weight_format", first(&[1]))),
        ("absmax values too few", with_tensor("bnb-nf4", "weight.absmax", cut)),
        ("a state without end", with_tensor("bnb-nf4", state, text("[".repeat(100_000)))),
        ("a state that is no JSON", with_tensor("bnb-nf4", state, text("{\"blocksize\": 64,".into()))),
        (
            "a state of another shape",
            with_tensor(
                "bnb-nf4",
                state,
                text(json!({"quant_type": "nf4", "blocksize": 64, "shape": [128, 64]}).to_string()),
            ),
        ),
        (
            "blocks of nothing",
            with_tensor(
                "bnb-nf4",
                state,
                text(json!({"quant_type": "nf4", "blocksize": 0, "shape": [128, 128]}).to_string()),
            ),
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(name, tiny)| (*name, refused(tiny))).collect();
    assert!(cases.iter().all(|(_, outcome)| outcome.is_err()), "{cases:?}");
    assert_case("quantized_tensors", &report(cases));
}

#[test]
fn configurations_that_samp_does_not_read_are_refused_by_name() {
    let group = "config_groups.group_0";
    let cases = [
        ("three bits", with_key("gptq-g128", "bits", json!(3))),
        ("a kernel's own layout", with_key("gptq-g128", "checkpoint_format", json!("marlin"))),
        ("settings of single modules", with_key("gptq-g128", "dynamic", json!({"+:.*down.*": {"bits": 8}}))),
        ("a group of nothing", with_key("gptq-g128", "group_size", json!(0))),
        ("a key that is not known", with_key("gptq-g128", "hadamard", json!(true))),
        ("AWQ of gemv", with_key("awq-g64", "version", json!("gemv"))),
        ("EETQ", with_key("awq-g64", "quant_method", json!("eetq"))),
        ("a method of the future", with_key("awq-g64", "quant_method", json!("xyz"))),
        (
            "sparse weights",
            with_key("ct-int4-g128", "sparsity_config", json!({"format": "sparse-24-bitmask"})),
        ),
        ("rotations", with_key("ct-int4-g128", "transform_config", json!({"config_groups": {"R1": {}}}))),
        ("an unfinished checkpoint", with_key("ct-int4-g128", "quantization_status", json!("frozen"))),
        (
            "a pattern that looks ahead",
            with_key("ct-int4-g128", &format!("{group}.targets"), json!(["re:(?!lm_head).*"])),
        ),
        (
            "a pattern without end",
            with_key("ct-int4-g128", &format!("{group}.targets"), json!(["re:(a{9999}){9999}"])),
        ),
        (
            "a module of no group",
            with_key("ct-int4-g128", &format!("{group}.targets"), json!(["re:.*mlp.*"])),
        ),
        ("codes of another width", with_key("ct-int4-g128", &format!("{group}.weights.num_bits"), json!(8))),
        ("blocks of another size", with_key("hf-fp8-block", "weight_block_size", json!([128, 128]))),
        ("blocks that are none", with_key("hf-fp8-block", "weight_block_size", json!([0]))),
        ("five exponent bits", with_key("hf-fp8-block", "fmt", json!("e5m2"))),
        ("another algorithm", with_key("modelopt-nvfp4", "quant_algo", json!("W4A8_AWQ"))),
    ];
    let cases: Vec<_> = cases.iter().map(|(name, tiny)| (*name, refused(tiny))).collect();
    assert!(cases.iter().all(|(_, outcome)| outcome.is_err()), "{cases:?}");
    assert_case("quantization_configs", &report(cases));
}

/// The ids of a text by the tokenizer that import made of a GGUF file.
fn ids(import: &Import, text: &str) -> Vec<u32> {
    let file = import.files.iter().find(|file| file.name == "tokenizer.json").expect("a tokenizer");
    let tokenizer = Tokenizer::from_bytes(&file.read().expect("its text")).expect("a tokenizer that works");
    tokenizer.encode(text, AddSpecial::Yes).expect("ids")
}

#[test]
fn a_gguf_file_brings_its_tokenizer_its_template_and_its_settings() {
    let bytes = import(&fixtures().join("gguf-q4_0/model.gguf")).expect("the file itself");
    // One word that is a token, a merge over the space, and a pair of letters.
    assert_eq!(ids(&bytes, "hello world!"), [1, 18, 19, 20, 5, 9, 14]);
    let pieces = import(&fixtures().join("gguf-q8_0-spm")).expect("the only file of a folder");
    // The space before a text, one between words, and a byte that is no piece.
    assert_eq!(ids(&pieces, "hello wO"), [1, 61, 62, 50]);
    for import in [bytes, pieces] {
        let names: Vec<&str> = import.files.iter().map(|file| file.name.as_str()).collect();
        let expected = [
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "generation_config.json",
        ];
        assert_eq!(names, expected);
        assert_eq!(import.warnings, []);
        assert_eq!(
            (import.config.model.bos_token_id, &*import.config.model.eos_token_ids),
            (Some(1), &[2][..])
        );
        assert_eq!(import.config.rms_norm_eps, 1e-5);
    }
}

#[test]
fn factors_of_a_gguf_file_are_a_scaling_of_llama_3() {
    let import = import(&fixtures().join("gguf-q5_1-llama3")).expect("a checkpoint");
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8192,
    };
    assert_eq!(import.config.rope.scaling, expected);
}

/// The file with some bytes of it changed.
fn changed_gguf(change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Diagnostic> {
    let mut bytes = fs::read(fixtures().join("gguf-q4_0/model.gguf")).expect("the file");
    change(&mut bytes);
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).expect("a file");
    import(&path).map(drop).map_err(|finding| without_folder(finding, dir.path()))
}

#[test]
fn damaged_gguf_files_are_refused() {
    /// Where a key's value begins, behind its kind.
    fn after(bytes: &[u8], key: &str) -> usize {
        let at = bytes.windows(key.len()).position(|found| found == key.as_bytes()).expect("the key");
        at + key.len() + 4
    }
    let set = |key: &'static str, value: &'static [u8]| {
        move |bytes: &mut Vec<u8>| {
            let at = after(bytes, key);
            bytes[at..at + value.len()].copy_from_slice(value);
        }
    };
    let huge = &[0xff; 8][..];
    let cases = [
        ("another version", changed_gguf(|bytes| bytes[4] = 1)),
        ("of a big-endian machine", changed_gguf(|bytes| bytes[4..8].copy_from_slice(&[0, 0, 0, 3]))),
        ("tensors without end", changed_gguf(|bytes| bytes[8..16].copy_from_slice(huge))),
        ("keys without end", changed_gguf(|bytes| bytes[16..24].copy_from_slice(huge))),
        ("a text without end", changed_gguf(set("general.architecture", huge))),
        (
            "an array without end",
            changed_gguf(|bytes| {
                let at = after(bytes, "tokenizer.ggml.tokens") + 4;
                bytes[at..at + 8].copy_from_slice(huge);
            }),
        ),
        ("cut short", changed_gguf(|bytes| bytes.truncate(bytes.len() - 9000))),
        ("cut in its header", changed_gguf(|bytes| bytes.truncate(400))),
        (
            "another architecture",
            changed_gguf(|bytes| {
                let at = after(bytes, "general.architecture") + 8;
                bytes[at..at + 5].copy_from_slice(b"gemma");
            }),
        ),
        ("no layers", changed_gguf(set("llama.block_count", &[0; 4]))),
        (
            "a tensor of another type",
            changed_gguf(|bytes| {
                // Behind the name: dimensions, two extents, the type.
                let at = after(bytes, "blk.0.ffn_up.weight") + 16;
                bytes[at] = 36;
            }),
        ),
        (
            "a tensor of another width",
            changed_gguf(|bytes| {
                let at = after(bytes, "blk.0.ffn_up.weight");
                bytes[at] = 64;
            }),
        ),
        ("a first token that is none", changed_gguf(set("tokenizer.ggml.bos_token_id", &[99]))),
    ];
    assert!(cases.iter().all(|(_, outcome)| outcome.is_err()), "{cases:?}");
    assert_case("gguf", &report(cases));
}

/// What each fixture's weights are kept in; the others only `--requantize` takes.
const KEPT: &[(&str, &str)] = &[
    ("awq-g64", "int4_g64_asym"),
    ("bnb-fp4-dq", "fp4"),
    ("bnb-int8", "int8"),
    ("bnb-nf4-dq", "nf4"),
    ("ct-int4-g128", "int4"),
    ("ct-int8-channel", "int8"),
    ("ct-int8-g128", "int8"),
    ("fbgemm-fp8", "fp8_e4m3"),
    ("gptq-8bit-channel", "int8"),
    ("gptq-g128", "int4"),
    ("gptq-g64-asym", "int4_g64_asym"),
    ("gptq-v2-g64-asym", "int4_g64_asym"),
    ("modelopt-fp8", "fp8_e4m3"),
    ("vllm-fp8", "fp8_e4m3"),
];

#[test]
fn kept_weights_hold_the_very_values() {
    let mut reasons = String::new();
    for folder in folders() {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let import = import(&folder).expect("a checkpoint");
        let expected = KEPT.iter().find(|(kept, _)| *kept == name).map(|(_, format)| *format);
        for source in expected_names(&folder) {
            let found = import.checkpoint.kept_format(&source).expect("a quantized weight");
            match (&found, expected) {
                (Ok(format), Some(expected)) => assert_eq!(format.name(), expected, "{name} {source}"),
                (Ok(_), None) if name == "ct-mixed" => {}
                (Ok(format), None) => panic!("{name} {source} is kept in {format}"),
                (Err(why), None) => {
                    if source.ends_with("down_proj.weight") {
                        reasons += &format!("{name}: {why}\n");
                    }
                }
                (Err(why), Some(_)) => panic!("{name} {source}: {why}"),
            }
            if let Ok(format) = found {
                assert_kept(&import, &[&source], format);
            }
        }
    }
    assert_case("quantized_reasons", &reasons);
}

fn expected_names(folder: &Path) -> Vec<String> {
    expected(folder).into_keys().collect()
}

/// The weights, decoded from what they are kept as, are those that the library dequantizes. bitsandbytes rounds int8
/// twice, so that these differ in the last place.
fn assert_kept(import: &Import, names: &[&str], format: Format) {
    let kept =
        import.checkpoint.kept(names.iter().copied(), format).expect("kept in this format").expect("joined");
    kept.view().check().expect("every array as the format has it");
    let rows = import.checkpoint.rows(names).expect("weights");
    let mut expected = vec![0.0; rows.rows() * rows.cols()];
    rows.read(0, &mut expected);
    let mut found = vec![0.0; expected.len()];
    decode_rows(kept.view(), 0, &mut found);
    let most = u32::from(format == Format::INT8);
    let near = |(a, b): (&f32, &f32)| a == b || a.to_bits().abs_diff(b.to_bits()) <= most;
    let differing = found.iter().zip(&expected).filter(|pair| !near(*pair)).count();
    assert_eq!(differing, 0, "{names:?} in {format}");
}

#[test]
fn a_row_of_scale_zero_is_kept_as_zeros_and_odd_scales_are_not_kept() {
    let source = "model.layers.0.mlp.up_proj.weight";
    let with_scale = |name: &str, ending: &str, scale: f32| {
        let tiny =
            with_tensor(name, ending, |scales| scales.bytes[..4].copy_from_slice(&scale.to_le_bytes()));
        let dir = tempfile::tempdir().expect("a folder");
        tiny.write(dir.path());
        (import(dir.path()).expect("a checkpoint"), dir)
    };
    for (name, ending, format) in [
        ("fbgemm-fp8", "weight_scale", Format::Fp8E4m3(samp_abi::ScaleAxis::Channel)),
        ("bnb-int8", "SCB", Format::INT8),
    ] {
        let (zero, _dir) = with_scale(name, ending, 0.0);
        assert_kept(&zero, &[source], format);
        let (negative, _dir) = with_scale(name, ending, -1.0);
        assert!(negative.checkpoint.kept_format(source).expect("quantized").is_err(), "{name}");
    }
}

#[test]
fn fused_weights_are_kept_row_by_row() {
    let members = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("model.layers.0.{name}.weight")).collect()
    };
    let qkv = members(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]);
    for name in ["gptq-g128", "gptq-g64-asym", "awq-g64", "vllm-fp8", "ct-int8-channel"] {
        let import = import(&fixtures().join(name)).expect("a checkpoint");
        let format = import.checkpoint.kept_format(&qkv[0]).expect("quantized").expect("kept");
        assert_kept(&import, &qkv.iter().map(String::as_str).collect::<Vec<_>>(), format);
    }
}

#[test]
fn scales_of_keys_and_values_are_taken_and_those_of_inputs_are_left_out() {
    let import = import(&fixtures().join("modelopt-fp8")).expect("a checkpoint");
    assert_eq!(import.config.kv_scales, Some(vec![[0.03, 0.0125]]));
    let [warning, _no_tokenizer] = &import.warnings[..] else { panic!("{:?}", import.warnings) };
    assert!(warning.message.contains("left out 7 tensors"), "{warning}");
}
