//! Plans exported as GGUF: every value, the text and the logits come back by samp's own import, gguf-py and llama.cpp.

use std::path::{Path, PathBuf};

use samp_runtime::{AddSpecial, Tokenizer};
use serde_json::Value;

use crate::{
    export::python_with,
    harness::{Harness, fails, ok, root, samp, tiny_llama},
    logits::{Reference, largest_difference},
    other_stacks::{assert_round_trip, compile, exporting, ran},
    python::{environment, install},
};

const GGUF: [&str; 2] = ["--format", "gguf"];

/// A checkpoint of an architecture, by the folder's name.
fn checkpoint(name: &str) -> PathBuf {
    root().join("testdata/checkpoints").join(name)
}

#[test]
fn gguf_comes_back_with_every_value_and_the_same_tokens() {
    let harness = Harness::new();
    let out = harness.path("exported");
    for formats in [
        ["int4", "int4_asym", "int5", "int6", "int4_g64", "int5_g64", "int6_g64"],
        ["int4_g64_asym", "bf16", "f32", "int4", "f16", "int4", "int5"],
    ] {
        let plan = compile(&harness, formats);
        ok(exporting(&plan, &out, &GGUF));
        assert_round_trip(&harness, &plan, &out, false);
        let tokenizer = |plan: &Path| Tokenizer::from_plan(&samp_runtime::open(plan).unwrap()).unwrap();
        let (own, again) = (tokenizer(&plan), tokenizer(&harness.path("again")));
        for text in ["The parser reads", "  a\n\n12345 b's <|eot_id|>é日本", ""] {
            for special in [AddSpecial::Yes, AddSpecial::No] {
                assert_eq!(
                    own.encode(text, special).unwrap(),
                    again.encode(text, special).unwrap(),
                    "{text}"
                );
            }
        }
        let chat = |plan: &Path| {
            let mut run = samp(["run", "--chat", "Hello", "-n", "4", "--temperature", "0", "--json"]);
            run.arg(plan);
            let said: Value = serde_json::from_str(&ok(run)).unwrap();
            said["prompt_tokens"].clone()
        };
        assert_eq!(chat(&plan), chat(&harness.path("again")));
    }
}

/// Logits of a plan on the ids of a checkpoint's reference.
fn logits(harness: &Harness, plan: &Path, model: &Path) -> Vec<f32> {
    let out = harness.path("logits");
    let mut eval = samp(["eval", "--ids"]);
    eval.arg(model.join("reference.safetensors")).arg("--save-logits").arg(&out).arg(plan);
    ok(eval);
    let logits = Reference::read(&out).logits;
    std::fs::remove_file(out).unwrap();
    logits
}

