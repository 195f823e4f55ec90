//! The few tensor types that a graph has.

use std::fmt;

use melior::ir::{
    Type,
    r#type::{DimSize, IntegerType, RankedTensorType, ShapedTypeLike},
};
use samp_abi::ElementType;

/// Element type of a tensor in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// IEEE binary32, one sign, 8 exponent and 23 fraction bits.
    F32,
    /// IEEE binary16, one sign, 5 exponent and 10 fraction bits.
    F16,
    /// bfloat16, one sign, 8 exponent and 7 fraction bits.
    Bf16,
    /// 32-bit integer: token ids, positions, row numbers.
    I32,
}

impl Dtype {
    /// Every element type.
    pub const ALL: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I32];

    /// The name in the graph's text.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I32 => "i32",
        }
    }

    /// The type of activations or of plain weights as plans name it; `None` of others.
    pub const fn from_element(element: ElementType) -> Option<Dtype> {
        match element {
            ElementType::F32 => Some(Dtype::F32),
            ElementType::F16 => Some(Dtype::F16),
            ElementType::Bf16 => Some(Dtype::Bf16),
            _ => None,
        }
    }

    /// How plans name it; `None` of integers.
    pub const fn element(self) -> Option<ElementType> {
        match self {
            Dtype::F32 => Some(ElementType::F32),
            Dtype::F16 => Some(ElementType::F16),
            Dtype::Bf16 => Some(ElementType::Bf16),
            Dtype::I32 => None,
        }
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        !matches!(self, Dtype::I32)
    }

    fn to_mlir(self, context: &melior::Context) -> Type<'_> {
        match self {
            Dtype::F32 => Type::float32(context),
            Dtype::F16 => Type::float16(context),
            Dtype::Bf16 => Type::bfloat16(context),
            Dtype::I32 => IntegerType::new(context, 32).into(),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Shape of a tensor in the graph. `?` counts the tokens of a step, or its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `?`: one number per row, such as token ids.
    Rows,
    /// `?×width`: a row for each token, or for each output.
    Activation {
        /// Elements of a row.
        width: u64,
    },
    /// `length`: a norm's weight or a bias.
    Vector {
        /// Number of elements.
        length: u64,
    },
    /// `rows×cols`: a linear's weight or a table.
    Matrix {
        /// Output channels, or entries of a table.
        rows: u64,
        /// Input channels, or the width of an entry.
        cols: u64,
    },
}

/// Shape and element type of a tensor in the graph. Prints as MLIR does: `tensor<?x64xf32>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Which dimensions it has, and how long they are.
    pub shape: Shape,
    /// The element type.
    pub dtype: Dtype,
}

impl TensorType {
    /// `tensor<?xi32>`: a number per row.
    pub const fn indices() -> TensorType {
        TensorType { shape: Shape::Rows, dtype: Dtype::I32 }
    }

    /// `tensor<?xWIDTHxDTYPE>`: a row per token or output.
    pub const fn activation(width: u64, dtype: Dtype) -> TensorType {
        TensorType { shape: Shape::Activation { width }, dtype }
    }

    /// `tensor<LENGTHxDTYPE>`: a norm's weight or a bias.
    pub const fn vector(length: u64, dtype: Dtype) -> TensorType {
        TensorType { shape: Shape::Vector { length }, dtype }
    }

    /// `tensor<ROWSxCOLSxDTYPE>`: a linear's weight or a table.
    pub const fn matrix(rows: u64, cols: u64, dtype: Dtype) -> TensorType {
        TensorType { shape: Shape::Matrix { rows, cols }, dtype }
    }

    /// The last dimension: elements of an activation's or a matrix's row, the length of a vector, 1 for
    /// [`Shape::Rows`].
    pub const fn width(self) -> u64 {
        match self.shape {
            Shape::Rows => 1,
            Shape::Activation { width } => width,
            Shape::Vector { length } => length,
            Shape::Matrix { cols, .. } => cols,
        }
    }

    /// The first of two static dimensions: rows of a matrix, 1 for a vector; `None` where it is `?`.
    pub const fn rows(self) -> Option<u64> {
        match self.shape {
            Shape::Rows | Shape::Activation { .. } => None,
            Shape::Vector { .. } => Some(1),
            Shape::Matrix { rows, .. } => Some(rows),
        }
    }

    /// The same shape with other elements.
    #[must_use]
    pub(crate) const fn with_dtype(self, dtype: Dtype) -> TensorType {
        TensorType { shape: self.shape, dtype }
    }

    pub(crate) fn to_mlir(self, context: &melior::Context) -> Type<'_> {
        const ANY: u64 = i64::MIN as u64; // MLIR's `ShapedType::kDynamic`
        let dims = match self.shape {
            Shape::Rows => vec![ANY],
            Shape::Activation { width } => vec![ANY, width],
            Shape::Vector { length } => vec![length],
            Shape::Matrix { rows, cols } => vec![rows, cols],
        };
        RankedTensorType::new(&dims, self.dtype.to_mlir(context), None).into()
    }

    /// Reads a type; `None` if it is none that a graph may have.
    pub(crate) fn from_mlir(context: &melior::Context, ty: Type<'_>) -> Option<TensorType> {
        let tensor = RankedTensorType::try_from(ty).ok().filter(|t| t.encoding().is_none())?;
        let element = tensor.element();
        let dtype = Dtype::ALL.into_iter().find(|d| d.to_mlir(context) == element)?;
        let dim = |index| match tensor.dim_size(index) {
            Ok(DimSize::Static(size)) => Some(size),
            _ => None,
        };
        let shape = match (tensor.rank(), dim(0), dim(1)) {
            (1, None, _) => Shape::Rows,
            (1, Some(length), _) => Shape::Vector { length },
            (2, None, Some(width)) => Shape::Activation { width },
            (2, Some(rows), Some(cols)) => Shape::Matrix { rows, cols },
            _ => return None,
        };
        Some(TensorType { shape, dtype })
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Rows => write!(f, "tensor<?x{}>", self.dtype),
            Shape::Activation { width } => write!(f, "tensor<?x{width}x{}>", self.dtype),
            Shape::Vector { length } => write!(f, "tensor<{length}x{}>", self.dtype),
            Shape::Matrix { rows, cols } => write!(f, "tensor<{rows}x{cols}x{}>", self.dtype),
        }
    }
}
