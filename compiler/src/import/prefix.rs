//! Tensors that are all there under other names: a checkpoint that was saved from a part of the model, or from a wrapper
//! round it.

use samp_ir::Diagnostic;

use super::{checkpoint::Checkpoint, parameter::Parameter};
use crate::error_code;

/// What the architecture calls for first in every layer.
pub(super) const ANCHOR: &str = "layers.0.input_layernorm.weight";
/// What transformers writes before the names of the decoder's tensors.
pub(super) const DECODER: &str = "model.";

/// Where a prefix comes from.
struct Origin {
    prefix: &'static str,
    origin: &'static str,
    remedy: &'static str,
}

const ORIGINS: [Origin; 7] = [
    Origin {
        prefix: "language_model.",
        origin: "the language model is a part of a larger one, as of one for images",
        remedy: LANGUAGE_MODEL,
    },
    Origin {
        prefix: "model.language_model.",
        origin: "the language model is a part of a larger one, as of one for images",
        remedy: LANGUAGE_MODEL,
    },
    Origin {
        prefix: "base_model.model.",
        origin: "the model was saved inside a PEFT wrapper",
        remedy: "merge the adapter and save the model itself: model.merge_and_unload().save_pretrained",
    },
    Origin {
        prefix: "module.",
        origin: "the model was saved inside a wrapper for data-parallel training",
        remedy: "save the model itself: model.module.save_pretrained",
    },
    Origin {
        prefix: "_orig_mod.",
        origin: "the model was saved as torch.compile wraps it",
        remedy: "save the model itself: model._orig_mod.save_pretrained",
    },
    Origin {
        prefix: "transformer.",
        origin: "the names are those of another library",
        remedy: "load the model in it, and save it with transformers' save_pretrained",
    },
    Origin {
        prefix: "",
        origin: "the decoder alone was saved, without the model round it",
        remedy: "save the whole model with its head: AutoModelForCausalLM's save_pretrained",
    },
];
const LANGUAGE_MODEL: &str =
    "samp compiles language models alone: save that part by itself with save_pretrained";

/// The tensors that stand under another prefix.
pub(super) struct Renamed {
    prefix: String,
    /// As the architecture calls for them, and as they are named.
    names: Vec<(String, String)>,
}

/// The prefix under which most of the missing parameters are, if there is one.
pub(super) fn renamed(parameters: &[Parameter], checkpoint: &Checkpoint) -> Option<Renamed> {
    let found = checkpoint.names().find_map(|name| name.strip_suffix(ANCHOR))?;
    if found == DECODER {
        return None;
    }
    let is_whole = |outer: &&str| outer.is_empty() || outer.ends_with('.');
    let outer = found.strip_suffix(DECODER).filter(is_whole).unwrap_or("");
    let has = |name: &str| checkpoint.tensor(name).is_some();
    let name = |parameter: &Parameter| {
        let wanted = &parameter.source;
        let name = match wanted.strip_prefix(DECODER) {
            Some(rest) => format!("{found}{rest}"),
            None => format!("{outer}{wanted}"),
        };
        (!has(wanted) && has(&name)).then(|| (wanted.clone(), name))
    };
    let names: Vec<(String, String)> = parameters.iter().filter_map(name).collect();
    (2 * names.len() >= parameters.len()).then(|| Renamed { prefix: found.to_owned(), names })
}

impl Renamed {
    /// Whether a parameter is among them, or the tensor that stands for it.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|(wanted, found)| wanted == name || found == name)
    }

    /// One finding for all of them.
    pub(super) fn finding(&self, parameters: usize) -> Diagnostic {
        let Renamed { prefix, names } = self;
        let origin = ORIGINS.iter().find(|origin| {
            prefix.starts_with(origin.prefix) && (!origin.prefix.is_empty() || prefix.is_empty())
        });
        let (why, remedy) = origin.map_or(
            (
                "where this prefix comes from, samp does not know",
                "save the model with transformers' save_pretrained",
            ),
            |origin| (origin.origin, origin.remedy),
        );
        let where_found =
            if prefix.is_empty() { "without it".into() } else { format!("under `{prefix}` instead") };
        let message = format!(
            "expected the decoder's tensors under `{DECODER}`, found {} of {parameters} {where_found}: {why}",
            names.len()
        );
        let finding = Diagnostic::bad_input(error_code::BINDING, message).hint(remedy);
        let example = names.first().map(|(wanted, found)| format!("`{found}` for `{wanted}`, and so on"));
        example.into_iter().fold(finding, Diagnostic::note)
    }
}
