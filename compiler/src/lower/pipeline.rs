//! The pass pipeline: which passes lead from one phase to the next.

use samp_abi::{
    Format, TargetName,
    plan::{KvCache, Limits, Model},
};
use samp_ir::{Diagnostic, Module, Phase, verify, verify_between};
use samp_passes::{
    Changed, Explanation, MemberScales, MemoryInputs, QuantOptions, Selection, Sensitivities,
    annotate_sensitivity, assign_recipe, correct_weights, equalize, fold_norms, fuse_add_rms_norm,
    fuse_gate_up, fuse_qkv, keep_outliers, legal_ops, legalize, narrow_activations, plan_memory,
    recipe::Recipe, rotate, round_weights, select_kernels, split_linears,
};

/// What the passes need to know besides the graph.
#[derive(Clone, Debug)]
pub(super) struct PipelineInputs {
    /// What is compiled for.
    pub target: TargetName,
    /// Which format each weight gets.
    pub recipe: Recipe,
    /// What the model is.
    pub model: Model,
    /// The largest step.
    pub limits: Limits,
    /// How keys and values are kept.
    pub kv: KvCache,
    /// What is done for quality.
    pub quality: QuantOptions,
    /// Whether no kernel may round its inputs.
    pub exact: bool,
    /// How large members of fused linears are, where formats follow from the recipe.
    pub member_scales: MemberScales,
    /// What was measured, to be put on the graph.
    pub sensitivities: Option<Sensitivities>,
}

impl PipelineInputs {
    /// Upper bounds of the token buckets: powers of two up to 256 as far as the limit goes, and the limit. Beyond, nothing is
    /// computed in another way for twice the tokens.
    pub(super) fn buckets(&self) -> Vec<u64> {
        let powers = (0..=8).map(|i| 1u64 << i).take_while(|&n| n < self.limits.max_tokens);
        powers.chain([self.limits.max_tokens]).collect()
    }

    /// What kernels are chosen by.
    pub(super) fn selection(&self) -> Selection {
        let context = typical_context(&self.limits);
        let (target, kv, exact) = (self.target, self.kv.format, self.exact);
        Selection { target, buckets: self.buckets(), kv, context, exact }
    }
}

/// Positions that attention is taken to read when kernels are priced: half the context, the average over a sequence's
/// life.
pub fn typical_context(limits: &Limits) -> u64 {
    (limits.max_context / 2).max(1)
}

/// The type that keys and values are kept in unless told otherwise.
pub(crate) fn default_kv_format(target: TargetName) -> Format {
    match target {
        TargetName::Cpu => Format::F32,
        TargetName::A100 | TargetName::H100 | TargetName::H200 => Format::F16,
    }
}

/// Tokens of one step unless told otherwise: enough for prefill to run at compute speed.
pub fn default_max_tokens(target: TargetName) -> u64 {
    match target {
        TargetName::Cpu => 256,
        TargetName::A100 | TargetName::H100 | TargetName::H200 => 1024,
    }
}

/// What the passes have to say of their work.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Each pass that ran, and how many places it changed.
    pub passes: Vec<(&'static str, Changed)>,
    /// Why each kernel was chosen.
    pub explanations: Vec<Explanation>,
    /// Warnings of the passes.
    pub warnings: Vec<Diagnostic>,
    /// The graph at each phase where it was to be kept.
    pub graphs: Vec<PhaseGraph>,
}

/// The graph at a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseGraph {
    /// The phase that it satisfies.
    pub phase: Phase,
    /// Its MLIR text.
    pub mlir: String,
}

/// A pipeline under way.
struct State<'a> {
    inputs: &'a PipelineInputs,
    explanations: Vec<Explanation>,
    warnings: Vec<Diagnostic>,
}

