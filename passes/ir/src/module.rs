//! A graph: one function `@forward` over a ragged token batch.

use std::{collections::HashMap, fmt};

use melior::ir::{
    BlockLike, BlockRef, Type, ValueLike,
    block::BlockArgument,
    operation::{OperationLike, OperationResult},
};

use crate::{Context, OpId, OpKind, TensorType, ValueId, attribute, ids::Definition, raw};

/// A model's graph. Reading goes through [`OpRef`](crate::OpRef) and the views, which borrow the module; what outlives a
/// change are the plain names [`OpId`] and [`ValueId`]. So a matcher, which gets `&Module`, cannot change
/// anything, and using a name after its op was erased panics instead of reading freed memory.
///
/// Names belong to the module that gave them; with another module they name something else or panic.
pub struct Module {
    // Declared, and so dropped, before the context that it lives in.
    pub(crate) raw: melior::ir::Module<'static>,
    pub(crate) function: raw::Operation,
    pub(crate) block: BlockRef<'static, 'static>,
    /// By `OpId`; `None` once erased.
    pub(crate) ops: Vec<Option<raw::Operation>>,
    pub(crate) ids: HashMap<usize, OpId>,
    /// `!samp.kv`, the type of the batch layout and the cache.
    cache_type: Type<'static>,
    context: Context,
}

/// The inputs of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Token ids, `tensor<?xi32>`.
    pub tokens: ValueId,
    /// Position of each token in its sequence, `tensor<?xi32>`.
    pub positions: ValueId,
    /// Rows whose logits are wanted, `tensor<?xi32>`.
    pub outputs: ValueId,
    /// The batch layout and the key/value cache, `!samp.kv`.
    pub kv: ValueId,
}

/// Name of the one function.
pub(crate) const FUNCTION: &str = "forward";

impl Module {
    /// Takes over a module that holds one function with one block.
    pub(crate) fn adopt(context: &Context, raw: melior::ir::Module<'static>) -> Module {
        let function = raw::first_op(raw.body()).expect("the module holds a function");
        let block = raw::body_of(function).expect("the function has a block");
        let cache_type = block.argument(3).expect("the function has four inputs").r#type();
        let context = context.clone();
        let mut module =
            Module { raw, function, block, ops: Vec::new(), ids: HashMap::new(), cache_type, context };
        let present: Vec<_> = module.raw_ops().collect();
        for op in present {
            module.register(op);
        }
        module
    }

    /// The context that the module lives in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The inputs of the graph.
    pub fn inputs(&self) -> Inputs {
        let input = |index| ValueId(Definition::Input(index));
        Inputs { tokens: input(0), positions: input(1), outputs: input(2), kv: input(3) }
    }

    /// The value that the graph returns (the logits, `tensor<?xVxf32>`); `None` while it is being built.
    pub fn output(&self) -> Option<ValueId> {
        self.terminator().map(|op| self.name_value(op.operand(0).expect("the return has one operand")))
    }

    /// Whether the op of this name still is in the graph.
    pub fn is_alive(&self, id: OpId) -> bool {
        self.ops.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// How often `value` is used, as an operand or as what the graph returns.
    pub fn use_count(&self, value: ValueId) -> usize {
        raw::uses(self.raw_value(value)).len()
    }

    /// Whether `value` is the key/value cache and not a tensor.
    pub fn is_cache(&self, value: ValueId) -> bool {
        self.raw_value(value).r#type() == self.cache_type
    }

    /// Type of a tensor value.
    ///
    /// # Panics
    /// If `value` is the cache.
    pub fn tensor_type(&self, value: ValueId) -> TensorType {
        TensorType::from_mlir(self.mlir(), self.raw_value(value).r#type())
            .unwrap_or_else(|| panic!("{value} is not a tensor"))
    }

    /// A number that belongs to the whole graph, such as `samp.arena_bytes`.
    pub fn integer(&self, name: &str) -> Option<u64> {
        attribute::integer(self.raw_module(), name)
    }

    /// A text that belongs to the whole graph.
    pub fn text(&self, name: &str) -> Option<&str> {
        attribute::text(self.raw_module(), name)
    }
}

/// What the rest of this crate needs.
impl Module {
    pub(crate) fn mlir(&self) -> &'static melior::Context {
        // SAFETY: what is made from it goes into this module, which keeps a clone of the context.
        unsafe { raw::forever(&self.context.0) }
    }

    pub(crate) fn raw_module(&self) -> raw::Operation {
        raw::module_op(&self.raw)
    }

    /// Every op but the return.
    pub(crate) fn raw_ops(&self) -> impl Iterator<Item = raw::Operation> + use<> {
        std::iter::successors(raw::first_op(self.block), |op| op.next_in_block())
            .filter(|op| raw::name(op) != raw::RETURN)
    }

    pub(crate) fn terminator(&self) -> Option<raw::Operation> {
        self.block.terminator()
    }

    /// # Panics
    /// If the op was erased.
    pub(crate) fn raw_op(&self, id: OpId) -> raw::Operation {
        match self.ops.get(id.0 as usize) {
            Some(Some(op)) => *op,
            Some(None) => panic!("{id} was erased; do not keep names of ops across their erasure"),
            None => panic!("{id} is not of this module"),
        }
    }

    pub(crate) fn raw_value(&self, value: ValueId) -> raw::Value {
        let found = match value.0 {
            Definition::Input(index) => self.block.argument(index as usize).map(Into::into),
            Definition::Result(op, index) => self.raw_op(op).result(index as usize).map(Into::into),
        };
        found.unwrap_or_else(|_| panic!("{value} is not of this module"))
    }

    pub(crate) fn name_value(&self, value: raw::Value) -> ValueId {
        if value.is_operation_result() {
            let result = OperationResult::try_from(value).expect("just asked");
            return ValueId::result(self.ids[&raw::key(result.owner())], result.result_number() as u32);
        }
        let argument = BlockArgument::try_from(value).expect("a value is a result or an input");
        ValueId(Definition::Input(argument.argument_number() as u32))
    }

    pub(crate) fn kind_of(&self, op: raw::Operation) -> Option<OpKind> {
        OpKind::from_name(raw::name(&op))
    }

    pub(crate) fn register(&mut self, op: raw::Operation) -> OpId {
        let id = OpId(self.ops.len() as u32);
        self.ops.push(Some(op));
        self.ids.insert(raw::key(op), id);
        id
    }
}

impl fmt::Display for Module {
    /// The graph's text, which [`Module::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw_module().fmt(f)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} ops)", self.ids.len())
    }
}
