//! Binding: kernel names become functions and buffer ids become ranges, once, when a plan is loaded.

use samp_abi::plan::{BufferId, Op, Program, Step, TensorId};
use samp_kernels::{
    attention::AttentionArgs,
    elementwise::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs},
    embed::EmbedArgs,
    kernel::Entry,
    linear::LinearArgs,
    registry,
    rms_norm::{AddRmsNormArgs, RmsNormArgs},
    rope::RopeAppendArgs,
    sample::SampleArgs,
};

use super::{buffers::Span, error::DeviceError};
use crate::plan::code::SAMPLER;

/// Which function of a registry row is called.
#[derive(Clone, Copy)]
pub(super) enum KernelImpl {
    /// The one that is fast.
    Optimized,
    /// The plain loops that define what the kernel computes: slow, and right by reading.
    Reference,
}

impl KernelImpl {
    fn choose<F>(self, optimized: F, reference: F) -> F {
        match self {
            KernelImpl::Optimized => optimized,
            KernelImpl::Reference => reference,
        }
    }
}

/// A step ready to be called: its operands, and one function for each token bucket.
pub(super) enum Call {
    Embed { weight: TensorId, out: Span, run: Vec<fn(EmbedArgs<'_>)> },
    RmsNorm { x: Span, weight: TensorId, eps: f64, out: Span, run: Vec<fn(RmsNormArgs<'_>)> },
    AddRmsNorm(AddRmsNorm),
    Add { a: Span, b: Span, out: Span, run: Vec<fn(AddArgs<'_>)> },
    Linear { x: Span, weight: TensorId, bias: Option<TensorId>, out: Span, run: Vec<fn(LinearArgs<'_>)> },
    RopeAppend { qkv: Span, layer: usize, out: Span, run: Vec<fn(RopeAppendArgs<'_>)> },
    PagedAttention { q: Span, layer: usize, out: Span, run: Vec<fn(AttentionArgs<'_>)> },
    SiluMul { gate_up: Span, out: Span, run: Vec<fn(SiluMulArgs<'_>)> },
    Concat { parts: Vec<Span>, out: Span, run: Vec<fn(ConcatArgs<'_>)> },
    Gather { x: Span, out: Span, run: Vec<fn(GatherArgs<'_>)> },
}

/// The residual addition and norm. Addition commutes, so `residual` stands for the operand that `sum` overwrites,
/// where it overwrites one.
pub(super) struct AddRmsNorm {
    pub x: Span,
    pub residual: Span,
    pub weight: TensorId,
    pub eps: f64,
    pub sum: Span,
    pub out: Span,
    pub run: Vec<fn(AddRmsNormArgs<'_>)>,
}

/// Binds one step. `spans` are the program's buffers.
pub(super) fn bind(step: &Step, spans: &[Span], kernels: KernelImpl) -> Result<Call, DeviceError> {
    let span = |id: BufferId| spans[id.0 as usize];
    macro_rules! functions {
        ($kind:ident) => {
            entries(step, |entry| match entry {
                Entry::$kind { run, reference } => Some(kernels.choose(run, reference)),
                _ => None,
            })?
        };
    }
    Ok(match step.op {
        Op::Embed { weight, out } => Call::Embed { weight, out: span(out), run: functions!(Embed) },
        Op::RmsNorm { x, weight, eps, out } => {
            Call::RmsNorm { x: span(x), weight, eps, out: span(out), run: functions!(RmsNorm) }
        }
        Op::AddRmsNorm { x, residual, weight, eps, sum, out } => {
            let (mut x, mut residual, sum, out) = (span(x), span(residual), span(sum), span(out));
            if sum.start == x.start {
                std::mem::swap(&mut x, &mut residual);
            }
            let run = functions!(AddRmsNorm);
            Call::AddRmsNorm(AddRmsNorm { x, residual, weight, eps, sum, out, run })
        }
        Op::Add { a, b, out } => Call::Add { a: span(a), b: span(b), out: span(out), run: functions!(Add) },
        Op::Linear { x, weight, bias, out } => {
            Call::Linear { x: span(x), weight, bias, out: span(out), run: functions!(Linear) }
        }
        Op::RopeAppend { qkv, layer, out } => Call::RopeAppend {
            qkv: span(qkv),
            layer: layer as usize,
            out: span(out),
            run: functions!(RopeAppend),
        },
        Op::PagedAttention { q, layer, out } => Call::PagedAttention {
            q: span(q),
            layer: layer as usize,
            out: span(out),
            run: functions!(PagedAttention),
        },
        Op::SiluMul { gate_up, out } => {
            Call::SiluMul { gate_up: span(gate_up), out: span(out), run: functions!(SiluMul) }
        }
        Op::Concat { ref parts, out } => Call::Concat {
            parts: parts.iter().map(|&part| span(part)).collect(),
            out: span(out),
            run: functions!(Concat),
        },
        Op::Gather { x, out } => Call::Gather { x: span(x), out: span(out), run: functions!(Gather) },
    })
}

/// The function of the kernel that chooses tokens.
pub(super) fn bind_sampler(
    program: &Program,
    kernels: KernelImpl,
) -> Result<fn(SampleArgs<'_>), DeviceError> {
    match registry::find(&program.sampler).map(|kernel| kernel.entry) {
        Some(Entry::Sample { run, reference }) => Ok(kernels.choose(run, reference)),
        _ => Err(DeviceError::Kernel { step: SAMPLER.into(), kernel: program.sampler.clone() }),
    }
}

/// The function of each bucket's kernel.
fn entries<F>(step: &Step, pick: impl Fn(Entry) -> Option<F>) -> Result<Vec<F>, DeviceError> {
    let one = |choice: &samp_abi::plan::KernelChoice| {
        let wrong = || DeviceError::Kernel { step: step.label.clone(), kernel: choice.kernel.clone() };
        registry::find(&choice.kernel).and_then(|kernel| pick(kernel.entry)).ok_or_else(wrong)
    };
    step.kernels.iter().map(one).collect()
}
