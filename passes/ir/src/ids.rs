//! Names of ops and values: plain numbers that outlive a change of the graph.

use std::fmt;

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
