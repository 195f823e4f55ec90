//! Puts on every weight what each format would cost the model.
//!
//! Before: `samp.weight {key = "layers.0.mlp.down_proj"}`
//!
//! After: `samp.weight {key = "layers.0.mlp.down_proj", sensitivity = ["nf4:1.200e-4", "fp8_e4m3:2.100e-5"]}`
//!
//! Requires: fusion is done, and the measurement was of the fused graph. Ensures: every measured weight carries its formats
//! in the order measured. Does not: measure or choose; a weight that was not measured stays bare.

use samp_abi::Format;
use samp_ir::{Diagnostic, Module, OpId, WeightOp};

use crate::Changed;
use crate::error_code;

/// What a measurement says of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sensitivities {
    /// The weights that were measured.
    pub weights: Vec<WeightSensitivity>,
    /// Names of the strata, in the order of [`FormatCost::strata`].
    pub strata: Vec<String>,
}

/// What a measurement says of one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightSensitivity {
    /// Its name in the graph.
    pub key: String,
    /// Its outlier columns, ascending: those whose input channels are far above the others.
    pub outliers: Vec<u32>,
    /// The formats that it can have.
    pub formats: Vec<FormatCost>,
    /// What each member of a fused linear costs by itself; none where that is not known or there are none.
    pub members: Vec<MemberSensitivity>,
}

/// What a measurement says of one member of a fused linear.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSensitivity {
    /// Its name, such as `layers.0.self_attn.q_proj`.
    pub key: String,
    /// Its output channels among those of the fused linear.
    pub rows: u64,
    /// The formats that it can have.
    pub formats: Vec<FormatCost>,
}

impl Sensitivities {
    /// The outlier columns of a weight, or of the one that a member is of.
    pub fn outliers_of(&self, key: &str) -> &[u32] {
        let is_it = |w: &&WeightSensitivity| w.key == key || w.members.iter().any(|member| member.key == key);
        self.weights.iter().find(is_it).map_or(&[], |weight| &weight.outliers)
    }
}

/// What one format costs one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatCost {
    /// The format that is measured.
    pub format: Format,
    /// Divergence of the model with only this weight in the format, in nats per token.
    pub nats: f64,
    /// The same over each stratum.
    pub strata: Vec<f64>,
}

/// Annotates every measured weight.
pub fn annotate_sensitivity(module: &mut Module, known: &Sensitivities) -> Result<Changed, Diagnostic> {
    let weights: Vec<(OpId, String)> =
        module.views::<WeightOp>().map(|w| (w.id(), w.key().to_owned())).collect();
    for measured in &known.weights {
        let Some((weight, _)) = weights.iter().find(|(_, key)| *key == measured.key) else {
            let message = format!("expected a weight of the graph, found `{}` in the profile", measured.key);
            return Err(Diagnostic::bad_input(error_code::UNKNOWN_WEIGHT, message)
                .hint("measure this model again; the profile is of another one"));
        };
        let formats: Vec<(Format, f64)> = measured.formats.iter().map(|f| (f.format, f.nats)).collect();
        module.set_sensitivity(*weight, &formats);
    }
    Ok(Changed(known.weights.len()))
}
