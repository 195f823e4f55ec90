//! Number formats of weights, their stored components and the bytes these take.

use serde::{Deserialize, Serialize};

/// Weights per absmax block of the 4-bit float formats, along the input dimension (QLoRA, section 3).
pub const BLOCK: u64 = 64;
/// Absmax values per group of the double quantization (QLoRA, section 3).
pub const ABSMAX_GROUP: u64 = 256;

/// How a tensor's values are encoded. The text form (`Display`, `FromStr`, serde) is the name used in
/// recipes, plans and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// OCP E4M3 (largest value 448, no infinities) times an f32 scale.
    Fp8E4m3(ScaleAxis),
    /// Symmetric int8 in −127..=127 times an f32 scale per output channel. With `outliers`, the columns
    /// named in [`Component::OutlierColumns`] are kept in f16 and are zero in the codes (LLM.int8()).
    Int8 {
        /// Whether outlier columns are kept apart.
        outliers: bool,
    },
    /// 4-bit integers times an f16 scale per group along the input dimension: −8..=7 in two's complement
    /// when symmetric, 0..=15 minus a 4-bit zero point otherwise. A symmetric scale may be negative.
    Int4 {
        /// Weights per scale.
        group: Group,
        /// Whether each group also has a zero point.
        zero_point: bool,
    },
    /// Integers in −16..=15 times an f16 scale per group, which may be negative.
    Int5 {
        /// Weights per scale.
        group: Group,
    },
    /// Integers in −32..=31 times an f16 scale per group, which may be negative.
    Int6 {
        /// Weights per scale.
        group: Group,
    },
    /// QLoRA NormalFloat4 in blocks of 64 with double-quantized absmax, as bitsandbytes stores it.
    Nf4,
    /// E2M1 in blocks of 64 with double-quantized absmax, as bitsandbytes stores it.
    Fp4,
}

/// What one scale of an fp8 tensor covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScaleAxis {
    /// One scale per output channel (row).
    Channel,
    /// One scale for the tensor.
    Tensor,
}

/// Group size of the int4, int5 and int6 formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// 64 weights per scale.
    G64,
    /// 128 weights per scale.
    G128,
}

impl Group {
    /// Weights per scale.
    pub const fn size(self) -> u64 {
        match self {
            Group::G64 => 64,
            Group::G128 => 128,
        }
    }
}

/// Element type of stored bytes and of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ElementType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// Unsigned 32-bit integer.
    U32,
}

impl ElementType {
    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            ElementType::F32 | ElementType::U32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
            ElementType::U8 | ElementType::I8 => 1,
        }
    }

    /// The name that safetensors headers use.
    pub const fn safetensors_name(self) -> &'static str {
        match self {
            ElementType::F32 => "F32",
            ElementType::F16 => "F16",
            ElementType::Bf16 => "BF16",
            ElementType::U8 => "U8",
            ElementType::I8 => "I8",
            ElementType::U32 => "U32",
        }
    }
}

/// One stored array of an encoded tensor. Its name is the suffix of the array's name in a weights file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The codes, or the plain values. 4-bit codes lie two to a byte, the first in the high nibble.
    /// Wider ones lie in runs, see [`Format::run`].
    Values,
    /// Scales: f32 per channel or tensor (fp8, int8), f16 per group (int4, int5, int6).
    Scales,
    /// 4-bit zero points, one per group, two to a byte, the first in the high nibble (int4).
    ZeroPoints,
    /// 8-bit codes of the block absmax values (nf4, fp4).
    AbsmaxCodes,
    /// f32 scale of each group of 256 absmax codes, in row-major block order (nf4, fp4).
    AbsmaxScales,
    /// The f32 mean that was subtracted from every absmax before it was encoded (nf4, fp4).
    AbsmaxOffset,
    /// Ascending indices of the columns kept in f16 (int8 with outliers).
    OutlierColumns,
    /// f16 values of the outlier columns, `[rows, columns kept]` (int8 with outliers).
    OutlierValues,
}

