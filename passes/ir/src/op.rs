//! Names of ops and values, and the reading of any op.

use std::fmt;

use melior::ir::operation::OperationLike;
use samp_abi::plan::{self, KernelChoice};

use crate::{Location, Module, TensorType, attribute, raw};

/// Names an op of one module. Never given to another op, even after this one is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(crate) u32);

/// Names a value of one module: an input of the graph, or a result of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) Definition);

/// What defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Definition {
    Input(u32),
    Result(OpId, u32),
}

impl ValueId {
    pub(crate) const fn result(op: OpId, index: u32) -> ValueId {
        ValueId(Definition::Result(op, index))
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}", self.0)
    }
}

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Definition::Input(index) => write!(f, "input {index}"),
            Definition::Result(op, index) => write!(f, "result {index} of {op}"),
        }
    }
}

/// The kinds of op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is documented at its view")]
pub enum OpKind {
    Weight,
    Embed,
    RmsNorm,
    AddRmsNorm,
    Linear,
    Rope,
    Attention,
    RopeAppend,
    PagedAttention,
    SiluMul,
    Concat,
    Add,
    Gather,
}

impl OpKind {
    /// Every kind.
    pub const ALL: [OpKind; 13] = [
        OpKind::Weight,
        OpKind::Embed,
        OpKind::RmsNorm,
        OpKind::AddRmsNorm,
        OpKind::Linear,
        OpKind::Rope,
        OpKind::Attention,
        OpKind::RopeAppend,
        OpKind::PagedAttention,
        OpKind::SiluMul,
        OpKind::Concat,
        OpKind::Add,
        OpKind::Gather,
    ];

    /// The op's name in the graph's text.
    pub const fn name(self) -> &'static str {
        match self {
            OpKind::Weight => "samp.weight",
            OpKind::Embed => "samp.embed",
            OpKind::RmsNorm => "samp.rms_norm",
            OpKind::AddRmsNorm => "samp.add_rms_norm",
            OpKind::Linear => "samp.linear",
            OpKind::Rope => "samp.rope",
            OpKind::Attention => "samp.attention",
            OpKind::RopeAppend => "samp.rope_append",
            OpKind::PagedAttention => "samp.paged_attention",
            OpKind::SiluMul => "samp.silu_mul",
            OpKind::Concat => "samp.concat",
            OpKind::Add => "samp.add",
            OpKind::Gather => "samp.gather",
        }
    }

    /// The kind of plan step that this op becomes; `None` for weights and for ops that fusion replaces.
    pub const fn plan_kind(self) -> Option<plan::OpKind> {
        Some(match self {
            OpKind::Weight | OpKind::Rope | OpKind::Attention => return None,
            OpKind::Embed => plan::OpKind::Embed,
            OpKind::RmsNorm => plan::OpKind::RmsNorm,
            OpKind::AddRmsNorm => plan::OpKind::AddRmsNorm,
            OpKind::Linear => plan::OpKind::Linear,
            OpKind::RopeAppend => plan::OpKind::RopeAppend,
            OpKind::PagedAttention => plan::OpKind::PagedAttention,
            OpKind::SiluMul => plan::OpKind::SiluMul,
            OpKind::Concat => plan::OpKind::Concat,
            OpKind::Add => plan::OpKind::Add,
            OpKind::Gather => plan::OpKind::Gather,
        })
    }

    /// Whether this op computes, that is, whether it is anything but a weight.
    pub const fn is_compute(self) -> bool {
        !matches!(self, OpKind::Weight)
    }

    pub(crate) fn from_name(name: &str) -> Option<OpKind> {
        OpKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An op of a module, to read. Every view dereferences to it.
#[derive(Clone, Copy)]
pub struct OpRef<'m> {
    pub(crate) module: &'m Module,
    pub(crate) id: OpId,
}

impl<'m> OpRef<'m> {
    /// The op's name, to keep while the module is changed.
    pub fn id(self) -> OpId {
        self.id
    }

    /// The module that the op is in.
    pub fn module(self) -> &'m Module {
        self.module
    }

    /// The op's kind.
    pub fn kind(self) -> OpKind {
        self.module.kind_of(self.raw()).expect("every op of a module is of the dialect")
    }

    /// The op's stable name for people: its label, or the key of a weight.
    pub fn label(self) -> &'m str {
        let name = if self.kind() == OpKind::Weight { "key" } else { "label" };
        attribute::text(self.raw(), name).unwrap_or("")
    }

    /// Every operand.
    pub fn operands(self) -> Vec<ValueId> {
        self.raw().operands().map(|v| self.module.name_value(v)).collect()
    }

    /// Operand `index`, if the op has so many.
    pub fn operand(self, index: usize) -> Option<ValueId> {
        // melior's error for a missing operand prints the whole op, so the count is asked first.
        let value = (index < self.raw().operand_count()).then(|| self.raw().operand(index).ok())?;
        value.map(|v| self.module.name_value(v))
    }

    /// Every result.
    pub fn results(self) -> Vec<ValueId> {
        (0..self.raw().result_count() as u32).map(|i| ValueId::result(self.id, i)).collect()
    }

    /// Result `index`. Every op has at least one.
    ///
    /// # Panics
    /// If the op has not so many results.
    pub fn result(self, index: usize) -> ValueId {
        assert!(index < self.raw().result_count(), "{} has no result {index}", self.describe());
        ValueId::result(self.id, index as u32)
    }

    /// Type of result 0.
    pub fn tensor_type(self) -> TensorType {
        self.module.tensor_type(self.result(0))
    }

    /// The kernel of each token bucket, ascending; empty before the selected phase.
    pub fn kernels(self) -> Vec<KernelChoice> {
        attribute::kernels(self.raw()).unwrap_or_default()
    }

    /// Byte offset in the arena of each tensor result (not of the cache); empty before the planned phase.
    pub fn offsets(self) -> Vec<u64> {
        attribute::integers(self.raw(), "offsets").unwrap_or_default()
    }

    /// Where the op is, for a diagnostic: its label, and the position in the file it was parsed from.
    pub fn location(self) -> Location {
        let place = raw::place(self.raw().location());
        let label = Some(self.label().to_owned()).filter(|label| !label.is_empty());
        Location { op: label, ..place }
    }

    /// Kind and label, for messages.
    pub fn describe(self) -> String {
        format!("{} `{}`", self.kind(), self.label())
    }

    pub(crate) fn raw(self) -> raw::Operation {
        self.module.raw_op(self.id)
    }
}

impl fmt::Debug for OpRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.describe(), self.id)
    }
}
