//! Chooses the packed layout of every weight and the kernel of every op for each token bucket.
//!
//! Before: `%y = samp.linear(%x, %w)`, `%w = samp.weight {format = "nf4"}`
//!
//! After, on a CPU: `%y = samp.linear(%x, %w) {kernels = ["1,2,4:linear_nf4_rows16_integer", …]}`,
//! `%w = samp.weight {format = "nf4", layout = "rows16"}`
//!
//! On the module: `samp.sampler`, the kernel that chooses tokens by the logits.
//!
//! Requires: every weight has a format. Ensures: each op has a kernel of the target for each bucket, and all of them
//! read the one layout that its weight has. Does not: know any hardware number; the registry's cost rows and the target table do.

use samp_abi::{
    ElementType, Format, Layout, TargetName,
    plan::{KernelChoice, OpKind},
};
use samp_ir::{Diagnostic, Dtype, Module, OpId, OpRef, PagedAttentionOp, RopeAppendOp, View, WeightOp};
use samp_kernels::{
    cost::Nanos,
    kernel::{Kernel, OpShape},
    registry,
    target::Target,
    timing::predicted_time,
};

use crate::Changed;
use crate::error_code;

/// What selection needs to know besides the graph.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The target that the kernels are for.
    pub target: TargetName,
    /// Upper bounds of the token buckets, ascending.
    pub buckets: Vec<u64>,
    /// Format of the KV cache.
    pub kv: Format,
    /// Positions that attention is assumed to read, for cost.
    pub context: u64,
    /// Whether no kernel may round its inputs.
    pub exact: bool,
}

impl Selection {
    /// The kernels that may compute `op` of this shape, in the registry's order, with their predicted times.
    pub(crate) fn candidates(
        &self,
        op: OpKind,
        shape: OpShape,
    ) -> impl Iterator<Item = (&'static Kernel, Nanos)> {
        let target = Target::of(self.target);
        let admits = |kernel: &&Kernel| !(self.exact && kernel.rounds_inputs);
        let candidates = registry::candidates(target, op, shape).filter(admits);
        candidates.map(move |kernel| (kernel, predicted_time(kernel, &shape, target)))
    }
}

/// One decision with what lost, for `--explain`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The label of the op, or `sampler`.
    pub label: String,
    /// The bucket's upper bound.
    pub max_tokens: u64,
    /// Every candidate with its predicted time, the chosen one first, the rest by time.
    pub candidates: Vec<KernelCandidate>,
}

/// A kernel that could serve an op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelCandidate {
    /// Its row of the registry.
    pub kernel: &'static str,
    /// The time that it takes by prediction.
    pub time: Nanos,
}

/// Sets layouts and kernels.
pub fn select_kernels(
    module: &mut Module,
    selection: &Selection,
) -> Result<(Changed, Vec<Explanation>), Diagnostic> {
    let activations = activations(module);
    let needs: Vec<Need> = module.ops().filter_map(|op| Need::from_op(op, activations, selection)).collect();
    for weight in module.views::<WeightOp>().map(|w| w.id()).collect::<Vec<_>>() {
        let users: Vec<&Need> = needs.iter().filter(|n| n.weight == Some(weight)).collect();
        let layout = if users.is_empty() {
            Layout::RowMajor
        } else {
            choose_layout(module.op(weight), &users, selection)?
        };
        module.set_layout(weight, layout);
    }
    let mut explanations = vec![];
    for need in &needs {
        let layout =
            need.weight.map(|w| module.view::<WeightOp>(w).and_then(|w| w.layout()).expect("set above"));
        let choices = choose_kernels(module.op(need.op), need, layout, selection)?;
        let kernels: Vec<KernelChoice> = choices.iter().map(|c| c.choice()).collect();
        module.set_kernels(need.op, &kernels);
        explanations.extend(choices);
    }
    if let Some(logits) = module.output() {
        let width = module.tensor_type(logits).width();
        let sampler = choose_sampler(width, selection)?;
        module.set_text("samp.sampler", sampler.candidates[0].kernel);
        explanations.push(sampler);
    }
    Ok((Changed(needs.len()), explanations))
}

/// The predicted time of all ops that have no matrix, over so many tokens, once activations are stored as `activations`.
pub fn other_ops_time(
    module: &Module,
    tokens: u64,
    activations: ElementType,
    selection: &Selection,
) -> Nanos {
    let needs = module
        .ops()
        .filter_map(|op| Need::from_op(op, activations, selection))
        .filter(|need| need.weight.is_none());
    let time = |need: Need| need.ranked(tokens, None, selection).first().map_or(0.0, |(_, time)| time.0);
    Nanos(needs.map(time).sum())
}

impl Explanation {
    fn choice(&self) -> KernelChoice {
        KernelChoice { max_tokens: self.max_tokens, kernel: self.candidates[0].kernel.into() }
    }
}

/// What an op asks of the registry.
struct Need {
    op: OpId,
    kind: OpKind,
    /// The matrix whose layout its kernels depend on.
    weight: Option<OpId>,
    /// The shape, without its tokens.
    shape: OpShape,
}

