//! What calibration tokens look like where a linear reads them, and the keys and values behind them.

use samp_abi::plan::{BufferId, Op, Step};
use samp_kernels::{format::FP8_MAX, quantize::Hessian};
use samp_runtime::{BufferView, Observer};

use super::{
    error::QuantizeError,
    forward::{Forward, LinearStep, State},
    token_batch::TokenBatch,
};
use crate::certificate::{HeadRange, InputStatistics};

/// The inputs of one linear over some batches.
pub(super) struct LinearInputs {
    /// Sums of their products.
    pub hessian: Hessian,
    /// Their largest magnitude.
    pub absmax: f32,
    /// The keys and values appended since the linear before, by head; none where none were.
    pub heads: Vec<HeadRange>,
}

/// A channel whose root mean square is so many times that of all is an outlier (as LLM.int8() puts it: 6).
const OUTLIER: f64 = 6.0;
/// The largest value of int8.
const INT8_LARGEST: f64 = 127.0;

impl LinearInputs {
    /// Brings every batch before `linear` and looks at its inputs.
    pub(super) fn collect(
        forward: &mut Forward,
        batches: &[TokenBatch],
        states: &mut [State],
        linear: &LinearStep,
    ) -> Result<LinearInputs, QuantizeError> {
        let hessian = Hessian::new(forward.weights().cols(linear.weight));
        let mut inputs = LinearInputs { hessian, absmax: 0.0, heads: vec![] };
        let mut appended = linear.appended.map(|step| AppendedHeads::new(step, forward.kv_heads()));
        for (batch, state) in batches.iter().zip(states) {
            let observer = appended.as_mut().map(|appended| appended as &mut dyn Observer);
            *state = forward.advance(batch, state, linear.step, observer);
            let x = state.get(linear.x);
            inputs.hessian.add(x).map_err(|source| QuantizeError::inputs(&linear.key, source))?;
            inputs.absmax = x.iter().fold(inputs.absmax, |most, x| most.max(x.abs()));
        }
        inputs.heads = appended.map_or(vec![], |appended| appended.heads);
        Ok(inputs)
    }

    /// As the profile keeps them.
    pub(super) fn statistics(&self) -> InputStatistics {
        let tokens = self.hessian.tokens().max(1) as f64;
        let channels: Vec<f64> =
            self.hessian.diagonal().iter().map(|energy| (energy / tokens).sqrt()).collect();
        let rms = (self.hessian.mean_diagonal() / tokens).sqrt();
        let outliers = channels.iter().enumerate().filter(|(_, channel)| **channel > OUTLIER * rms);
        let absmax = f64::from(self.absmax);
        let [fp8_scale, int8_scale] = [f64::from(FP8_MAX), INT8_LARGEST].map(|largest| absmax / largest);
        InputStatistics {
            rms,
            absmax,
            fp8_scale,
            int8_scale,
            largest_channel_rms: channels.iter().copied().fold(0.0, f64::max),
            outlier_channels: outliers.map(|(index, _)| index as u64).collect(),
            heads: self.heads.clone(),
        }
    }
}

/// Looks at the keys and values that one step appends to the cache.
pub(super) struct AppendedHeads {
    step: usize,
    heads: Vec<HeadRange>,
}

impl AppendedHeads {
    /// Of the cache of so many heads, which that step appends to.
    pub(super) fn new(step: usize, kv_heads: usize) -> AppendedHeads {
        let zero = HeadRange { keys: 0.0, values: 0.0 };
        AppendedHeads { step, heads: vec![zero; kv_heads] }
    }

    /// The step.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// What was seen, by head.
    pub(super) fn ranges(&self) -> &[HeadRange] {
        &self.heads
    }

    /// Looks at rows of queries, keys and values of that width; queries are as wide as `out`.
    pub(super) fn look(&mut self, qkv: &[f32], [width, out]: [usize; 2]) {
        let count = self.heads.len();
        let head_dim = (width - out) / (2 * count);
        for row in qkv.chunks_exact(width) {
            let (keys, values) = row[out..].split_at(count * head_dim);
            let heads = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
            for (range, (keys, values)) in self.heads.iter_mut().zip(heads) {
                let (first, second) = keys.split_at(head_dim / 2);
                let lengths = first.iter().zip(second).map(|(a, b)| f64::from(a.hypot(*b)));
                range.keys = lengths.fold(range.keys, f64::max);
                range.values = values.iter().fold(range.values, |most, v| most.max(f64::from(v.abs())));
            }
        }
    }
}

impl Observer for AppendedHeads {
    fn after_step(&mut self, index: usize, step: &Step, buffers: &BufferView<'_>) {
        if let (Op::RopeAppend { qkv, out, .. }, true) = (&step.op, index == self.step) {
            let width = |id: BufferId| buffers.width(id);
            self.look(buffers.get(*qkv), [width(*qkv), width(*out)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_by_the_length_of_their_pairs_whatever_the_position() {
        // One query head, two KV heads of two channels: queries, keys, values.
        let rows = [[9.0, 9.0, 3.0, 4.0, 0.5, 0.0, -2.0, 1.0, 0.25, 0.0], [0.0; 10]];
        let mut appended = AppendedHeads::new(0, 2);
        appended.look(rows.as_flattened(), [10, 2]);
        let found: Vec<(f64, f64)> = appended.heads.iter().map(|h| (h.keys, h.values)).collect();
        assert_eq!(found, [(5.0, 2.0), (0.5, 0.25)]);
    }
}
