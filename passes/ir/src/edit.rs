//! Changing a graph: uses, erasure, dead ops, and what the later phases add.

use melior::ir::{
    BlockLike, ValueLike, attribute::TypeAttribute, operation::OperationLike, r#type::FunctionType,
};
use samp_abi::{Format, Layout, plan::KernelChoice};

use crate::{
    Dtype, Module, OpId, OpKind, ValueId,
    attribute::{self, Maker},
    raw, structure,
};

impl Module {
    /// Makes the graph return `value` and sets the function's type accordingly.
    pub fn set_output(&mut self, value: ValueId) {
        let value = self.raw_value(value);
        match self.terminator() {
            Some(end) => raw::set_operand(end, 0, value),
            None => {
                let unknown = melior::ir::Location::unknown(self.mlir());
                self.block.append_operation(melior::dialect::func::r#return(&[value], unknown));
            }
        }
        self.sync_function_type();
    }

    /// Makes every user of `from` use `to`, the graph's return included.
    pub fn replace_all_uses(&mut self, from: ValueId, to: ValueId) {
        raw::replace_all_uses(self.raw_value(from), self.raw_value(to));
        self.sync_function_type();
    }

    /// Makes `op` use `value` as its operand `index`.
    ///
    /// # Panics
    /// If the op has not so many operands.
    pub fn set_operand(&mut self, op: OpId, index: usize, value: ValueId) {
        raw::set_operand(self.raw_op(op), index, self.raw_value(value));
    }

    /// Erases an op. Its name is never used again: asking for it panics.
    ///
    /// # Panics
    /// If a result is still used, or the op was erased before.
    pub fn erase(&mut self, op: OpId) {
        let target = self.op(op);
        let used = target.results().into_iter().find(|&r| self.use_count(r) > 0);
        assert!(used.is_none(), "{} cannot be erased: its result is still used", target.describe());
        let raw = self.raw_op(op);
        self.ids.remove(&raw::key(raw));
        self.ops[op.0 as usize] = None;
        raw::erase(raw);
    }

    /// Erases every op of which no result is used, until there is none; returns how many. All ops are pure:
    /// what an append does to the cache is only seen through its result.
    pub fn eliminate_dead_ops(&mut self) -> usize {
        let order: Vec<OpId> = self.ops().map(|op| op.id()).collect();
        let mut erased = 0;
        // Users come after definitions, so one backward sweep finds chains of dead ops too.
        for &id in order.iter().rev() {
            if self.op(id).results().into_iter().all(|r| self.use_count(r) == 0) {
                self.erase(id);
                erased += 1;
            }
        }
        erased
    }

    /// Sets the element type of a tensor that an op defines.
    ///
    /// # Panics
    /// If `value` is an input or the cache.
    pub fn set_dtype(&mut self, value: ValueId, dtype: Dtype) {
        assert!(self.defining_op(value).is_some(), "the type of {value} is fixed");
        let ty = self.tensor_type(value).with_dtype(dtype);
        self.raw_value(value).set_type(ty.to_mlir(self.mlir()));
        self.sync_function_type();
    }

    /// Sets what is done to a weight's sources, in order.
    ///
    /// # Panics
    /// If `weight` is another op.
    pub fn set_transforms<S: AsRef<str>>(&mut self, weight: OpId, transforms: &[S]) {
        self.expect_weight(weight, "transforms");
        raw::set_attribute(self.raw_op(weight), "transforms", self.maker().texts(transforms));
    }

    /// Sets what each format would cost the model if only this weight had it, in nats per token.
    ///
    /// # Panics
    /// If `weight` is another op.
    pub fn set_sensitivity(&mut self, weight: OpId, formats: &[(Format, f64)]) {
        self.expect_weight(weight, "sensitivity");
        // Four digits tell people enough, and keep the text apart from noise.
        let entries: Vec<String> = formats.iter().map(|(f, nats)| format!("{f}:{nats:.3e}")).collect();
        raw::set_attribute(self.raw_op(weight), "sensitivity", self.maker().texts(&entries));
    }

    /// Sets the number format of a weight.
    ///
    /// # Panics
    /// If `weight` is another op.
    pub fn set_format(&mut self, weight: OpId, format: Format) {
        self.expect_weight(weight, "format");
        raw::set_attribute(self.raw_op(weight), "format", self.maker().text(format.name()));
    }

    /// Sets the packed layout of a weight.
    ///
    /// # Panics
    /// If `weight` is another op.
    pub fn set_layout(&mut self, weight: OpId, layout: Layout) {
        self.expect_weight(weight, "layout");
        raw::set_attribute(self.raw_op(weight), "layout", self.maker().text(layout.name()));
    }

    /// Sets the kernel of each token bucket, ascending. Neighbours with the same kernel share an entry.
    ///
    /// # Panics
    /// If `op` is a weight.
    pub fn set_kernels(&mut self, op: OpId, kernels: &[KernelChoice]) {
        self.expect_compute(op, "kernels");
        let entries = attribute::kernel_entries(kernels);
        raw::set_attribute(self.raw_op(op), "kernels", self.maker().texts(&entries));
    }

    /// Sets the byte offset in the arena of each tensor result (the cache has none).
    ///
    /// # Panics
    /// If `op` is a weight.
    pub fn set_offsets(&mut self, op: OpId, offsets: &[u64]) {
        self.expect_compute(op, "offsets");
        raw::set_attribute(self.raw_op(op), "offsets", self.maker().integers(offsets));
    }

    /// Sets a number that belongs to the whole graph; names start with `samp.`.
    pub fn set_integer(&mut self, name: &str, value: u64) {
        raw::set_attribute(self.raw_module(), name, self.maker().integer(value));
    }

    /// Sets a text that belongs to the whole graph; names start with `samp.`.
    pub fn set_text(&mut self, name: &str, value: &str) {
        raw::set_attribute(self.raw_module(), name, self.maker().text(value));
    }

    pub(crate) fn maker(&self) -> Maker {
        Maker(self.mlir())
    }

    fn expect_weight(&self, op: OpId, attribute: &str) {
        let op = self.op(op);
        assert!(op.kind() == OpKind::Weight, "only a weight has a {attribute}, not {}", op.describe());
    }

    fn expect_compute(&self, op: OpId, attribute: &str) {
        let op = self.op(op);
        assert!(op.kind().is_compute(), "{} has no {attribute}", op.describe());
    }

    /// The function's result is what it returns.
    fn sync_function_type(&mut self) {
        let mlir = self.mlir();
        let results: Vec<_> =
            self.terminator().iter().flat_map(|end| end.operands()).map(|v| v.r#type()).collect();
        let ty = FunctionType::new(mlir, &structure::input_types(mlir), &results);
        raw::set_attribute(self.function, "function_type", TypeAttribute::new(ty.into()).into());
    }
}
