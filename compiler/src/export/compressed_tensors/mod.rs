//! compressed-tensors, the format of llm-compressor, which vLLM and transformers read.

mod description;
mod float8;
mod packed;

use samp_abi::{Format, ScaleAxis, plan::Plan};

use super::{dense::Dense, encoding::Choice, float_type::FloatType, weight::CheckpointWeight};

pub(super) use description::describe;

/// What it holds exactly.
pub(super) const HOLDS: &str = "int4, int5 and int6 in any group, int8, fp8 and plain floats";

/// How the weights of a module are stored in codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scheme {
    /// OCP E4M3.
    Float8 {
        /// One scale for all, else one for each row.
        per_tensor: bool,
    },
    /// Integers packed into words.
    Packed {
        bits: u64,
        /// Columns that share a scale; all of a row where there is none.
        group: Option<u64>,
        zero_points: bool,
    },
}

/// What becomes of a weight.
enum Stored {
    Plain(FloatType),
    Coded(Scheme),
}

/// What a weight is stored as, or why it cannot be as it is.
fn stored(plan: &Plan, weight: &CheckpointWeight) -> Result<Stored, String> {
    let Some(format) = weight.format(plan) else {
        return Err("its rows are in several formats, and a module has one".into());
    };
    if let Some(plain) = FloatType::of_plain(format) {
        return Ok(Stored::Plain(plain));
    }
    if !weight.is_linear() {
        return Err("only linears are quantized".into());
    }
    let group = format.group().map(samp_abi::Group::size);
    Ok(Stored::Coded(match format {
        Format::Fp8E4m3(axis) => {
            Scheme::Float8 { per_tensor: axis == ScaleAxis::Tensor && weight.pieces.len() == 1 }
        }
        Format::Int4 { zero_point, .. } => Scheme::Packed { bits: 4, group, zero_points: zero_point },
        Format::Int5 { .. } | Format::Int6 { .. } | Format::Int8 { outliers: false } => {
            Scheme::Packed { bits: format.code_bits(), group, zero_points: false }
        }
        Format::Int8 { outliers: true } => return Err("no columns are kept apart".into()),
        Format::Nf4 | Format::Fp4 => return Err("there is no table of 16 values for codes".into()),
        Format::F32 | Format::F16 | Format::Bf16 => unreachable!("plain values were told above"),
    }))
}

/// How a weight is stored; in f16 what cannot be stored as it is.
pub(super) fn choose(plan: &Plan, weight: &CheckpointWeight) -> Choice {
    match stored(plan, weight) {
        Ok(Stored::Plain(to)) => Choice::exact(Dense(to)),
        Ok(Stored::Coded(scheme)) => Choice::exact(scheme),
        Err(why) => Choice::rounded(Dense(FloatType::F16), why),
    }
}

impl super::encoding::Encoding for Scheme {
    fn name(&self) -> String {
        match self {
            Scheme::Float8 { per_tensor: true } => "float-quantized, a scale for the tensor".into(),
            Scheme::Float8 { per_tensor: false } => "float-quantized, a scale for each row".into(),
            Scheme::Packed { bits, group, zero_points } => {
                let scales = match group {
                    Some(group) => format!("groups of {group}"),
                    None => "a scale for each row".into(),
                };
                let zeros = if *zero_points { ", zero points" } else { "" };
                format!("pack-quantized, {bits} bits, {scales}{zeros}")
            }
        }
    }

    fn float_type(&self) -> Option<FloatType> {
        matches!(self, Scheme::Packed { group: Some(_), .. }).then_some(FloatType::F16)
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<super::encoding::StoredPart> {
        match *self {
            Scheme::Float8 { per_tensor } => float8::parts(weight, per_tensor),
            Scheme::Packed { bits, group, zero_points } => packed::parts(weight, (bits, group, zero_points)),
        }
    }

    fn write(
        &self,
        plan: &samp_runtime::OpenPlan,
        weight: &CheckpointWeight,
        out: &mut super::encoding::OutputBytes,
    ) -> Result<f32, crate::emit::EmitError> {
        match *self {
            Scheme::Float8 { per_tensor } => float8::write(plan, weight, per_tensor, out)?,
            Scheme::Packed { bits, .. } => packed::write(plan, weight, bits, out)?,
        }
        Ok(0.0)
    }
}
