//! The f32 program over calibration tokens, resumed between any two steps from recorded activations.

use std::ops::Range;

use samp_abi::plan::{BufferId, Model, Op, Program, TensorId};
use samp_passes::projection_key;
use samp_runtime::{Batch, DeviceError, DeviceKind, Executable, Observer, Replay};

use super::{baseline::BaselineWeights, token_batch::TokenBatch};
use crate::lower::{PlanSpec, SourceSpec, TensorSpec};

/// The live buffers of one batch between two steps.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The step that comes next.
    pub step: usize,
    buffers: Vec<(BufferId, Vec<f32>)>,
}

/// A linear of the program.
#[derive(Clone, Debug)]
pub struct LinearStep {
    /// Its step.
    pub step: usize,
    /// The name of its weight.
    pub key: String,
    /// Whether the weight is also a table that tokens are looked up in.
    pub tied: bool,
    /// Its weight.
    pub weight: TensorId,
    /// Its bias.
    pub bias: Option<TensorId>,
    /// Where its input is.
    pub x: BufferId,
    /// The linears that were joined into it, in the order of their rows; none where it is one.
    pub members: Vec<Member>,
    /// The residual stream after it, if it adds to that.
    pub sum: Option<Sum>,
    /// The step since the linear before that appends keys and values.
    pub appended: Option<usize>,
}

/// A part of a joined linear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, as that of a linear by itself.
    pub key: String,
    /// Its rows.
    pub rows: usize,
}

/// An addition of a linear's result to the residual stream.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// The stream before.
    pub before: BufferId,
    /// The stream after.
    pub after: BufferId,
    /// The step that adds.
    pub step: usize,
}

/// An f32 program ready to run over batches of at most its plan's `max_tokens`.
pub struct Forward {
    replay: Replay<BaselineWeights>,
    model: Model,
    max_tokens: usize,
    /// Of the tensors.
    names: Vec<String>,
    /// Of the tensors that are joined.
    members: Vec<Vec<Member>>,
}

impl Forward {
    /// Readies the program of `spec`.
    pub fn new(spec: &PlanSpec, weights: BaselineWeights) -> Result<Forward, DeviceError> {
        let executable = Executable {
            program: spec.program.clone(),
            model: spec.model.clone(),
            kv: spec.kv.clone(),
            arena_bytes: spec.arena_bytes,
        };
        // Each record may end within a page, and has at least one token.
        let pages = spec.limits.max_tokens as u32;
        let replay = Replay::new(DeviceKind::Cpu, executable, weights, pages)?;
        let names = spec.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let members = spec.tensors.iter().map(members).collect();
        let (model, max_tokens) = (spec.model.clone(), spec.limits.max_tokens as usize);
        Ok(Forward { replay, model, max_tokens, names, members })
    }

    /// The weights.
    pub fn weights(&self) -> &BaselineWeights {
        self.replay.weights()
    }

    /// Takes other weights of the same shapes and layouts.
    pub fn set_weights(&mut self, weights: BaselineWeights) {
        *self.replay.weights_mut() = weights;
    }

    /// The weights, to be exchanged.
    pub fn weights_mut(&mut self) -> &mut BaselineWeights {
        self.replay.weights_mut()
    }

    /// The program.
    pub(super) fn program(&self) -> &Program {
        self.replay.program()
    }

    /// Sizes of the model.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Most tokens of a batch.
    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Buffers that the steps from `step` on read before they write them.
    pub(super) fn live(&self, step: usize) -> Vec<BufferId> {
        self.replay.live(step)
    }

    /// Steps of the program.
    pub fn steps(&self) -> usize {
        self.replay.program().steps.len()
    }

    /// Elements of a row of logits.
    pub fn vocab(&self) -> usize {
        self.model.vocab_size as usize
    }

    /// Heads of keys and values in each layer.
    pub fn kv_heads(&self) -> usize {
        self.model.kv_heads as usize
    }

