//! Forms of weights other than safetensors, each with what to do about it.

use std::path::Path;

use super::shell::quoted;

/// A form of weights other than a Hugging Face checkpoint's safetensors.
#[derive(Debug, PartialEq, Eq)]
pub struct WeightFormat {
    /// For people, such as `weights in GGUF, the format of llama.cpp`.
    pub noun: &'static str,
    /// How the names of its files begin.
    prefix: &'static str,
    /// How they end.
    suffixes: &'static [&'static str],
    /// What to do, where `{path}`, `{folder}` and `{out}` stand for paths.
    remedy: &'static str,
}

/// The forms, the more special before the more general.
pub(super) const WEIGHT_FORMATS: [WeightFormat; 8] = [
    WeightFormat {
        noun: "weights in GGUF, the format of llama.cpp",
        prefix: "",
        suffixes: &[".gguf"],
        remedy: "compile it: samp compile {path} -o PLAN, then give PLAN",
    },
    WeightFormat {
        noun: "weights in Meta's own format",
        prefix: "consolidated.",
        suffixes: &[".pth"],
        remedy: "convert them: python -m transformers.models.llama.convert_llama_weights_to_hf --input_dir {folder} \
                 --model_size 8B --llama_version 3.1 --output_dir {out}, with the model's own size and version, then give \
                 {out}; or fetch the model in Hugging Face's form",
    },
    WeightFormat {
        noun: "weights in Mistral's own format",
        prefix: "consolidated",
        suffixes: &[".safetensors", ".safetensors.index.json"],
        remedy: "fetch the model's repository whole: beside this file it has config.json and weights in safetensors \
                 under the names of transformers",
    },
    WeightFormat {
        noun: "weights pickled by PyTorch",
        prefix: "pytorch_model",
        suffixes: &[".bin", ".bin.index.json"],
        remedy: PICKLED,
    },
    WeightFormat {
        noun: "weights pickled by PyTorch",
        prefix: "",
        suffixes: &[".pt", ".pth", ".ckpt"],
        remedy: OTHER,
    },
    WeightFormat { noun: "weights of TensorFlow", prefix: "", suffixes: &[".h5"], remedy: OTHER },
    WeightFormat { noun: "weights of Flax", prefix: "", suffixes: &[".msgpack"], remedy: OTHER },
    WeightFormat { noun: "a model exported to ONNX", prefix: "", suffixes: &[".onnx"], remedy: OTHER },
];

const PICKLED: &str = "convert them: python -c 'import sys; from transformers import AutoModelForCausalLM as M, \
     AutoTokenizer as T; d, o = sys.argv[1:]; M.from_pretrained(d, dtype=\"auto\").save_pretrained(o); \
     T.from_pretrained(d).save_pretrained(o)' {folder} {out}, then give {out}";
const OTHER: &str = "samp reads Hugging Face checkpoints in safetensors: fetch the model in that form, or load it in the \
     program that wrote it and save it with transformers' save_pretrained";

impl WeightFormat {
    /// The form of a file of this name.
    pub(super) fn by_name(name: &str) -> Option<&'static WeightFormat> {
        let has = |form: &&WeightFormat| {
            name.starts_with(form.prefix) && form.suffixes.iter().any(|suffix| name.ends_with(suffix))
        };
        WEIGHT_FORMATS.iter().find(has)
    }

    /// What to do about a file of this form.
    pub(super) fn remedy(&self, file: &Path) -> String {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let out = folder.file_name().map(|name| format!("{}-hf", name.to_string_lossy()));
        let out = quoted(Path::new(&out.unwrap_or_else(|| "checkpoint-hf".into())));
        filled(self.remedy, |word| match word {
            "path" => quoted(file),
            "folder" => quoted(folder),
            _ => out.clone(),
        })
    }
}

/// The text with a path for each word in braces.
fn filled(text: &str, path: impl Fn(&str) -> String) -> String {
    let mut parts = text.split('{');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (word, rest) = part.split_once('}').expect("remedies close their braces");
        filled += &path(word);
        filled += rest;
    }
    filled
}
