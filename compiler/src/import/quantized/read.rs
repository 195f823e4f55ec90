//! How the tensors of each method make a weight. The layouts are those that the methods' own libraries write and read.

use safetensors::Dtype;

use super::{
    super::e2m1::E2M1,
    bitsandbytes,
    codes::Packing,
    compressed::{Scheme, Sharing, scheme_of},
    method::Method,
    module::{Fault, QuantizedModule, Scaling},
    scales::{Meaning, Order},
    weight::{Codebook, Codes, GridWeight, Groups, ZeroPoints},
};

/// Columns that share a scale in NVFP4 and in MXFP4.
const NVFP4_GROUP: usize = 16;
const MXFP4_GROUP: usize = 32;

/// The weight of a module; `None` where it is not quantized, and stored as it is.
pub(super) fn weight(method: &Method, module: &QuantizedModule<'_>) -> Result<Option<GridWeight>, Fault> {
    let quantized = match method {
        Method::Gptq { .. } | Method::Awq { .. } => module.part("qweight").is_some(),
        _ => {
            let is_plain = |dtype| matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
            let part = module.part("weight_packed").or_else(|| module.part("weight"));
            // bitsandbytes may keep its bytes under the name of a float type.
            let has_absmax = module.part("weight.absmax").is_some();
            part.is_some_and(|found| has_absmax || !is_plain(found.dtype()))
        }
    };
    if !quantized {
        return Ok(None);
    }
    match method {
        Method::Gptq { bits, group, version } => gptq(module, *bits, *group, *version),
        Method::Awq { group } => awq(module, *group),
        Method::CompressedTensors(schemes) => match scheme_of(schemes, module.name) {
            Some(scheme) => compressed_tensors(module, scheme),
            None => Err("expected a group of `config_groups` for it, found none".into()),
        },
        Method::Bitsandbytes => bitsandbytes::weight(module),
        Method::Fp8 { block } => fp8(module, *block),
        Method::Nvfp4 => nvfp4(module),
    }
    .map(Some)
}

/// Words along the inputs; zero points along the outputs, in version 1 less one; a group for each input.
fn gptq(
    module: &QuantizedModule<'_>,
    bits: usize,
    group: Option<usize>,
    version: u8,
) -> Result<GridWeight, Fault> {
    let size = group.unwrap_or(module.cols);
    let groups = module.cols.div_ceil(size);
    let scaling = scales_by_group(module, groups, size)?;
    let zeros =
        module.codes(module.need("qzeros", &[Dtype::I32])?, Packing::Across, bits, [groups, module.rows])?;
    let zeros = if version == 1 { zeros.plus_one() } else { zeros };
    let codes = module.codes(
        module.need("qweight", &[Dtype::I32])?,
        Packing::Down,
        bits,
        [module.cols, module.rows],
    )?;
    let book = Codebook::Unsigned { less: 0 };
    let zeros = ZeroPoints { array: zeros, transposed: true, book: book.clone() };
    let groups = match module.part("g_idx") {
        Some(_) => listed_groups(module, "g_idx", groups, size)?,
        None => Groups::Columns(size),
    };
    let codes = Codes { array: codes, transposed: true, book };
    module.weight(codes, Some(zeros), Scaling { groups, ..scaling })
}

/// Scales in `[groups, rows]`.
fn scales_by_group(module: &QuantizedModule<'_>, groups: usize, size: usize) -> Result<Scaling, Fault> {
    let scales = module.need("scales", &[Dtype::F16, Dtype::BF16, Dtype::F32])?;
    let expected = [groups as u64, module.rows as u64];
    if scales.shape() != expected {
        let found = scales.shape();
        return Err(format!(
            "expected `scales` of shape {expected:?} for groups of {size} columns, found {found:?}"
        ));
    }
    module.scaled(scales, Order::ColumnMajor { rows: module.rows }, Groups::Columns(size), Meaning::Itself)
}

