//! bitsandbytes: nf4 and fp4 with block maxima that are quantized in turn, and int8 by rows.

use safetensors::Dtype;
use samp_abi::{ABSMAX_GROUP, BLOCK, Component, Format, plan::Plan};
use samp_kernels::format::{ABSMAX_MAP, table};
use samp_runtime::OpenPlan;
use serde_json::{Value, json};

use super::{
    dense::Dense,
    encoding::{Choice, Encoding, OutputBytes, StoredPart},
    float_type::{FloatType, relative_error},
    rows::{WeightRows, unpacked},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

/// What it holds exactly.
pub(super) const HOLDS: &str = "nf4, fp4 and plain floats";
/// What the library multiplies the codes of int8 by beside the largest magnitude of their row: 1/127, rounded.
const INT8_UNIT: f32 = 7.874_016e-3;
/// The largest code.
const INT8_MAX: f32 = 127.0;

/// The one width of codes that a checkpoint of bitsandbytes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Four,
    Eight,
}

/// The width of most of a plan's linears.
pub(super) fn width(plan: &Plan) -> Width {
    let weights = |wanted: fn(Format) -> bool| -> u64 {
        plan.tensors.iter().filter(|tensor| wanted(tensor.format)).map(|tensor| tensor.weights()).sum()
    };
    let eight = weights(|format| matches!(format, Format::Int8 { outliers: false }));
    if eight > weights(is_blocks) { Width::Eight } else { Width::Four }
}

fn is_blocks(format: Format) -> bool {
    matches!(format, Format::Nf4 | Format::Fp4)
}

/// How a weight is stored; in f16 what cannot be stored as it is.
pub(super) fn choose(plan: &OpenPlan, weight: &CheckpointWeight) -> Choice {
    let manifest = plan.manifest();
    let dense = |why: &str| Choice::rounded(Dense(FloatType::F16), why);
    let Some(format) = weight.format(manifest) else {
        return dense("its rows are in several formats, and a module has one");
    };
    if let Some(plain) = FloatType::of_plain(format) {
        return Choice::exact(Dense(plain));
    }
    if !weight.is_linear() || weight.name == "lm_head.weight" {
        return dense("only linears of the layers are quantized");
    }
    match (format, width(manifest)) {
        (Format::Nf4 | Format::Fp4, Width::Four) if !begins_a_group(weight) => {
            dense("its block maxima begin in the midst of a group of the plan's fused tensor")
        }
        (Format::Nf4 | Format::Fp4, Width::Four) => Choice::exact(Blocks(format)),
        (Format::Int8 { outliers: false }, Width::Eight) => {
            let rows = Int8Rows;
            match rows.largest_error(plan, weight) {
                0.0 => Choice::exact(rows),
                _ => Choice::rounded(rows, "the library multiplies twice, by a row's maximum and by 1/127"),
            }
        }
        (Format::Nf4 | Format::Fp4 | Format::Int8 { outliers: false }, _) => {
            dense("a checkpoint has 4 bits or 8, and most of the plan has the others")
        }
        (Format::Int8 { outliers: true }, _) => dense("columns are kept apart at run time alone"),
        _ => dense("it has nf4, fp4 and int8 alone"),
    }
}

/// Whether the weight's first block begins a group of block maxima, as it does by itself.
fn begins_a_group(weight: &CheckpointWeight) -> bool {
    matches!(weight.pieces.as_slice(), [piece] if piece.start.is_multiple_of(BLOCK * ABSMAX_GROUP))
}

/// Codes of 4 bits, block maxima in codes, and scales and mean of these.
struct Blocks(Format);

impl Encoding for Blocks {
    fn name(&self) -> String {
        format!("{}, double-quantized", self.0)
    }