type Pass = fn(&mut Module, &mut State<'_>) -> Result<Changed, Diagnostic>;

/// One pass: its name, and what its result must satisfy.
struct Row {
    name: &'static str,
    phase: Phase,
    pass: Pass,
}

/// Every pass, in order. A phase is reached after its last row.
const PIPELINE: &[Row] = &[
    Row { name: "fuse_qkv", phase: Phase::Fused, pass: |m, _| fuse_qkv(m) },
    Row { name: "fuse_gate_up", phase: Phase::Fused, pass: |m, _| fuse_gate_up(m) },
    Row { name: "fuse_add_rms_norm", phase: Phase::Fused, pass: |m, _| fuse_add_rms_norm(m) },
    Row {
        name: "legalize",
        phase: Phase::Fused,
        pass: |m, s| legalize(m, s.inputs.target, &legal_ops(s.inputs.target)),
    },
    Row {
        name: "fold_norms",
        phase: Phase::Fused,
        pass: |m, s| if s.inputs.quality.fold_norms { fold_norms(m) } else { Ok(Changed(0)) },
    },
    Row {
        name: "equalize",
        phase: Phase::Fused,
        pass: |m, s| if s.inputs.quality.equalize { equalize(m) } else { Ok(Changed(0)) },
    },
    Row {
        name: "rotate",
        phase: Phase::Fused,
        pass: |m, s| {
            let Some(seed) = s.inputs.quality.rotate else { return Ok(Changed(0)) };
            let (changed, warning) = rotate(m, seed)?;
            s.warnings.extend(warning);
            Ok(changed)
        },
    },
    Row {
        name: "correct_weights",
        phase: Phase::Fused,
        pass: |m, s| if s.inputs.quality.correct { correct_weights(m) } else { Ok(Changed(0)) },
    },
    Row {
        name: "annotate_sensitivity",
        phase: Phase::Annotated,
        pass: |m, s| s.inputs.sensitivities.as_ref().map_or(Ok(Changed(0)), |s| annotate_sensitivity(m, s)),
    },
    Row {
        name: "split_linears",
        phase: Phase::Typed,
        pass: |m, s| split_linears(m, &s.inputs.recipe, &s.inputs.member_scales),
    },
    Row {
        name: "assign_recipe",
        phase: Phase::Typed,
        pass: |m, s| {
            let (changed, warnings) = assign_recipe(m, &s.inputs.recipe)?;
            s.warnings.extend(warnings);
            Ok(changed)
        },
    },
    Row {
        name: "keep_outliers",
        phase: Phase::Typed,
        pass: |m, s| keep_outliers(m, s.inputs.sensitivities.as_ref()),
    },
    Row {
        name: "round_weights",
        phase: Phase::Typed,
        pass: |m, s| round_weights(m, s.inputs.quality.rounding),
    },
    Row {
        name: "narrow_activations",
        phase: Phase::Typed,
        pass: |m, s| narrow_activations(m, s.inputs.target),
    },
    Row {
        name: "select_kernels",
        phase: Phase::Selected,
        pass: |m, s| {
            let (changed, explanations) = select_kernels(m, &s.inputs.selection())?;
            s.explanations = explanations;
            Ok(changed)
        },
    },
    Row {
        name: "plan_memory",
        phase: Phase::Planned,
        pass: |m, s| {
            let kv_bytes_per_token = s.inputs.kv.bytes_per_token(&s.inputs.model);
            plan_memory(m, &MemoryInputs { limits: s.inputs.limits, kv_bytes_per_token })
        },
    },
];

/// Lowers a model-phase graph to `until` and keeps its text at each phase of `keep` on the way, the model phase first. The
/// verifier runs after every pass; what it finds then is a bug of that pass.
pub(super) fn lower(
    module: &mut Module,
    inputs: &PipelineInputs,
    until: Phase,
    keep: &[Phase],
) -> Result<Trace, Diagnostic> {
    verify(module, Phase::Model)?;
    let (mut phase, mut passes, mut graphs) = (Phase::Model, vec![], vec![]);
    let mut reached = |phase, module: &Module| {
        graphs.extend(keep.contains(&phase).then(|| PhaseGraph { phase, mlir: module.to_string() }));
    };
    reached(phase, module);
    let mut state = State { inputs, explanations: vec![], warnings: vec![] };
    for (index, row) in PIPELINE.iter().enumerate().filter(|(_, row)| row.phase <= until) {
        passes.push((row.name, (row.pass)(module, &mut state)?));
        let complete = PIPELINE.get(index + 1).is_none_or(|next| next.phase > row.phase);
        let from = if complete { row.phase } else { phase };
        verify_between(module, from, row.phase)
            .map_err(|finding| finding.note(format!("after the pass {}", row.name)))?;
        if complete {
            phase = row.phase;
            reached(phase, module);
        }
    }
    Ok(Trace { passes, explanations: state.explanations, warnings: state.warnings, graphs })
}
