//! The three types of bitsandbytes: nf4 and fp4, whose absmax values may be quantized in turn, and int8.

use safetensors::Dtype;

use super::{
    codes::Packing,
    module::{Fault, QuantizedModule, Scaling},
    scales::{Element, Meaning, Order, element},
    stored::StoredTensor,
    weight::{Codebook, Codes, GridWeight, Groups},
};
use crate::import::json::Object;

/// A larger description of how a weight was quantized is none.
const MAX_STATE_BYTES: usize = 1 << 16;
/// What the codes of a row are multiplied by beside its largest magnitude: 1/127, as the library rounds it.
const INT8_UNIT: f32 = 7.874_016e-3;
/// Where the description of a 4-bit weight lies, by its type.
const STATES: [&str; 2] = ["weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"];

pub(super) fn weight(module: &QuantizedModule<'_>) -> Result<GridWeight, Fault> {
    if module.part("SCB").is_some() {
        return int8(module);
    }
    match STATES.iter().find_map(|state| module.part(state)) {
        Some(state) => four_bits(module, &state),
        None => {
            Err("expected `weight.quant_state.bitsandbytes__nf4`, `…__fp4` or `SCB` beside it, found none"
                .into())
        }
    }
}

/// Codes times the largest magnitude of their row and times 1/127, rounded after each, as the library does.
fn int8(module: &QuantizedModule<'_>) -> Result<GridWeight, Fault> {
    if let Some(order) =
        module.part("weight_format").filter(|order| order.bytes().iter().any(|&byte| byte != 0))
    {
        return Err(format!(
            "expected codes in rows (`weight_format` 0), found {:?}: older files are in the order of one kernel",
            order.bytes().first()
        ));
    }
    let codes = module.need("weight", &[Dtype::I8])?;
    let array = module.codes(codes, Packing::Across, 8, [module.rows, module.cols])?;
    let scaling = module.scaling(module.need("SCB", &[Dtype::F32])?, None, Meaning::Itself)?;
    let weight = module.weight(Codes { array, transposed: false, book: Codebook::Signed }, None, scaling)?;
    Ok(GridWeight { factor: Some(INT8_UNIT), ..weight })
}

/// What the description of a 4-bit weight says.
struct State {
    block: usize,
    nested_block: Option<usize>,
    offset: f32,
}

fn four_bits(module: &QuantizedModule<'_>, state: &StoredTensor) -> Result<GridWeight, Fault> {
    let State { block, nested_block, offset } = state_of(module, state)?;
    let (rows, cols) = (module.rows, module.cols);
    let blocks = (rows * cols).div_ceil(block);
    let map = numbers(module, "weight.quant_map", 16)?;
    let table = std::array::from_fn(|code| map[code]);
    let count = |tensor: &StoredTensor, expected: usize| match tensor.elements() {
        found if found == expected => Ok(()),
        found => Err(format!("expected {expected} values in `{}`, found {found}", tensor.name())),
    };
    let (absmax, meaning) = match nested_block {
        None => (module.need("weight.absmax", &[Dtype::F32])?, Meaning::Itself),
        Some(group) => {
            let scales = module.need("weight.nested_absmax", &[Dtype::F32])?;
            count(&scales, blocks.div_ceil(group))?;
            let map = numbers(module, "weight.nested_quant_map", 256)?;
            (module.need("weight.absmax", &[Dtype::U8])?, Meaning::Nested { map, scales, group, offset })
        }
    };
    count(&absmax, blocks)?;
    let scaling = module.scaled(absmax, Order::Flat, Groups::Flat(block), meaning)?;
    let packed = module.need("weight", &[])?;
    let array = module.codes(packed, Packing::HighNibbleFirst, 4, [rows, cols])?;
    let Scaling { scales, groups } = scaling;
    let codes = Codes { array, transposed: false, book: Codebook::Table(table) };
    module.weight(codes, None, Scaling { scales, groups })
}

/// So many f32 values.
fn numbers(module: &QuantizedModule<'_>, ending: &str, count: usize) -> Result<Vec<f32>, Fault> {
    let tensor = module.need(ending, &[Dtype::F32])?;
    let values: Vec<f32> = (0..tensor.elements()).map(|i| element(Element::F32, tensor.bytes(), i)).collect();
    if values.len() == count && values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(format!("expected {count} finite values in `{ending}`, found {}", values.len()))
}

fn state_of(module: &QuantizedModule<'_>, state: &StoredTensor) -> Result<State, Fault> {
    let bytes = state.bytes();
    if bytes.len() > MAX_STATE_BYTES {
        let found = bytes.len();
        return Err(format!("expected at most {MAX_STATE_BYTES} bytes in `{}`, found {found}", state.name()));
    }
    parse_state(bytes, state.name(), [module.rows as u64, module.cols as u64])
        .map_err(|finding| finding.message)
}

fn parse_state(bytes: &[u8], name: &str, shape: [u64; 2]) -> Result<State, samp_ir::Diagnostic> {
    const BLOCKS: std::ops::RangeInclusive<u64> = 1..=1 << 20;
    let mut keys = Object::parse(bytes, name)?;
    let block = keys.integer("blocksize", BLOCKS)?;
    let block = block.ok_or_else(|| keys.missing("blocksize", "how many weights share an absmax"))?;
    let stated = keys.take("shape").unwrap_or_default();
    if stated != serde_json::json!(shape) {
        return Err(keys.wrong("shape", &format!("{shape:?}, as the architecture has it"), &stated));
    }
    let nested_block = keys.integer("nested_blocksize", BLOCKS)?.map(|block| block as usize);
    let offset = keys.number("nested_offset", "a finite number", |_| true)?.unwrap_or(0.0) as f32;
    keys.finish(|key| ["quant_type", "dtype", "nested_dtype"].contains(&key))?;
    Ok(State { block: block as usize, nested_block, offset })
}
