//! Gradients of the logits' sums by what each linear gives, over calibration tokens: one pass forward and one back.
//!
//! The f32 program is cut where the residual stream alone lives ([`segment`]). Forward, the stream is kept at each cut
//! ([`stream_file`]); back, each segment is run again from its cut with all that it computes kept ([`tape`]), then its steps
//! are taken in reverse ([`step_gradient`]). So memory holds the activations of one segment over one batch, whatever the
//! number of layers and tokens, and the weights of one segment turned over.

mod segment;
mod step_gradient;
mod stream_file;
mod tape;
#[cfg(test)]
mod tests;

use std::ops::Range;

use self::{
    segment::{Segment, segments},
    step_gradient::{Gradients, SegmentWeights},
    stream_file::StreamFile,
};
use super::{
    error::QuantizeError,
    forward::{Forward, State},
    token_batch::TokenBatch,
};
pub(super) use tape::Tape;

/// One step of one batch, and its gradients.
pub(super) struct StepGradient<'a> {
    /// The step.
    pub step: usize,
    /// Which of the batches.
    pub batch: usize,
    /// Which of the draws.
    pub draw: u64,
    /// What a linear reads, `[tokens, cols]`, or `[outputs, cols]` of the head; empty for the embedding of tokens.
    pub x: &'a [f32],
    /// The gradient by what it gives, of as many rows.
    pub gradient: &'a [f32],
}

/// Who is shown the gradients, segment by segment from the last to the first.
pub(super) trait GradientVisitor {
    /// The steps that come next.
    fn begin(&mut self, forward: &mut Forward, steps: &Range<usize>) -> Result<(), QuantizeError>;
    /// One batch was run through these steps, which computed this.
    fn ran(&mut self, forward: &Forward, tape: &Tape);
    /// A linear, or the embedding of tokens.
    fn visit(&mut self, at: &StepGradient<'_>) -> Result<(), QuantizeError>;
    /// All batches of these steps were shown.
    fn finish(&mut self, forward: &mut Forward, steps: &Range<usize>) -> Result<(), QuantizeError>;
}

/// A pass over some batches.
pub(super) struct Backward<'a> {
    /// What is run.
    pub forward: &'a mut Forward,
    /// The tokens.
    pub batches: &'a [TokenBatch],
    /// How many gradients are taken of each batch.
    pub draws: u64,
    /// Where a gradient begins: puts that by the logits, `[outputs, vocab]`, in their place, by batch and draw.
    pub root: &'a dyn Fn(&mut [f32], usize, u64),
}

impl Backward<'_> {
    /// Shows the gradients of all segments to `visitor`.
    pub(super) fn run(mut self, visitor: &mut dyn GradientVisitor) -> Result<(), QuantizeError> {
        let segments = segments(self.forward);
        let mut streams = self.keep_streams(&segments)?;
        // Of each batch and draw, by the stream where the segment that comes next ends.
        let mut by_stream: Vec<Vec<Vec<f32>>> = vec![vec![]; self.batches.len()];
        for (index, segment) in segments.iter().enumerate().rev() {
            visitor.begin(self.forward, &segment.steps)?;
            let weights = SegmentWeights::new(self.forward, &segment.steps);
            for (batch, by_stream) in by_stream.iter_mut().enumerate() {
                let stream = streams.read(index, batch)?;
                *by_stream = self.segment(segment, &weights, batch, &stream, by_stream, visitor)?;
            }
            visitor.finish(self.forward, &segment.steps)?;
        }
        Ok(())
    }

    /// The residual stream at each cut.
    fn keep_streams(&mut self, segments: &[Segment]) -> Result<StreamFile, QuantizeError> {
        let mut streams = StreamFile::create(self.forward.weights().dir())?;
        for batch in self.batches {
            let mut state = State::default();
            for segment in segments {
                let stream = match &segment.begins {
                    None => vec![],
                    Some(cut) => {
                        state = self.forward.advance(batch, &state, segment.steps.start, None);
                        cut.stream(&state)
                    }
                };
                streams.append(&stream)?;
            }
            streams.end_batch();
        }
        Ok(streams)
    }

    /// Runs a segment again and takes its steps in reverse; the gradients of each draw by the stream that it begins with.
    fn segment(
        &mut self,
        segment: &Segment,
        weights: &SegmentWeights,
        index: usize,
        stream: &[f32],
        by_end: &[Vec<f32>],
        visitor: &mut dyn GradientVisitor,
    ) -> Result<Vec<Vec<f32>>, QuantizeError> {
        let batch = &self.batches[index];
        let begin = segment.begins.as_ref().map_or_else(State::default, |cut| cut.state(stream));
        let mut tape = Tape::new(&begin);
        self.forward.advance(batch, &begin, segment.steps.end, Some(&mut tape));
        visitor.ran(self.forward, &tape);
        let mut by_begin = vec![];
        for draw in 0..self.draws {
            let mut gradients = Gradients::default();
            match &segment.ends {
                Some(cut) => cut.seed(&mut gradients, &by_end[draw as usize]),
                None => {
                    let logits = self.forward.program().logits;
                    let mut root = tape.get(logits).to_vec();
                    (self.root)(&mut root, index, draw);
                    gradients.put(logits, root);
                }
            }
            for step in segment.steps.clone().rev() {
                let op = self.forward.program().steps[step].op.clone();
                let mut show = |x: &[f32], gradient: &[f32]| {
                    visitor.visit(&StepGradient { step, batch: index, draw, x, gradient })
                };
                weights.step(self.forward, &op, batch, &tape, &mut gradients, &mut show)?;
            }
            by_begin.push(segment.begins.as_ref().map_or(vec![], |cut| cut.gradient(&mut gradients)));
        }
        Ok(by_begin)
    }
}
