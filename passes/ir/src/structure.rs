//! What holds for every graph in every phase, and what views rely on: one function over the graph's inputs,
//! ops of the dialect only, tensor types and attributes of the known kinds, weights where weights belong.

use melior::ir::{BlockLike, Module as MlirModule, Type, ValueLike, operation::OperationLike};

use crate::error_code;
use crate::{
    Diagnostic, Location, Module, OpKind, OpRef, TensorType, WeightOp, attribute, module::FUNCTION, raw,
};

/// The cache's type.
pub(crate) fn cache_type(context: &melior::Context) -> Type<'_> {
    Type::parse(context, "!samp.kv").expect("the dialect defines !samp.kv")
}

/// Types of the graph's inputs: tokens, positions, outputs, cache.
pub(crate) fn input_types(context: &melior::Context) -> [Type<'_>; 4] {
    let indices = TensorType::indices().to_mlir(context);
    [indices, indices, indices, cache_type(context)]
}

/// How deep brackets may nest in a graph's text; its own goes to 6. MLIR's parser descends without a limit.
const MAX_DEPTH: usize = 64;

/// Refuses text that nests deeper than any graph does.
pub(crate) fn check_depth(text: &str) -> Result<(), Diagnostic> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let message = format!("expected brackets at most {MAX_DEPTH} deep, found deeper ones");
            return Err(Diagnostic::bad_input(error_code::NESTING, message));
        }
    }
    Ok(())
}

/// Turns what MLIR said into one diagnostic: its first message, the others as notes.
pub(crate) fn refusal(messages: Vec<raw::Message>) -> Diagnostic {
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else {
        return Diagnostic::bad_input(error_code::NOT_A_GRAPH, "the text is not a graph");
    };
    let mut finding = Diagnostic::bad_input(error_code::NOT_A_GRAPH, first.text);
    *finding.location = first.location;
    finding.notes = first.notes;
    messages.fold(finding, |finding, m| finding.note(m.text))
}

/// Checks that the module is one function `@forward` of one block over the graph's inputs, with one result.
pub(crate) fn check_function(
    context: &melior::Context,
    module: &MlirModule<'static>,
) -> Result<(), Diagnostic> {
    let bad = |found: String| {
        let inputs = input_types(context).map(|t| t.to_string()).join(", ");
        Diagnostic::bad_input(
            error_code::NOT_ONE_FUNCTION,
            format!("expected one function @{FUNCTION}, found {found}"),
        )
        .hint(format!("a graph is `func.func @{FUNCTION}({inputs}) -> tensor<?xVxf32>` with one block"))
    };
    let ops: Vec<_> = std::iter::successors(raw::first_op(module.body()), |op| op.next_in_block()).collect();
    let [function] = ops[..] else {
        return Err(bad(format!("{} ops", ops.len())));
    };
    if raw::name(&function) != "func.func" {
        return Err(bad(format!("`{}`", raw::name(&function))));
    }
    let symbol = attribute::text(function, "sym_name").unwrap_or_default();
    if symbol != FUNCTION {
        return Err(bad(format!("@{symbol}")));
    }
    let block = raw::body_of(function).ok_or_else(|| bad("a function without exactly one block".into()))?;
    let inputs: Vec<_> =
        (0..block.argument_count()).map(|i| block.argument(i).expect("counted").r#type()).collect();
    if inputs != input_types(context) {
        let found = inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(bad(format!("inputs ({found})")));
    }
    let returned = block.terminator().map_or(0, |end| end.operand_count());
    if returned != 1 {
        return Err(bad(format!("{returned} results")));
    }
    Ok(())
}

/// Everything about single ops that views rely on. Ops that are not of the dialect come first and alone.
pub(crate) fn check_ops(module: &Module) -> Vec<Diagnostic> {
    let foreign: Vec<_> = module.raw_ops().filter(|op| OpKind::from_name(raw::name(op)).is_none()).collect();
    if !foreign.is_empty() {
        return foreign.into_iter().map(foreign_op).collect();
    }
    let mut findings = Vec::new();
    for op in module.ops() {
        findings.extend(check_attributes(op));
        findings.extend(check_types(op));
        findings.extend(check_weights(op));
    }
    findings
}

fn foreign_op(op: raw::Operation) -> Diagnostic {
    let mut finding = Diagnostic::bad_input(
        error_code::FOREIGN_OP,
        format!("expected ops of the samp dialect, found `{}`", raw::name(&op)),
    );
    *finding.location = raw::place(op.location());
    finding
}

fn at(op: OpRef<'_>, mut finding: Diagnostic) -> Diagnostic {
    *finding.location = Location { tensor: None, ..op.location() };
    finding
}

fn check_attributes(op: OpRef<'_>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (name, value) in op.raw().attributes() {
        let name = raw::identifier(name);
        let message = match attribute::kind(name) {
            None => format!("{} has no attribute `{name}`", op.kind()),
            Some(kind) if !attribute::is_well_formed(op.raw(), name, kind) => {
                format!("attribute `{name}`: expected {}, found {value}", kind.expected())
            }
            Some(_) => continue,
        };
        findings.push(at(op, Diagnostic::bad_input(error_code::ATTRIBUTE, message)));
    }
    findings
}

fn check_types(op: OpRef<'_>) -> Option<Diagnostic> {
    let module = op.module();
    let bad = op.results().into_iter().find(|&result| {
        !module.is_cache(result)
            && TensorType::from_mlir(module.mlir(), module.raw_value(result).r#type()).is_none()
    })?;
    let found = module.raw_value(bad).r#type();
    let message = format!(
        "expected tensor<?>, tensor<?xN>, tensor<N> or tensor<NxM> of f32, f16, bf16 or i32, found {found}"
    );
    Some(at(op, Diagnostic::bad_input(error_code::TENSOR_TYPE, message)))
}

/// Weight operands come from `samp.weight`, and activations do not.
fn check_weights(op: OpRef<'_>) -> Option<Diagnostic> {
    let slots: &[usize] = match op.kind() {
        OpKind::Embed | OpKind::RmsNorm => &[1],
        OpKind::Linear => &[1, 2],
        OpKind::AddRmsNorm => &[2],
        _ => &[],
    };
    let wrong = op.operands().into_iter().enumerate().find(|&(index, value)| {
        let is_weight = op.module().defined_by::<WeightOp>(value).is_some();
        is_weight != slots.contains(&index)
    });
    let (index, value) = wrong?;
    let expected = if slots.contains(&index) { "a samp.weight" } else { "an activation" };
    let found = op.module().defining_op(value).map_or_else(|| value.to_string(), |d| d.describe());
    let message = format!("operand {index} of {}: expected {expected}, found {found}", op.kind());
    Some(at(op, Diagnostic::bad_input(error_code::WEIGHT_OPERAND, message)))
}
