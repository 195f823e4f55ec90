//! What the typed API stands on: every call into MLIR that melior leaves out or declares unsafe.
//!
//! `Operation` and `Value` here claim to live forever. They do not: they live until their op is erased or
//! their module dropped. [`crate::Module`] hands them out only for ops that its table says are alive and
//! never lets one leave the crate, and that is what makes the functions below sound.

use std::{cell::RefCell, cmp::Ordering, fmt::Write, rc::Rc};

use melior::{
    Context,
    dialect::{DialectHandle, DialectRegistry},
    ir::{
        Attribute, AttributeLike, BlockLike, BlockRef, Identifier, Module, OperationRef, RegionLike,
        ValueLike,
        operation::{OperationLike, OperationMutLike, OperationRefMut},
    },
    utility::load_irdl_dialects,
};
use mlir_sys::{MlirStringRef, MlirValue};

pub(crate) type Operation = OperationRef<'static, 'static>;
pub(crate) type Value = melior::ir::Value<'static, 'static>;

/// The text that defines the dialect.
pub(crate) const DIALECT: &str = include_str!("samp.irdl.mlir");

/// A context that knows `builtin`, `func`, `irdl` and `samp`, and works on the calling thread only.
pub(crate) fn new_context() -> Context {
    let registry = DialectRegistry::new();
    DialectHandle::func().insert_dialect(&registry);
    // SAFETY: both handles are valid; melior has no `DialectHandle::irdl`.
    unsafe {
        let irdl = mlir_sys::mlirGetDialectHandle__irdl__();
        mlir_sys::mlirDialectHandleInsertDialect(irdl, registry.to_raw());
    }
    let context = Context::new_with_registry(&registry, false);
    context.load_all_available_dialects();
    let dialect = Module::parse(&context, DIALECT).expect("samp.irdl.mlir parses");
    assert!(load_irdl_dialects(&dialect), "samp.irdl.mlir defines a dialect");
    drop(dialect); // The context has its own copy of the constraints.
    context
}

/// The context of `owner` for as long as `owner` keeps it alive, whatever the borrow says.
///
/// # Safety
///
/// Nothing made from the result may outlive the last clone of `owner`.
pub(crate) unsafe fn forever(owner: &Rc<Context>) -> &'static Context {
    // SAFETY: the caller keeps a clone of `owner`, so the context stays where it is.
    unsafe { &*Rc::as_ptr(owner) }
}

/// A message from MLIR: where and what.
pub(crate) struct Message {
    pub location: crate::Location,
    pub text: String,
    pub notes: Vec<String>,
}

/// Runs `work` and collects what MLIR would have printed on stderr.
pub(crate) fn with_messages<R>(context: &Context, work: impl FnOnce() -> R) -> (R, Vec<Message>) {
    let sink = Rc::new(RefCell::new(Vec::new()));
    let handler = {
        let sink = Rc::clone(&sink);
        move |d: melior::diagnostic::Diagnostic<'_>| {
            let notes = (0..d.note_count()).filter_map(|i| d.note(i).ok()).map(|n| text(&n)).collect();
            sink.borrow_mut().push(Message { location: place(d.location()), text: text(&d), notes });
            true
        }
    };
    let id = context.attach_diagnostic_handler(handler);
    let result = work();
    context.detach_diagnostic_handler(id);
    (result, sink.take())
}

/// What `item` prints, as far as it is UTF-8. (`to_string` panics on the rest.)
fn text(item: &impl std::fmt::Display) -> String {
    let mut out = String::new();
    if write!(out, "{item}").is_err() {
        out.push_str("<not UTF-8>");
    }
    out
}

/// Reads a location: a position in a file, or the label that a builder gave.
pub(crate) fn place(location: melior::ir::Location<'_>) -> crate::Location {
    let printed = text(&location);
    let inner = printed.strip_prefix("loc(").and_then(|t| t.strip_suffix(')')).unwrap_or(&printed);
    let inner = Some(inner.replace('"', ""));
    match () {
        () if location.is_name() => crate::Location { op: inner, ..Default::default() },
        () if location.is_file_line_col_range() => crate::Location { file: inner, ..Default::default() },
        () => crate::Location::default(),
    }
}

/// Parses one op (a module or a function) and verifies it; `file` is named in messages.
pub(crate) fn parse(
    context: &'static Context,
    text: &str,
    file: &str,
) -> Option<melior::ir::Operation<'static>> {
    // MLIR's lexer reads the byte after the text, which must be zero.
    let source = format!("{text}\0");
    let bytes = |s: &str, length| MlirStringRef { data: s.as_ptr().cast(), length };
    // SAFETY: both strings outlive the call, which copies what it keeps; the context is alive.
    unsafe {
        melior::ir::Operation::from_option_raw(mlir_sys::mlirOperationCreateParse(
            context.to_raw(),
            bytes(&source, text.len()),
            bytes(file, file.len()),
        ))
    }
}

/// Whether the op and all in it are what their dialects demand; what is wrong goes to the message handler.
pub(crate) fn verify(op: Operation) -> bool {
    op.verify()
}