/// A checkpoint whose frequencies are scaled as those of the published Llama 3.1, which is what files of GGUF are read by.
fn scaled_as_published(harness: &Harness) -> PathBuf {
    let (from, to) = (checkpoint("rope-llama3"), harness.path("rope-llama3"));
    std::fs::create_dir(&to).unwrap();
    for name in ["model.safetensors", "reference.safetensors"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    config["rope_scaling"]["original_max_position_embeddings"] = 8192.into();
    config["max_position_embeddings"] = 65536.into();
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    to
}

#[test]
fn every_architecture_comes_back_with_its_logits() {
    let harness = Harness::new();
    let out = harness.path("exported");
    let names =
        ["attention-bias", "all-biases", "granite", "qwen2", "qwen3", "rope-linear", "smollm3", "tied"];
    for model in names.map(checkpoint).into_iter().chain([scaled_as_published(&harness)]) {
        let f32 = ["--force", "--recipe", "uniform:f32", "--max-model-len", "64"];
        ok(harness.compiling_model(&model, "plan", &f32));
        ok(exporting(&harness.path("plan"), &out, &GGUF));
        ok(harness.compiling_model(&out, "again", &f32));
        let [own, again] = ["plan", "again"].map(|plan| logits(&harness, &harness.path(plan), &model));
        let difference = largest_difference(&own, &again);
        assert!(difference <= 1e-5, "{}: {difference}", model.display());
    }
}

#[test]
fn what_llama_cpp_cannot_be_told_is_refused() {
    let harness = Harness::new();
    let out = harness.path("exported");
    for (name, why) in
        [("mistral-window", "no window"), ("phi3", "no GGUF of Phi3ForCausalLM"), ("rope-yarn", "YaRN")]
    {
        ok(harness.compiling_model(&checkpoint(name), "plan", &["--force", "--recipe", "uniform:bf16"]));
        let (_, said) = fails(1, exporting(&harness.path("plan"), &out, &GGUF));
        assert!(said.contains("error[E0728]") && said.contains(why), "{name}: {said}");
        assert!(!out.exists());
    }
    let plan = compile(&harness, ["nf4", "fp8_e4m3", "int8", "int4", "int4", "int4", "int4"]);
    let (_, said) = fails(1, exporting(&plan, &out, &GGUF));
    assert!(said.contains("error[E0727]") && said.contains("18 of 57"), "{said}");
    let allowed = ["--format", "gguf", "--allow-rounding", "--json"];
    let report: Value = serde_json::from_str(&ok(exporting(&plan, &out, &allowed))).unwrap();
    for tensor in report["tensors"].as_array().unwrap() {
        let error = tensor["largest_relative_error"].as_f64().unwrap();
        match tensor["formats"][0].as_str().unwrap() {
            "int8" => {
                assert!(tensor["encoding"] == "Q8_0" && error > 0.0 && error <= 0.5f64.powi(11), "{tensor}")
            }
            "nf4" | "fp8_e4m3" => assert!(tensor["encoding"] == "F16" && error > 0.0, "{tensor}"),
            _ => assert_eq!(error, 0.0, "{tensor}"),
        }
    }
}

/// A Python with gguf-py: one that is there, or an environment of its own.
fn python_with_gguf() -> Result<String, String> {
    if let Some(python) = python_with("gguf, safetensors") {
        return Ok(python);
    }
    let folder = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/python-gguf"));
    let python = folder.join("bin/python");
    let works = |python: &Path| {
        std::process::Command::new(python)
            .args(["-c", "import gguf, safetensors"])
            .output()
            .is_ok_and(|out| out.status.success())
    };
    if !works(&python) {
        install(&environment(folder)?, &["gguf==0.19.0", "safetensors"])?;
    }
    Ok(python.to_string_lossy().into_owned())
}

/// Has gguf-py dequantize every tensor of the file in the folder that the first argument names, brings the rows of queries and
/// keys back in order, and compares all values with those of the plain checkpoint in the second; the third is a head's width.
const DEQUANTIZED: &str = r#"
import sys, numpy, gguf
from safetensors.numpy import load_file
out, plain, width = sys.argv[1], load_file(sys.argv[2] + "/model.safetensors"), int(sys.argv[3])
reader = gguf.GGUFReader(out + "/model.gguf")
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 64)
by_name = {names.get_name(name, (".weight", ".bias")): name for name in plain}
values = 0
for tensor in reader.tensors:
    want = plain.pop(by_name[tensor.name])
    found = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(want.shape)
    if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
        heads = want.shape[0] // width
        found = found.reshape(heads, width // 2, 2, -1).swapaxes(1, 2).reshape(want.shape)
    differing = int((found != want).sum())
    assert differing == 0, f"{tensor.name}: {differing} of {want.size} values differ"
    values += want.size
assert not plain, list(plain)
print(values)
"#;

#[test]
fn gguf_py_dequantizes_every_value() {
    let python = match python_with_gguf() {
        Ok(python) => python,
        Err(why) => return println!("SKIPPED: no Python with venv, or no registry for gguf: {why}"),
    };
    let harness = Harness::new();
    let plan = compile(&harness, ["int4", "int4_asym", "int5", "int6", "int4_g64", "bf16", "int6_g64"]);
    let (out, plain) = (harness.path("exported"), harness.path("plain"));
    ok(exporting(&plan, &out, &GGUF));
    ok(exporting(&plan, &plain, &[]));
    let head_dim = samp_runtime::open(&plan).unwrap().manifest().model.head_dim.to_string();
    assert_eq!(ran(&python, DEQUANTIZED, &[&out, &plain, Path::new(&head_dim)]), "7212288");
}

/// Has llama.cpp run the file in the folder that the first argument names on the first ids of the second's, and gives the mean
/// divergence of its predictions from the logits there. Tokens go one by one: where processors have AMX, llama-cpp-python
/// 0.3.36 crashes on several, of any file.
const RUN: &str = r#"
import sys, numpy, llama_cpp
from safetensors.numpy import load_file
file = load_file(sys.argv[2])
ids, ours = file["input_ids"][0], file["logits"][0].astype(numpy.float64)
model = llama_cpp.Llama(sys.argv[1] + "/model.gguf", n_ctx=len(ids) + 8, n_batch=1, logits_all=True, verbose=False)
model.eval([int(id) for id in ids])
theirs = numpy.array(model.scores[:len(ids)], dtype=numpy.float64)
def logs(x):
    x = x - x.max(-1, keepdims=True)
    return x - numpy.log(numpy.exp(x).sum(-1, keepdims=True))
a, b = logs(ours), logs(theirs)
print((numpy.exp(a) * (a - b)).sum(-1).mean())
"#;

#[test]
fn llama_cpp_runs_the_file() {
    let Some(python) = python_with("llama_cpp, safetensors.numpy") else {
        return println!("SKIPPED: no Python with llama-cpp-python (set SAMP_PYTHON)");
    };
    let harness = Harness::new();
    let out = harness.path("exported");
    // llama.cpp rounds activations to 8 bits before it multiplies them with codes.
    for (formats, most) in
        [(["f32"; 7], 1e-4), (["int4", "int4", "int5", "int6", "int4", "int4", "int6"], 1e-2)]
    {
        let plan = compile(&harness, formats);
        ok(exporting(&plan, &out, &GGUF));
        let ours = harness.path("ours");
        let mut eval = samp(["eval", "--ids"]);
        eval.arg(tiny_llama().join("reference.safetensors")).arg("--save-logits").arg(&ours).arg(&plan);
        ok(eval);
        let divergence: f64 = ran(&python, RUN, &[&out, &ours]).parse().unwrap();
        println!("{formats:?}: llama.cpp diverges from samp by {divergence:.1e}");
        assert!(divergence.abs() <= most, "{formats:?}: {divergence}");
        std::fs::remove_file(ours).unwrap();
    }
}
