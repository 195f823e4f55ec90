//! A graph: one function `@forward` over a ragged token batch.

use std::{collections::HashMap, fmt};

use melior::ir::{
    Block, BlockLike, BlockRef, Region, RegionLike, Type, ValueLike,
    attribute::{StringAttribute, TypeAttribute},
    block::BlockArgument,
    operation::{OperationLike, OperationResult},
    r#type::FunctionType,
};

use crate::{
    Context, Diagnostic, OpId, OpKind, OpRef, TensorType, ValueId, View, attribute, op::Definition, raw,
    structure,
};

/// A model's graph. Reading goes through [`OpRef`] and the views, which borrow the module; what outlives a
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
    /// `!samp.kv`.
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
    /// An empty graph: the inputs and no op. It is complete once [`Module::set_output`] was called.
    pub fn new(context: &Context) -> Module {
        // SAFETY: the module keeps a clone of the context and drops everything else first.
        let mlir = unsafe { raw::forever(&context.0) };
        let unknown = melior::ir::Location::unknown(mlir);
        let inputs = structure::input_types(mlir);
        let region = Region::new();
        region.append_block(Block::new(&inputs.map(|ty| (ty, unknown))));
        let function = melior::dialect::func::func(
            mlir,
            StringAttribute::new(mlir, FUNCTION),
            TypeAttribute::new(FunctionType::new(mlir, &inputs, &[]).into()),
            region,
            &[],
            unknown,
        );
        let module = melior::ir::Module::new(unknown);
        module.body().append_operation(function);
        Module::adopt(context, module)
    }

    /// Reads a graph from text and checks its structure; `file` names the text in diagnostics.
    ///
    /// # Errors
    /// A bad-input [`Diagnostic`] for text that is not MLIR, that the dialect does not allow, or that is
    /// anything but one function `@forward` over the graph's inputs.
    pub fn parse(context: &Context, text: &str, file: &str) -> Result<Module, Diagnostic> {
        // SAFETY: as in `new`.
        let mlir = unsafe { raw::forever(&context.0) };
        structure::check_depth(text).map_err(|d| d.in_file(file))?;
        let (parsed, messages) = raw::with_messages(mlir, || raw::parse(mlir, text, file));
        let op = parsed.ok_or_else(|| structure::refusal(messages).in_file_unless_known(file))?;
        let module = if raw::name(&op) == "builtin.module" {
            melior::ir::Module::from_operation(op).expect("builtin.module is a module")
        } else {
            let module = melior::ir::Module::new(melior::ir::Location::unknown(mlir));
            module.body().append_operation(op);
            module
        };
        structure::check_function(mlir, &module).map_err(|d| d.in_file_unless_known(file))?;
        let module = Module::adopt(context, module);
        match structure::check_ops(&module).into_iter().next() {
            Some(finding) => Err(finding.in_file_unless_known(file)),
            None => Ok(module),
        }
    }

    /// Takes over a module that holds one function with one block.
    fn adopt(context: &Context, raw: melior::ir::Module<'static>) -> Module {
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

    /// Every op, in program order.
    pub fn ops(&self) -> impl Iterator<Item = OpRef<'_>> {
        self.raw_ops().map(|op| OpRef { module: self, id: self.ids[&raw::key(op)] })
    }

    /// Every op of one kind, in program order: `module.views::<LinearOp>()`.
    pub fn views<'m, V: View<'m>>(&'m self) -> impl Iterator<Item = V> {
        self.ops().filter_map(V::of)
    }

    /// The op of this name.
    ///
    /// # Panics
    /// If it was erased.
    pub fn op(&self, id: OpId) -> OpRef<'_> {
        self.raw_op(id);
        OpRef { module: self, id }
    }

    /// The op of this name as a view, if it is of the view's kind.
    ///
    /// # Panics
    /// If it was erased.
    pub fn view<'m, V: View<'m>>(&'m self, id: OpId) -> Option<V> {
        V::of(self.op(id))
    }

    /// Whether the op of this name still is in the graph.
    pub fn is_alive(&self, id: OpId) -> bool {
        self.ops.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// The op that defines `value`; `None` for an input of the graph.
    pub fn defining_op(&self, value: ValueId) -> Option<OpRef<'_>> {
        match value.0 {
            Definition::Input(_) => None,
            Definition::Result(id, _) => Some(self.op(id)),
        }
    }

    /// The op that defines `value` as a view, if it is of the view's kind.
    pub fn defined_by<'m, V: View<'m>>(&'m self, value: ValueId) -> Option<V> {
        V::of(self.defining_op(value)?)
    }

    /// The ops that use `value`, in program order, each once. That the graph returns it is no use by an op.
    pub fn users(&self, value: ValueId) -> Vec<OpRef<'_>> {
        let mut users: Vec<_> = raw::uses(self.raw_value(value)).into_iter().map(|(op, _)| op).collect();
        users.sort_by(|&a, &b| raw::order(a, b));
        users.dedup();
        users.iter().filter_map(|&op| self.ids.get(&raw::key(op))).map(|&id| self.op(id)).collect()
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

/// What the other parts of this crate need.
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
