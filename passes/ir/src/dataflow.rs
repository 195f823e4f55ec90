//! What flows from op to op: the graph behind liveness and scheduling.

use std::collections::{BTreeMap, HashMap};

use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};
use samp_abi::plan::RowDim;

use crate::{Inputs, Module, OpId, OpKind, OpRef, ValueId};

/// A picture of a module's compute ops (all but weights) at one moment: nodes are ops, edges are the values
/// that one op hands to another.
pub struct Dataflow {
    graph: DiGraph<OpId, ValueId>,
    rows: BTreeMap<ValueId, RowDim>,
    output: Option<ValueId>,
    tensors: Vec<(usize, ValueId)>,
}

/// When a tensor is alive, in positions of [`Dataflow::order`], both ends counted: an op's operands are alive
/// while its results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange {
    /// The tensor that is alive.
    pub value: ValueId,
    /// Where it is written.
    pub start: usize,
    /// Where it is read for the last time; the number of ops if the graph returns it.
    pub end: usize,
}

impl LiveRange {
    /// Whether both are alive at some moment, so that they cannot share memory.
    pub const fn overlaps(&self, other: &LiveRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

impl Dataflow {
    /// Looks at `module` as it is now.
    pub fn new(module: &Module) -> Dataflow {
        let mut flow = Dataflow {
            graph: DiGraph::new(),
            rows: input_rows(module.inputs()),
            output: module.output(),
            tensors: Vec::new(),
        };
        let mut nodes = HashMap::new();
        for op in module.ops().filter(|op| op.kind().is_compute()) {
            let node = flow.graph.add_node(op.id());
            nodes.insert(op.id(), node);
            for operand in op.operands() {
                let definer = module.defining_op(operand).and_then(|d| nodes.get(&d.id()).copied());
                if let Some(definer) = definer {
                    flow.graph.add_edge(definer, node, operand);
                }
            }
            flow.add_results(op, node);
        }
        flow
    }

    fn add_results(&mut self, op: OpRef<'_>, node: NodeIndex) {
        let counted_by = if op.kind() == OpKind::Gather { 1 } else { 0 };
        let rows = op.operand(counted_by).and_then(|v| self.row_dim(v));
        for result in op.results().into_iter().filter(|&r| !op.module().is_cache(r)) {
            self.tensors.push((node.index(), result));
            self.rows.extend(rows.map(|rows| (result, rows)));
        }
    }

    /// The compute ops in program order. Position and index of an op's node are the same number.
    pub fn order(&self) -> Vec<OpId> {
        self.graph.node_weights().copied().collect()
    }

    /// The graph itself.
    pub fn graph(&self) -> &DiGraph<OpId, ValueId> {
        &self.graph
    }

    /// What counts the rows of an activation; `None` for weights and the cache.
    pub fn row_dim(&self, value: ValueId) -> Option<RowDim> {
        self.rows.get(&value).copied()
    }

    /// When each tensor that an op computes is alive, in order of definition.
    pub fn live_ranges(&self) -> Vec<LiveRange> {
        let range = |&(start, value): &(usize, ValueId)| {
            let readers = self.graph.edges_directed(NodeIndex::new(start), Direction::Outgoing);
            let last = readers.filter(|e| *e.weight() == value).map(|e| e.target().index()).max();
            let returned = (self.output == Some(value)).then(|| self.graph.node_count());
            LiveRange { value, start, end: last.max(returned).unwrap_or(start) }
        };
        self.tensors.iter().map(range).collect()
    }
}

fn input_rows(inputs: Inputs) -> BTreeMap<ValueId, RowDim> {
    BTreeMap::from([
        (inputs.tokens, RowDim::Tokens),
        (inputs.positions, RowDim::Tokens),
        (inputs.outputs, RowDim::Outputs),
    ])
}