/// Name of the op that ends a function.
pub(crate) const RETURN: &str = "func.return";

/// The op's name, `dialect.op`.
pub(crate) fn name<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> &'c str {
    identifier(op.name())
}

/// The text of an identifier.
pub(crate) fn identifier(identifier: Identifier<'_>) -> &str {
    // SAFETY: the identifier lives in the context, and so does its text.
    unsafe { borrow(mlir_sys::mlirIdentifierStr(identifier.to_raw())) }.unwrap_or("<not UTF-8>")
}

/// What an MLIR string refers to; `None` if it is not UTF-8. (melior's own reading panics on empty strings.)
///
/// # Safety
///
/// The string's bytes must live as long as `'a`.
unsafe fn borrow<'a>(string: MlirStringRef) -> Option<&'a str> {
    if string.length == 0 {
        return Some("");
    }
    // SAFETY: MLIR's strings are valid for their length, and the caller vouches for the lifetime.
    std::str::from_utf8(unsafe { std::slice::from_raw_parts(string.data.cast(), string.length) }).ok()
}

/// What tells ops apart while they are alive: their address.
pub(crate) fn key(op: Operation) -> usize {
    op.to_raw().ptr as usize
}

/// The module's own op.
pub(crate) fn module_op(module: &Module<'static>) -> Operation {
    // SAFETY: the op lives as long as the module.
    unsafe { Operation::from_raw(module.as_operation().to_raw()) }
}

/// The first op of a block.
pub(crate) fn first_op(block: BlockRef<'static, '_>) -> Option<Operation> {
    // SAFETY: the op lives as long as the module.
    block.first_operation().map(|op| unsafe { Operation::from_raw(op.to_raw()) })
}

/// The only block of the only region of `op`; `None` if it has not exactly these.
pub(crate) fn body_of(op: Operation) -> Option<BlockRef<'static, 'static>> {
    let block = op.region(0).ok().filter(|_| op.region_count() == 1)?.first_block()?;
    block.next_in_region().is_none().then_some(block)
}

/// The users of `value` with the operand that it is, in the order of MLIR's use list.
pub(crate) fn uses(value: Value) -> Vec<(Operation, usize)> {
    let mut found = Vec::new();
    // SAFETY: `value` is alive, and so are the ops that use it; nothing is changed while the list is walked.
    unsafe {
        let mut operand = mlir_sys::mlirValueGetFirstUse(value.to_raw());
        while !mlir_sys::mlirOpOperandIsNull(operand) {
            let user = Operation::from_raw(mlir_sys::mlirOpOperandGetOwner(operand));
            found.push((user, mlir_sys::mlirOpOperandGetOperandNumber(operand) as usize));
            operand = mlir_sys::mlirOpOperandGetNextUse(operand);
        }
    }
    found
}

/// Makes every user of `from` use `to`.
pub(crate) fn replace_all_uses(from: Value, to: Value) {
    let (from, to): (MlirValue, MlirValue) = (from.to_raw(), to.to_raw());
    // SAFETY: both values are alive and of one context.
    unsafe { mlir_sys::mlirValueReplaceAllUsesOfWith(from, to) }
}

/// Makes `op` use `value` as its operand `index`, which must exist.
pub(crate) fn set_operand(op: Operation, index: usize, value: Value) {
    assert!(index < op.operand_count(), "operand {index} of {}", op.operand_count());
    // SAFETY: op and value are alive and of one context, the operand exists.
    unsafe { mlir_sys::mlirOperationSetOperand(op.to_raw(), index as isize, value.to_raw()) }
}

/// Sets or replaces an attribute.
pub(crate) fn set_attribute(op: Operation, name: &str, attribute: Attribute<'static>) {
    // SAFETY: the op is alive; the caller holds the module mutably, so nobody reads it meanwhile.
    let mut op = unsafe { OperationRefMut::from_raw(op.to_raw()) };
    op.set_attribute(name, attribute);
}

/// Removes an op from its block and frees it. None of its results may have a use.
pub(crate) fn erase(op: Operation) {
    assert!(op.results().all(|r| uses(r.into()).is_empty()), "an op that is still used cannot be erased");
    // SAFETY: the op is alive and unused; the caller forgets every handle on it.
    unsafe {
        mlir_sys::mlirOperationRemoveFromParent(op.to_raw());
        mlir_sys::mlirOperationDestroy(op.to_raw());
    }
}

/// The order of two ops of one block.
pub(crate) fn order(a: Operation, b: Operation) -> Ordering {
    match () {
        () if a == b => Ordering::Equal,
        () if a.is_before_in_block(b) => Ordering::Less,
        () => Ordering::Greater,
    }
}

/// The value of a string attribute; `None` if it is another attribute or not UTF-8.
pub(crate) fn string(attribute: Attribute<'static>) -> Option<&'static str> {
    // SAFETY: it is a string attribute; its bytes live in the context, which outlives the module.
    attribute.is_string().then(|| unsafe { borrow(mlir_sys::mlirStringAttrGetValue(attribute.to_raw())) })?
}