/// The group of each column as a tensor names it; the columns themselves where each group's follow one another.
fn listed_groups(
    module: &QuantizedModule<'_>,
    ending: &str,
    groups: usize,
    size: usize,
) -> Result<Groups, Fault> {
    let tensor = module.need(ending, &[Dtype::I32])?;
    if tensor.elements() != module.cols {
        return Err(format!("expected `{ending}` of {} columns, found {:?}", module.cols, tensor.shape()));
    }
    let listed: Vec<u32> = (0..module.cols).map(|col| tensor.word(col)).collect();
    if let Some(col) = listed.iter().position(|&group| group as usize >= groups) {
        let found = listed[col] as i32;
        return Err(format!("expected groups below {groups} in `{ending}`, found {found} of column {col}"));
    }
    let in_order = listed.iter().enumerate().all(|(col, &group)| group as usize == col / size);
    Ok(if in_order { Groups::Columns(size) } else { Groups::Listed(listed) })
}

/// Words along the outputs, eight of them in AWQ's order.
fn awq(module: &QuantizedModule<'_>, group: Option<usize>) -> Result<GridWeight, Fault> {
    let size = group.unwrap_or(module.cols);
    let groups = module.cols.div_ceil(size);
    let scaling = scales_by_group(module, groups, size)?;
    let zeros =
        module.codes(module.need("qzeros", &[Dtype::I32])?, Packing::Awq, 4, [groups, module.rows])?;
    let codes =
        module.codes(module.need("qweight", &[Dtype::I32])?, Packing::Awq, 4, [module.cols, module.rows])?;
    let book = Codebook::Unsigned { less: 0 };
    let zeros = ZeroPoints { array: zeros, transposed: true, book: book.clone() };
    module.weight(Codes { array: codes, transposed: true, book }, Some(zeros), scaling)
}

fn compressed_tensors(module: &QuantizedModule<'_>, scheme: &Scheme) -> Result<GridWeight, Fault> {
    match (scheme.float, scheme.bits) {
        (true, 8) => match scheme.sharing {
            Sharing::Block(block) => fp8(module, Some(block)),
            Sharing::TensorOrRow | Sharing::Group(_) => fp8(module, None),
        },
        (true, _) if module.part("weight_global_scale").is_some() => nvfp4(module),
        (true, _) => mxfp4(module),
        (false, _) => integers(module, scheme),
    }
}

/// Integers, packed into words or one to a byte.
fn integers(module: &QuantizedModule<'_>, scheme: &Scheme) -> Result<GridWeight, Fault> {
    let (rows, cols, bits) = (module.rows, module.cols, scheme.bits);
    let group = match scheme.sharing {
        Sharing::Group(size) => Some(size),
        Sharing::TensorOrRow => None,
        Sharing::Block(_) => return Err("expected blocks for floats only, found integers".into()),
    };
    let scales = module.need("weight_scale", &[Dtype::F32, Dtype::F16, Dtype::BF16])?;
    let mut scaling = module.scaling(scales, group, Meaning::Itself)?;
    let size = group.unwrap_or(cols);
    let groups = cols.div_ceil(size);
    if module.part("weight_g_idx").is_some() {
        scaling.groups = listed_groups(module, "weight_g_idx", groups, size)?;
    }
    let packed = module.part("weight_packed").is_some();
    let (codes, book) = if packed {
        check_shape(module)?;
        let tensor = module.need("weight_packed", &[Dtype::I32])?;
        (
            module.codes(tensor, Packing::Across, bits, [rows, cols])?,
            Codebook::Unsigned { less: 1 << (bits - 1) },
        )
    } else {
        (
            module.codes(module.need("weight", &[Dtype::I8])?, Packing::Across, 8, [rows, cols])?,
            Codebook::Signed,
        )
    };
    let zeros = match module.part("weight_zero_point") {
        None => None,
        Some(zeros) if packed => {
            if !matches!(bits, 2 | 4 | 8) {
                return Err(format!("expected zero points of 2, 4 or 8 bits, found {bits}"));
            }
            let array = module.codes(zeros, Packing::Down, bits, [rows, groups])?;
            Some(ZeroPoints { array, transposed: false, book: book.clone() })
        }
        Some(zeros) => {
            let array = module.codes(zeros, Packing::Across, 8, [rows, groups])?;
            Some(ZeroPoints { array, transposed: false, book: Codebook::Signed })
        }
    };
    module.weight(Codes { array: codes, transposed: false, book }, zeros, scaling)
}