    fn float_type(&self) -> Option<FloatType> {
        None
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart> {
        let blocks = weight.elements() / BLOCK;
        let part = |ending: &str, dtype, shape: &[u64]| StoredPart::of(weight, ending, dtype, shape);
        let state = format!("weight.quant_state.bitsandbytes__{}", self.0);
        vec![
            part("weight", Dtype::U8, &[weight.elements() / 2, 1]),
            part("weight.absmax", Dtype::U8, &[blocks]),
            part("weight.nested_absmax", Dtype::F32, &[blocks.div_ceil(ABSMAX_GROUP)]),
            part("weight.nested_quant_map", Dtype::F32, &[ABSMAX_MAP.len() as u64]),
            part("weight.quant_map", Dtype::F32, &[16]),
            part(&state, Dtype::U8, &[STATE_BYTES as u64]),
        ]
    }

    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError> {
        let tensors = unpacked(plan, weight);
        let tensor = tensors[0].view();
        let start = weight.pieces[0].start as usize;
        let (weights, block) = (weight.elements() as usize, BLOCK as usize);
        let (first, blocks) = (start / block, weights / block);
        let group = ABSMAX_GROUP as usize;
        out.put(&tensor.part(Component::Values)[start / 2..][..weights / 2])?;
        out.put(&tensor.part(Component::AbsmaxCodes)[first..][..blocks])?;
        out.put(&tensor.part(Component::AbsmaxScales)[4 * (first / group)..][..4 * blocks.div_ceil(group)])?;
        out.put(bytemuck::cast_slice(&ABSMAX_MAP))?;
        out.put(bytemuck::cast_slice(table(self.0)))?;
        let mean = tensor.part_as::<f32>(Component::AbsmaxOffset)[0];
        out.put(&state(self.0, weight, mean))?;
        Ok(0.0)
    }
}

/// Bytes of the description of a weight, filled up with spaces: sizes and a mean of any length fit.
const STATE_BYTES: usize = 256;

/// The description of a weight, as JSON.
fn state(format: Format, weight: &CheckpointWeight, mean: f32) -> Vec<u8> {
    let state = json!({
        "quant_type": format.name(), "blocksize": BLOCK, "dtype": "float16", "shape": weight.shape,
        "nested_blocksize": ABSMAX_GROUP, "nested_dtype": "float32", "nested_offset": f64::from(mean),
    });
    let mut bytes = state.to_string().into_bytes();
    bytes.resize(STATE_BYTES.max(bytes.len()), b' ');
    bytes
}

/// Codes of 8 bits, and the largest magnitude of each row.
struct Int8Rows;

impl Int8Rows {
    /// The largest relative error of any value, as the library decodes it.
    fn largest_error(&self, plan: &OpenPlan, weight: &CheckpointWeight) -> f32 {
        let tensors = unpacked(plan, weight);
        let rows = WeightRows::row_major(weight, &tensors);
        let error = |row: usize| {
            let (tensor, at) = rows.locate(row);
            let scale = tensor.part_as::<f32>(Component::Scales)[at];
            let maximum = scale * INT8_MAX;
            let codes = &tensor.part(Component::Values)[at * rows.cols..][..rows.cols];
            let of = |code: &u8| {
                let code = f32::from(*code as i8);
                relative_error(code * scale, code * maximum * INT8_UNIT)
            };
            codes.iter().map(of).fold(0.0, f32::max)
        };
        (0..rows.rows).map(error).fold(0.0, f32::max)
    }
}

impl Encoding for Int8Rows {
    fn name(&self) -> String {
        "int8, the maximum of each row".into()
    }

    fn float_type(&self) -> Option<FloatType> {
        None
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart> {
        vec![
            StoredPart::of(weight, "weight", Dtype::I8, &weight.shape),
            StoredPart::of(weight, "SCB", Dtype::F32, &weight.shape[..1]),
            StoredPart::of(weight, "weight_format", Dtype::U8, &[]),
        ]
    }

    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError> {
        let tensors = unpacked(plan, weight);
        let rows = WeightRows::row_major(weight, &tensors);
        for row in 0..rows.rows {
            let (tensor, at) = rows.locate(row);
            out.put(&tensor.part(Component::Values)[at * rows.cols..][..rows.cols])?;
        }
        for row in 0..rows.rows {
            let (tensor, at) = rows.locate(row);
            out.put(&(tensor.part_as::<f32>(Component::Scales)[at] * INT8_MAX).to_le_bytes())?;
        }
        // Codes lie in rows.
        out.put(&[0])?;
        Ok(self.largest_error(plan, weight))
    }
}

/// What `quantization_config` says of linears, each with the name of how it is stored.
pub(super) fn describe(plan: &Plan, linears: &[(&str, String)]) -> Value {
    let is_plain = |name: &str| FloatType::ALL.iter().any(|float| float.name() == name);
    let skipped: Vec<&str> =
        linears.iter().filter(|(_, name)| is_plain(name)).map(|(module, _)| *module).collect();
    let four = width(plan) == Width::Four;
    let kind =
        if linears.iter().any(|(_, name)| name.starts_with(Format::Nf4.name())) { "nf4" } else { "fp4" };
    let mut description = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": four,
        "load_in_8bit": !four,
        "llm_int8_skip_modules": skipped,
    });
    if four {
        for (key, value) in [
            ("bnb_4bit_quant_type", json!(kind)),
            ("bnb_4bit_use_double_quant", json!(true)),
            ("bnb_4bit_compute_dtype", json!("float16")),
            ("bnb_4bit_quant_storage", json!("uint8")),
        ] {
            description[key] = value;
        }
    }
    description
}
