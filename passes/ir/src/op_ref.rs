//! The reading of any op, whatever its kind.

use std::fmt;

use melior::ir::operation::OperationLike;
use samp_abi::plan::KernelChoice;

use crate::{Location, Module, OpId, OpKind, TensorType, ValueId, attribute, ids::Definition, raw};

/// An op of a module, to read. Every view dereferences to it.
#[derive(Clone, Copy)]
pub struct OpRef<'m> {
    pub(crate) module: &'m Module,
    pub(crate) id: OpId,
}

impl Module {
    /// Every op, in program order.
    pub fn ops(&self) -> impl Iterator<Item = OpRef<'_>> {
        self.raw_ops().map(|op| OpRef { module: self, id: self.ids[&raw::key(op)] })
    }

    /// The op of this name.
    ///
    /// # Panics
    /// If it was erased.
    pub fn op(&self, id: OpId) -> OpRef<'_> {
        self.raw_op(id);
        OpRef { module: self, id }
    }

    /// The op that defines `value`; `None` for an input of the graph.
    pub fn defining_op(&self, value: ValueId) -> Option<OpRef<'_>> {
        match value.0 {
            Definition::Input(_) => None,
            Definition::Result(id, _) => Some(self.op(id)),
        }
    }

    /// The ops that use `value`, in program order, each once. That the graph returns it is no use by an op.
    pub fn users(&self, value: ValueId) -> Vec<OpRef<'_>> {
        let mut users: Vec<_> = raw::uses(self.raw_value(value)).into_iter().map(|(op, _)| op).collect();
        users.sort_by(|&a, &b| raw::order(a, b));
        users.dedup();
        users.iter().filter_map(|&op| self.ids.get(&raw::key(op))).map(|&id| self.op(id)).collect()
    }
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

    /// Every operand, in the op's order.
    pub fn operands(self) -> Vec<ValueId> {
        self.raw().operands().map(|v| self.module.name_value(v)).collect()
    }

    /// Operand `index`, if the op has so many.
    pub fn operand(self, index: usize) -> Option<ValueId> {
        // melior's error for a missing operand prints the whole op, so the count is asked first.
        let value = (index < self.raw().operand_count()).then(|| self.raw().operand(index).ok())?;
        value.map(|v| self.module.name_value(v))
    }

    /// Every result, in the op's order.
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
