//! Where a program is cut: between layers, the residual stream alone lives.

use std::ops::Range;

use samp_abi::plan::{BufferId, Op, Program, RowDim};

use super::step_gradient::Gradients;
use crate::quantize::forward::{Forward, State};

/// The steps between two cuts.
pub(super) struct Segment {
    pub steps: Range<usize>,
    /// What it begins with; none where the program begins.
    pub begins: Option<Cut>,
    /// What it ends with; none where the logits are.
    pub ends: Option<Cut>,
}

/// A step before which nothing lives but the residual stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    step: usize,
    /// Where the stream is: in one buffer, or in two that the step adds.
    summands: Vec<BufferId>,
}

/// The program, layer by layer; what comes before the first and after the last are segments of their own.
pub(super) fn segments(forward: &Forward) -> Vec<Segment> {
    let program = forward.program();
    let mut bounds: Vec<Option<Cut>> = vec![None];
    bounds.extend(cuts(program, &|step| forward.live(step)).into_iter().map(Some));
    bounds.push(None);
    let step = |cut: &Option<Cut>, otherwise| cut.as_ref().map_or(otherwise, |cut| cut.step);
    let segment = |pair: &[Option<Cut>]| Segment {
        steps: step(&pair[0], 0)..step(&pair[1], program.steps.len()),
        begins: pair[0].clone(),
        ends: pair[1].clone(),
    };
    bounds.windows(2).map(segment).collect()
}

/// Every step before which one buffer lives, a row for each token, and the last addition before each attention, if nothing
/// but its summands lives there.
fn cuts(program: &Program, live: &dyn Fn(usize) -> Vec<BufferId>) -> Vec<Cut> {
    let tokens = |id: &BufferId| program.buffers[id.0 as usize].rows == RowDim::Tokens;
    let mut cuts: Vec<Cut> = vec![];
    let mut addition = None;
    for (step, found) in program.steps.iter().enumerate().skip(1) {
        let live = live(step);
        match found.op {
            _ if live.len() == 1 && live.iter().all(tokens) => cuts.push(Cut { step, summands: live }),
            Op::AddRmsNorm { x, residual, .. } => {
                let mut summands = vec![x, residual];
                summands.sort_unstable();
                addition = (live == summands && tokens(&x)).then_some(Cut { step, summands });
            }
            Op::RopeAppend { .. } => cuts.extend(addition.take()),
            _ => (),
        }
    }
    cuts
}

impl Cut {
    /// The stream, of what lives there.
    pub(super) fn stream(&self, state: &State) -> Vec<f32> {
        let mut stream = state.get(self.summands[0]).to_vec();
        for &other in &self.summands[1..] {
            stream.iter_mut().zip(state.get(other)).for_each(|(sum, x)| *sum += x);
        }
        stream
    }

    /// What lives there, with all of the stream in one summand.
    pub(super) fn state(&self, stream: &[f32]) -> State {
        let values = |(index, &id)| (id, if index == 0 { stream.to_vec() } else { vec![0.0; stream.len()] });
        State::at(self.step, self.summands.iter().enumerate().map(values).collect())
    }

    /// The gradient by the stream is that by each summand.
    pub(super) fn seed(&self, gradients: &mut Gradients, by_stream: &[f32]) {
        self.summands.iter().for_each(|&id| gradients.put(id, by_stream.to_vec()));
    }

    /// The gradient by the stream, from that by a summand.
    pub(super) fn gradient(&self, gradients: &mut Gradients) -> Vec<f32> {
        gradients.take(self.summands[0]).unwrap_or_default()
    }
}