    /// Every linear, in program order.
    pub fn linears(&self) -> Vec<LinearStep> {
        let steps = &self.replay.program().steps;
        let sum = |after: usize, out: BufferId| {
            let reads = |s: &samp_abi::plan::Step| s.op.reads().contains(&out);
            let step = (after + 1..steps.len()).find(|&step| reads(&steps[step]))?;
            match steps[step].op {
                Op::AddRmsNorm { x, residual, sum, .. } if x == out => {
                    Some(Sum { before: residual, after: sum, step })
                }
                Op::Add { a, b, out: sum } => {
                    Some(Sum { before: if a == out { b } else { a }, after: sum, step })
                }
                _ => None,
            }
        };
        let tied =
            |id: TensorId| steps.iter().any(|s| matches!(s.op, Op::Embed { weight, .. } if weight == id));
        let appended = |linear: usize| {
            let since = steps[..linear].iter().enumerate().rev();
            let mut since = since.take_while(|(_, s)| !matches!(s.op, Op::Linear { .. }));
            since.find(|(_, s)| matches!(s.op, Op::RopeAppend { .. })).map(|(step, _)| step)
        };
        let linear = |(step, s): (usize, &samp_abi::plan::Step)| match s.op {
            Op::Linear { x, weight, bias, out } => {
                let key = self.names[weight.0 as usize].clone();
                let (sum, appended) = (sum(step, out), appended(step));
                let members = self.members[weight.0 as usize].clone();
                Some(LinearStep { step, key, tied: tied(weight), weight, bias, x, members, sum, appended })
            }
            _ => None,
        };
        steps.iter().enumerate().filter_map(linear).collect()
    }

    /// The linear that gives the logits.
    pub(super) fn head(&self) -> LinearStep {
        self.linears().pop().expect("a program ends with its head")
    }

    /// Runs `batch` from where `from` was recorded up to step `until`, and records what is live there.
    pub fn advance(
        &mut self,
        batch: &TokenBatch,
        from: &State,
        until: usize,
        observer: Option<&mut dyn Observer>,
    ) -> State {
        let sequences = batch.slices();
        let batch = batch.view(&sequences);
        self.run(&batch, from, from.step..until, observer);
        let live = self.replay.live(until);
        let buffers = live.into_iter().map(|id| (id, self.replay.buffer(id, &batch).to_vec())).collect();
        State { step: until, buffers }
    }

    /// Runs `batch` from where `from` was recorded to the end; the logits, `[outputs, vocab]`.
    pub fn logits(&mut self, batch: &TokenBatch, from: &State) -> &[f32] {
        let sequences = batch.slices();
        let batch = batch.view(&sequences);
        let end = self.steps();
        self.run(&batch, from, from.step..end, None);
        let logits = self.replay.program().logits;
        self.replay.buffer(logits, &batch)
    }

    fn run(
        &mut self,
        batch: &Batch<'_>,
        from: &State,
        steps: Range<usize>,
        observer: Option<&mut dyn Observer>,
    ) {
        for (id, values) in &from.buffers {
            self.replay.buffer(*id, batch).copy_from_slice(values);
        }
        self.replay.run(steps, batch, observer);
    }
}

fn members(tensor: &TensorSpec) -> Vec<Member> {
    let joined = tensor.sources.iter().filter(|_| tensor.sources.len() > 1);
    let member = |source: &SourceSpec| Member {
        key: projection_key(&source.name).into(),
        rows: source.shape.first().map_or(0, |&rows| rows as usize),
    };
    joined.map(member).collect()
}

impl State {
    /// What lives before `step`.
    pub(super) fn at(step: usize, buffers: Vec<(BufferId, Vec<f32>)>) -> State {
        State { step, buffers }
    }

    /// Everything that lives.
    pub(super) fn buffers(&self) -> impl Iterator<Item = (BufferId, &[f32])> {
        self.buffers.iter().map(|(id, values)| (*id, values.as_slice()))
    }

    /// What a buffer held; empty if it was not live.
    pub fn get(&self, id: BufferId) -> &[f32] {
        self.buffers.iter().find(|(known, _)| *known == id).map_or(&[], |(_, values)| values)
    }
}