impl Need {
    fn from_op(op: OpRef<'_>, activations: ElementType, selection: &Selection) -> Option<Need> {
        let kind = op.kind().plan_kind()?;
        let mut weight = None;
        let shape = match kind {
            OpKind::Linear | OpKind::Embed => {
                let matrix: WeightOp = op.module().defined_by(op.operand(1)?)?;
                weight = Some(matrix.id());
                let (rows, cols) = (matrix.tensor_type().rows().unwrap_or(0), matrix.tensor_type().width());
                OpShape::with_weight(rows, cols, matrix.format(), activations)
            }
            OpKind::RopeAppend => {
                OpShape::over_cache(RopeAppendOp::from_op(op)?.spec().qkv_width(), selection.kv, activations)
            }
            OpKind::PagedAttention => OpShape::over_cache(
                PagedAttentionOp::from_op(op)?.spec().q_width(),
                selection.kv,
                activations,
            ),
            _ => OpShape::over_rows(op.tensor_type().width(), activations),
        };
        let shape = shape.at(0, selection.context);
        Some(Need { op: op.id(), kind, weight, shape })
    }

    /// The kernels that can serve a bucket, the cheapest first; equals stay in table order.
    fn ranked(
        &self,
        tokens: u64,
        layout: Option<Layout>,
        selection: &Selection,
    ) -> Vec<(&'static Kernel, Nanos)> {
        ranked(self.kind, &OpShape { tokens, ..self.shape }, layout, selection)
    }
}

/// What activations are stored as: the type that some are narrowed to, or f32.
fn activations(module: &Module) -> ElementType {
    let results = module.ops().filter(|op| op.kind().plan_kind().is_some()).map(|op| op.tensor_type().dtype);
    results.filter_map(Dtype::element).find(|&dtype| dtype != ElementType::F32).unwrap_or(ElementType::F32)
}

fn ranked(
    kind: OpKind,
    shape: &OpShape,
    layout: Option<Layout>,
    selection: &Selection,
) -> Vec<(&'static Kernel, Nanos)> {
    let fits = |k: &Kernel| k.layout.is_none() || layout.is_none() || k.layout == layout;
    let mut ranked: Vec<_> = selection.candidates(kind, *shape).filter(|(kernel, _)| fits(kernel)).collect();
    ranked.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    ranked
}

/// The layout with the least total regret: over all users and buckets, how many times slower its best kernel is than
/// the best of any layout. Ties go to the first in the table.
fn choose_layout(weight: OpRef<'_>, users: &[&Need], selection: &Selection) -> Result<Layout, Diagnostic> {
    let regret = |layout: Layout| -> Option<f64> {
        let mut total = 0.0;
        for need in users {
            for &tokens in &selection.buckets {
                let best = need.ranked(tokens, None, selection).first()?.1;
                let here = need.ranked(tokens, Some(layout), selection).first()?.1;
                total += here.0 / best.0;
            }
        }
        Some(total)
    };
    let regrets = Layout::ALL.iter().filter_map(|&layout| Some((layout, regret(layout)?)));
    let best = regrets.min_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(layout, _)| layout).ok_or_else(|| {
        let labels: Vec<&str> = users.iter().map(|n| weight.module().op(n.op).label()).collect();
        let format = users[0].shape.format.map_or("?", Format::name);
        let message = format!(
            "no layout of {format} serves all users of this weight ({}) on {}",
            labels.join(", "),
            selection.target
        );
        Diagnostic::unsupported(error_code::NO_LAYOUT, message).at_op(weight.label()).hint(format!(
            "formats with kernels for it on {}: {}",
            selection.target,
            formats_with_kernels(users, selection)
        ))
    })
}

/// The formats in which all users of a weight find a kernel for every bucket, in one layout.
fn formats_with_kernels(users: &[&Need], selection: &Selection) -> String {
    let serves = |need: &Need, format: Format, layout: Layout, tokens: u64| {
        let shape = OpShape { tokens, format: Some(format), ..need.shape };
        !ranked(need.kind, &shape, Some(layout), selection).is_empty()
    };
    let fits = |format: &Format| {
        Layout::ALL.into_iter().any(|layout| {
            users.iter().all(|need| selection.buckets.iter().all(|&t| serves(need, *format, layout, t)))
        })
    };
    let names: Vec<&str> = Format::ALL.into_iter().filter(fits).map(Format::name).collect();
    if names.is_empty() { "none; choose another target".into() } else { names.join(", ") }
}

/// One kernel for all steps, as it costs little beside them.
fn choose_sampler(vocab: u64, selection: &Selection) -> Result<Explanation, Diagnostic> {
    let max_tokens = selection.buckets.last().copied().unwrap_or(1);
    let candidates: Vec<_> = ranked(OpKind::Sample, &OpShape::sample(max_tokens, vocab), None, selection)
        .into_iter()
        .map(|(kernel, time)| KernelCandidate { kernel: kernel.name, time })
        .collect();
    if candidates.is_empty() {
        let message = format!("target {} cannot choose among {vocab} tokens", selection.target);
        return Err(
            Diagnostic::unsupported(error_code::NO_KERNEL_FOR_SHAPE, message).hint("choose another target")
        );
    }
    Ok(Explanation { label: "sampler".into(), max_tokens, candidates })
}

fn choose_kernels(
    op: OpRef<'_>,
    need: &Need,
    layout: Option<Layout>,
    selection: &Selection,
) -> Result<Vec<Explanation>, Diagnostic> {
    let choose = |&max_tokens: &u64| {
        let ranked = need.ranked(max_tokens, layout, selection);
        if ranked.is_empty() {
            let message = format!("target {} has no kernel for {:?}", selection.target, need.shape);
            return Err(Diagnostic::unsupported(error_code::NO_KERNEL_FOR_SHAPE, message)
                .at_op(op.label())
                .hint("choose another format for it, or another target"));
        }
        let candidates = ranked.iter().map(|&(k, time)| KernelCandidate { kernel: k.name, time }).collect();
        Ok(Explanation { label: op.label().into(), max_tokens, candidates })
    };
    selection.buckets.iter().map(choose).collect()
}