crate::named_enum! {
    Component {
        (Component::Values) => "values",
        (Component::Scales) => "scales",
        (Component::ZeroPoints) => "zero_points",
        (Component::AbsmaxCodes) => "absmax_codes",
        (Component::AbsmaxScales) => "absmax_scales",
        (Component::AbsmaxOffset) => "absmax_offset",
        (Component::OutlierColumns) => "outlier_columns",
        (Component::OutlierValues) => "outlier_values",
    }
}

/// Type and shape of one stored array, in row-major layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentSpec {
    /// Which array of the tensor it is.
    pub component: Component,
    /// What its elements are stored as.
    pub dtype: ElementType,
    /// Its extent in each dimension.
    pub shape: Vec<u64>,
}

impl ComponentSpec {
    fn new(component: Component, dtype: ElementType, shape: &[u64]) -> ComponentSpec {
        ComponentSpec { component, dtype, shape: shape.to_vec() }
    }

    /// Bytes of the array.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.bytes()
    }
}

impl Format {
    /// Int8 without outlier columns.
    pub const INT8: Format = Format::Int8 { outliers: false };
    /// Int8 with outlier columns.
    pub const INT8_OUTLIERS: Format = Format::Int8 { outliers: true };

    /// Bits of one code, scales not counted.
    pub const fn code_bits(self) -> u64 {
        match self {
            Format::F32 => 32,
            Format::F16 | Format::Bf16 => 16,
            Format::Fp8E4m3(_) | Format::Int8 { .. } => 8,
            Format::Int6 { .. } => 6,
            Format::Int5 { .. } => 5,
            Format::Int4 { .. } | Format::Nf4 | Format::Fp4 => 4,
        }
    }

    /// Group of the formats that have an f16 scale for each group of columns.
    pub const fn group(self) -> Option<Group> {
        match self {
            Format::Int4 { group, .. } | Format::Int5 { group } | Format::Int6 { group } => Some(group),
            _ => None,
        }
    }

    /// Codes that fill whole bytes together, of formats with codes of at most 8 bits. A run of 5- or 6-bit codes is the
    /// low four bits of each, two to a byte, the first in the high nibble, and then one byte of what is above, the first
    /// code's in the highest bits.
    pub const fn run(self) -> u64 {
        match self.code_bits() {
            4 => 2,
            5 => 8,
            6 => 4,
            _ => 1,
        }
    }

    /// The number of columns must be a multiple of this.
    pub const fn column_multiple(self) -> u64 {
        match self {
            Format::Int4 { group, .. } | Format::Int5 { group } | Format::Int6 { group } => group.size(),
            Format::Nf4 | Format::Fp4 => BLOCK,
            _ => 1,
        }
    }

    /// What the values are stored as where they stand as they are; `None` of codes.
    pub const fn plain(self) -> Option<ElementType> {
        match self {
            Format::F32 => Some(ElementType::F32),
            Format::F16 => Some(ElementType::F16),
            Format::Bf16 => Some(ElementType::Bf16),
            _ => None,
        }
    }

