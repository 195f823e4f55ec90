//! `certificate.json`: what is known of the plan's precision. Without calibration that is the assignment and its size;
//! nothing is claimed about quality that was not measured.

use samp_abi::{Format, Layout, plan::Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{PlanSpec, TensorSpec};

/// File name of the certificate inside a plan.
pub const CERTIFICATE_FILE: &str = "certificate.json";
/// Version of the certificate's schema.
pub const CERTIFICATE_VERSION: Version = Version { major: 1, minor: 0, patch: 0 };

/// What is known of a plan's precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Version of this schema.
    pub schema: Version,
    /// Always null in this version: the formats follow a recipe, no quality was measured.
    pub calibration: Option<Uncalibrated>,
    /// The recipe as given.
    pub recipe: String,
    /// Format of the KV cache.
    pub kv: Format,
    /// The linear layers inside the decoder: what bits per weight are usually compared over.
    pub decoder_linears: Size,
    /// Every tensor: embedding, head, norms and biases included.
    pub all_tensors: Size,
    /// The assignment, in the order of the plan's tensors.
    pub tensors: Vec<Assigned>,
}

/// A measurement that this version never has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Uncalibrated {}

/// How large some tensors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Weights.
    pub weights: u64,
    /// Bytes with all scales, as stored.
    pub bytes: u64,
    /// `8 · bytes / weights`; 0 without weights.
    pub bits_per_weight: f64,
}

/// The format of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// Name in the program.
    pub name: String,
    /// Number format.
    pub format: Format,
    /// Packed layout.
    pub layout: Layout,
    /// Its size.
    pub size: Size,
}

impl Size {
    fn of<'a>(tensors: impl IntoIterator<Item = &'a TensorSpec>) -> Size {
        let mut size = Size::default();
        for tensor in tensors {
            size.weights += tensor.elements();
            size.bytes += tensor.stored_bytes();
        }
        if size.weights > 0 {
            size.bits_per_weight = 8.0 * size.bytes as f64 / size.weights as f64;
        }
        size
    }
}

impl Certificate {
    /// The certificate of a plan that was not calibrated.
    pub fn uncalibrated(spec: &PlanSpec) -> Certificate {
        let linears = spec.decoder_linears();
        let assigned = |t: &TensorSpec| Assigned {
            name: t.name.clone(),
            format: t.format,
            layout: t.layout,
            size: Size::of([t]),
        };
        Certificate {
            schema: CERTIFICATE_VERSION,
            calibration: None,
            recipe: spec.recipe.clone(),
            kv: spec.kv.format,
            decoder_linears: Size::of(spec.tensors.iter().zip(linears).filter_map(|(t, l)| l.then_some(t))),
            all_tensors: Size::of(&spec.tensors),
            tensors: spec.tensors.iter().map(assigned).collect(),
        }
    }
}
