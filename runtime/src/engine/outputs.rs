//! Steps that sample at some outputs and give the logits of others.

use samp_kernels::sample::{SampleRequest, SampledToken, SamplingParams};

use super::Engine;
use crate::{batch::Chunk, error::EngineError};

/// What is wanted at one output of a step.
#[derive(Clone, Copy, Debug)]
pub struct OutputRequest {
    /// How the device is to choose the token after it, if it is.
    pub sample: Option<SampleRequest>,
    /// Whether the logits are wanted.
    pub logits: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The token that was chosen; `None` where none was asked for, or the logits allow none.
    pub sampled: Option<SampledToken>,
    /// The logits, `[vocab]`, where they were asked for.
    pub logits: Option<Vec<f32>>,
}

/// Stands where a device samples and nobody asked it to: the cheapest of choices.
const GREEDY: SampleRequest =
    SampleRequest { params: SamplingParams { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 }, draw: 0 };

impl Engine {
    /// [`Engine::step`] that gives at each output, chunk after chunk, what is asked for there. Only logits that are wanted
    /// leave the device, so that one demanding sequence does not slow the others.
    pub fn step_mixed(
        &mut self,
        batch: &[Chunk<'_>],
        requests: &[OutputRequest],
    ) -> Result<Vec<Output>, EngineError> {
        let layout = self.layout(batch)?;
        let outputs = layout.output_rows.len();
        if outputs != requests.len() {
            return Err(EngineError::SampleRequests { requests: requests.len(), outputs });
        }
        let samples: Vec<SampleRequest> = requests.iter().map(|r| r.sample.unwrap_or(GREEDY)).collect();
        let mut sampled: Vec<Option<SampledToken>> = vec![None; outputs];
        let vocab = self.vocab();
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; outputs];
        self.execute(&layout, |device, batch| {
            device.step_and_sample(batch, &samples, &mut sampled)?;
            for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| requests[*index].logits) {
                let mut logits = vec![0.0; vocab];
                device.output_logits(batch, index, &mut logits)?;
                *row = Some(logits);
            }
            Ok(())
        })?;
        let given = sampled.into_iter().zip(requests).map(|(token, request)| request.sample.and(token));
        Ok(given.zip(rows).map(|(sampled, logits)| Output { sampled, logits }).collect())
    }
}