/// The shape that packed words are stated to stand for is the module's.
fn check_shape(module: &QuantizedModule<'_>) -> Result<(), Fault> {
    let stated = module.need("weight_shape", &[Dtype::I64, Dtype::I32])?;
    let numbers: Vec<i64> = match stated.dtype() {
        Dtype::I64 => stated.bytes().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        _ => stated.bytes().as_chunks().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect(),
    };
    let expected = [module.rows as i64, module.cols as i64];
    if numbers == expected {
        return Ok(());
    }
    Err(format!("expected `weight_shape` to be {expected:?}, found {numbers:?}"))
}

/// OCP E4M3 times a scale for all, for each row or for each block. `weight_scale_inv` is multiplied, too.
fn fp8(module: &QuantizedModule<'_>, block: Option<[usize; 2]>) -> Result<GridWeight, Fault> {
    let weight = module.need("weight", &[Dtype::F8_E4M3])?;
    let codes = module.codes(weight, Packing::Across, 8, [module.rows, module.cols])?;
    let ending = if module.part("weight_scale_inv").is_some() { "weight_scale_inv" } else { "weight_scale" };
    let scales = module.need(ending, &[Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F8_E8M0])?;
    let scaling = match block {
        Some(block) => module.block_scaling(scales, block)?,
        None => module.scaling(scales, None, Meaning::Itself)?,
    };
    module.weight(Codes { array: codes, transposed: false, book: Codebook::Fp8 }, None, scaling)
}

/// E2M1 times an E4M3 scale of 16 columns, which compressed-tensors divides by that of the whole and ModelOpt multiplies.
fn nvfp4(module: &QuantizedModule<'_>) -> Result<GridWeight, Fault> {
    // ModelOpt leaves some modules in fp8.
    if module.part("weight").is_some_and(|weight| weight.dtype() == Dtype::F8_E4M3) {
        return fp8(module, None);
    }
    let divided = module.part("weight_global_scale").is_some();
    let (ending, meaning) = if divided {
        let divisor = module.number("weight_global_scale")?;
        ("weight_packed", Meaning::DividedBy(divisor))
    } else {
        ("weight", Meaning::Times(module.number("weight_scale_2")?))
    };
    let packed = module.need(ending, &[Dtype::U8])?;
    let scales = module.need("weight_scale", &[Dtype::F8_E4M3])?;
    e2m1(module, packed, module.scaling(scales, Some(NVFP4_GROUP), meaning)?)
}

/// E2M1 times a power of two for each 32 columns.
fn mxfp4(module: &QuantizedModule<'_>) -> Result<GridWeight, Fault> {
    let packed = module.need("weight_packed", &[Dtype::U8])?;
    let scales = module.need("weight_scale", &[Dtype::U8, Dtype::F8_E8M0])?;
    e2m1(module, packed, module.scaling(scales, Some(MXFP4_GROUP), Meaning::Itself)?)
}

/// The first of two codes lies in the low nibble.
fn e2m1(
    module: &QuantizedModule<'_>,
    packed: super::stored::StoredTensor,
    scaling: Scaling,
) -> Result<GridWeight, Fault> {
    let array = module.codes(packed, Packing::Across, 4, [module.rows, module.cols])?;
    module.weight(Codes { array, transposed: false, book: Codebook::Table(E2M1) }, None, scaling)
}