    /// The arrays that a `[rows, cols]` tensor is stored as, in row-major layout; `outliers` is the number
    /// of outlier columns and only counts for [`Format::Int8`] with outliers. `cols` must be a multiple of
    /// [`Format::column_multiple`].
    pub fn components(self, rows: u64, cols: u64, outliers: u64) -> Vec<ComponentSpec> {
        use Component as C;
        use ElementType as E;
        let spec = ComponentSpec::new;
        match self {
            Format::F32 => vec![spec(C::Values, E::F32, &[rows, cols])],
            Format::F16 => vec![spec(C::Values, E::F16, &[rows, cols])],
            Format::Bf16 => vec![spec(C::Values, E::Bf16, &[rows, cols])],
            Format::Fp8E4m3(axis) => {
                let scales = if axis == ScaleAxis::Channel { rows } else { 1 };
                vec![spec(C::Values, E::U8, &[rows, cols]), spec(C::Scales, E::F32, &[scales])]
            }
            Format::Int8 { outliers: kept } => {
                let mut specs = vec![spec(C::Values, E::I8, &[rows, cols]), spec(C::Scales, E::F32, &[rows])];
                if kept {
                    specs.push(spec(C::OutlierColumns, E::U32, &[outliers]));
                    specs.push(spec(C::OutlierValues, E::F16, &[rows, outliers]));
                }
                specs
            }
            Format::Int4 { group, zero_point } => {
                let groups = cols / group.size();
                let mut specs =
                    vec![spec(C::Values, E::U8, &[rows, cols / 2]), spec(C::Scales, E::F16, &[rows, groups])];
                if zero_point {
                    specs.push(spec(C::ZeroPoints, E::U8, &[(rows * groups).div_ceil(2)]));
                }
                specs
            }
            Format::Int5 { group } | Format::Int6 { group } => vec![
                spec(C::Values, E::U8, &[rows, cols * self.code_bits() / 8]),
                spec(C::Scales, E::F16, &[rows, cols / group.size()]),
            ],
            Format::Nf4 | Format::Fp4 => {
                let blocks = cols / BLOCK;
                vec![
                    spec(C::Values, E::U8, &[rows, cols / 2]),
                    spec(C::AbsmaxCodes, E::U8, &[rows, blocks]),
                    spec(C::AbsmaxScales, E::F32, &[(rows * blocks).div_ceil(ABSMAX_GROUP)]),
                    spec(C::AbsmaxOffset, E::F32, &[1]),
                ]
            }
        }
    }

    /// Bytes of a `[rows, cols]` tensor with all its scales, in row-major layout, without outlier columns.
    pub fn bytes(self, rows: u64, cols: u64) -> u64 {
        self.components(rows, cols, 0).iter().map(ComponentSpec::bytes).sum()
    }
}

crate::named_enum! {
    Format, "format", ParseFormatError {
        (Format::F32) => "f32",
        (Format::F16) => "f16",
        (Format::Bf16) => "bf16",
        (Format::Fp8E4m3(ScaleAxis::Channel)) => "fp8_e4m3" | "fp8",
        (Format::Fp8E4m3(ScaleAxis::Tensor)) => "fp8_e4m3_tensor",
        (Format::Int8 { outliers: false }) => "int8",
        (Format::Int8 { outliers: true }) => "int8_outliers",
        (Format::Int4 { group: Group::G128, zero_point: false }) => "int4",
        (Format::Int4 { group: Group::G128, zero_point: true }) => "int4_asym",
        (Format::Int4 { group: Group::G64, zero_point: false }) => "int4_g64",
        (Format::Int4 { group: Group::G64, zero_point: true }) => "int4_g64_asym",
        (Format::Int5 { group: Group::G128 }) => "int5",
        (Format::Int5 { group: Group::G64 }) => "int5_g64",
        (Format::Int6 { group: Group::G128 }) => "int6",
        (Format::Int6 { group: Group::G64 }) => "int6_g64",
        (Format::Nf4) => "nf4",
        (Format::Fp4) => "fp4",
    }
}

impl Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Format {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names, "description": "Number format of a tensor." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("fp8".parse(), Ok(Format::Fp8E4m3(ScaleAxis::Channel)));
        assert!("fp3".parse::<Format>().is_err());
    }

    /// The bits per weight that DESIGN and the literature give: nf4 with double quantization is
    /// 4 + 8/64 + 32/(64·256) = 4.127.
    #[test]
    fn bits_per_weight() {
        let bits = |f: Format| 8.0 * f.bytes(8192, 28672) as f64 / (8192.0 * 28672.0);
        assert!((bits(Format::Nf4) - 4.127).abs() < 1e-4);
        assert!((bits(Format::Int4 { group: Group::G128, zero_point: false }) - 4.125).abs() < 1e-9);
        assert!((bits(Format::Int4 { group: Group::G64, zero_point: true }) - 4.3125).abs() < 1e-9);
        assert!((bits(Format::Int5 { group: Group::G128 }) - 5.125).abs() < 1e-9);
        assert!((bits(Format::Int6 { group: Group::G64 }) - 6.25).abs() < 1e-9);
        assert!((bits(Format::Fp8E4m3(ScaleAxis::Channel)) - 8.0).abs() < 2e-3);
        assert_eq!(bits(Format::F16), 16.0);
    }
}
