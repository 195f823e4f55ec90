//! What emission is asked to write: everything that the passes decided, as plain data.

use samp_abi::{
    ElementType, Format, Layout, TargetName,
    plan::{KvCache, Limits, Model, Op, Program, TensorId},
};
use samp_kernels::instantiate::{Matrix, PlanConstants};
use samp_passes::transform::Transform;
use serde::{Serialize, Serializer};

use crate::import::CarriedFile;

/// Weights files hold at most so many bytes of data by default, unless one tensor alone is larger.
pub const DEFAULT_FILE_BYTES: u64 = 5_000_000_000;

/// A plan before its weights are read.
#[derive(Clone, Debug, Serialize)]
pub struct PlanSpec {
    /// The machine that the plan is for.
    pub target: TargetName,
    /// What the model is.
    pub model: Model,
    /// The largest batch that the memory plan covers.
    pub limits: Limits,
    /// How keys and values are kept.
    pub kv: KvCache,
    /// What to execute; its tensor ids index `tensors`.
    pub program: Program,
    /// Size of the activation arena in bytes.
    pub arena_bytes: u64,
    /// Every weight tensor, in the order in which they lie in the files.
    pub tensors: Vec<TensorSpec>,
    /// The planned graph as MLIR text.
    pub mlir: String,
    /// What the checkpoint is called. No weight depends on it, so that an interrupted compile continues under another.
    #[serde(skip)]
    pub name: Option<String>,
    /// The recipe as given: a built-in name or the TOML text.
    pub recipe: String,
    /// Names the rounded weights that tensors with transforms are taken from; `None` where there are none.
    pub rounded: Option<String>,
    /// Files of the checkpoint that the plan carries along. No weight depends on them.
    #[serde(skip)]
    pub carried: Vec<CarriedFile>,
    /// Most data bytes of one weights file.
    pub max_file_bytes: u64,
}

/// A weight tensor to encode: the rows of its sources one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorSpec {
    /// Name in the program, such as `layers.3.self_attn.qkv_proj`.
    pub name: String,
    /// The checkpoint tensors, each with the shape that it must have.
    pub sources: Vec<SourceSpec>,
    /// What is done to them, joining aside.
    #[serde(serialize_with = "as_texts")]
    pub transforms: Vec<Transform>,
    /// Number format.
    pub format: Format,
    /// Packed layout.
    pub layout: Layout,
    /// Rows (output channels); 1 for vectors.
    pub rows: u64,
    /// Columns (input channels).
    pub cols: u64,
}

/// A checkpoint tensor that goes into a plan tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Element type in the checkpoint: `F32`, `F16` or `Bf16`.
    pub dtype: ElementType,
    /// Shape in the checkpoint: `[rows, cols]`, or `[cols]` for a vector.
    pub shape: Vec<u64>,
}

fn as_texts<S: Serializer>(transforms: &[Transform], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(transforms.iter().map(Transform::to_string))
}

impl SourceSpec {
    /// Elements of the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bytes of the tensor in the checkpoint.
    pub fn bytes(&self) -> u64 {
        self.elements() * self.dtype.bytes()
    }
}

impl TensorSpec {
    /// Bytes of its stored arrays, padding between them not counted.
    pub fn stored_bytes(&self) -> u64 {
        self.bytes_in(self.layout)
    }

    /// The same in another layout.
    pub fn bytes_in(&self, layout: Layout) -> u64 {
        layout.bytes_with(self.format, self.rows, self.cols, self.kept_columns().len() as u64)
    }

    /// The columns that are kept in f16 beside the codes, ascending.
    pub fn kept_columns(&self) -> &[u32] {
        let kept = self.transforms.iter().find_map(|transform| match transform {
            Transform::KeepColumns(columns) => Some(columns.as_slice()),
            _ => None,
        });
        kept.unwrap_or_default()
    }

    /// Weights in it.
    pub fn elements(&self) -> u64 {
        self.rows * self.cols
    }
}

impl PlanSpec {
    /// What the plan fixes for its kernels; `matrix` is that of [`PlanSpec::matrix`].
    pub(crate) fn plan_constants<'a>(&'a self, matrix: &'a dyn Fn(TensorId) -> Matrix) -> PlanConstants<'a> {
        PlanConstants { model: &self.model, kv: &self.kv, program: &self.program, matrix }
    }

    /// How a tensor is stored.
    pub(crate) fn matrix(&self, id: TensorId) -> Matrix {
        let tensor = &self.tensors[id.0 as usize];
        Matrix { format: tensor.format, layout: tensor.layout, rows: tensor.rows, cols: tensor.cols }
    }

    /// Bits per weight over the decoder's linears, every scale counted.
    pub fn bits_per_weight(&self) -> f64 {
        let linears = self.decoder_linears();
        let tensors = || self.tensors.iter().zip(&linears).filter(|(_, linear)| **linear).map(|(t, _)| t);
        let weights: u64 = tensors().map(|t| t.elements()).sum();
        8.0 * tensors().map(|t| t.stored_bytes()).sum::<u64>() as f64 / weights.max(1) as f64
    }

    /// Whether each tensor is the weight of a linear layer inside the decoder: what bits per weight are counted over.
    pub fn decoder_linears(&self) -> Vec<bool> {
        let mut linears = vec![false; self.tensors.len()];
        for step in &self.program.steps {
            if let Op::Linear { weight, .. } = step.op {
                let index = weight.0 as usize;
                if let Some(tensor) = self.tensors.get(index) {
                    linears[index] = tensor.name.starts_with("layers.");
                }
            }
        }
        linears
    }
}
