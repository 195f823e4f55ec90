//! The work that is timed: reading a prompt, generating, and decoding several sequences together.

use std::time::Instant;

use samp_kernels::{random::SplitMix64, sample::SampleRequest};

use super::{error::BenchError, processors::BusyProcessors};
use crate::{
    batch::{Chunk, Outputs},
    engine::Engine,
    proc::ProcessorTicks,
    sequence_id::SequenceId,
};

/// How long a piece of work took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lap {
    /// From its beginning to its end.
    pub seconds: f64,
    /// Whose the processors were meanwhile; `None` where it was too short to tell.
    pub busy: Option<BusyProcessors>,
}

impl Lap {
    fn time(work: impl FnOnce() -> Result<(), BenchError>) -> Result<Lap, BenchError> {
        let (before, start) = (ProcessorTicks::now(), Instant::now());
        work()?;
        let seconds = start.elapsed().as_secs_f64();
        let ticks = before.zip(ProcessorTicks::now());
        Ok(Lap { seconds, busy: ticks.and_then(|(before, after)| BusyProcessors::between(before, after)) })
    }
}

/// An engine, and the tokens that it is given. They are random: time does not depend on them.
pub(super) struct Runner {
    engine: Engine,
    random: SplitMix64,
}

impl Runner {
    pub(super) fn new(engine: Engine) -> Runner {
        Runner { engine, random: SplitMix64::new(0) }
    }

    /// Reads a prompt up to the logits of its last token.
    pub(super) fn prompt(&mut self, tokens: usize) -> Result<Lap, BenchError> {
        let prompt = self.tokens(tokens);
        self.with_sequences(1, |engine, sequences| {
            let mut finite = false;
            let lap = Lap::time(|| {
                let logits = engine.append_tokens(sequences[0], &prompt, Outputs::Last)?;
                finite = logits.as_slice().iter().all(|logit| logit.is_finite());
                Ok(())
            })?;
            if finite { Ok(lap) } else { Err(BenchError::NotFinite) }
        })
    }

    /// Generates tokens, each the likeliest after the one before: steps that the device ends by choosing.
    pub(super) fn generate(&mut self, count: usize) -> Result<Lap, BenchError> {
        let mut token = self.tokens(1)[0];
        self.with_sequences(1, |engine, sequences| {
            Lap::time(|| {
                for _ in 0..count {
                    let sampled = engine.append_and_sample(sequences[0], &[token], SampleRequest::GREEDY)?;
                    token = sampled.ok_or(BenchError::NotFinite)?.token;
                }
                Ok(())
            })
        })
    }

    /// Decodes `steps` tokens of each of several sequences together, up to their logits.
    pub(super) fn decode(&mut self, sequences: usize, steps: usize) -> Result<Lap, BenchError> {
        let tokens = self.tokens(sequences * steps);
        self.with_sequences(sequences, |engine, sequences| {
            Lap::time(|| {
                for tokens in tokens.chunks_exact(sequences.len()) {
                    let chunk = |(&sequence, token)| Chunk {
                        sequence,
                        tokens: std::slice::from_ref(token),
                        outputs: Outputs::Last,
                    };
                    engine.step(&sequences.iter().zip(tokens).map(chunk).collect::<Vec<_>>())?;
                }
                Ok(())
            })
        })
    }

    /// So many tokens of the plan's vocabulary.
    fn tokens(&mut self, count: usize) -> Vec<u32> {
        let vocab = self.engine.plan().manifest().model.vocab_size as usize;
        (0..count).map(|_| self.random.below(vocab) as u32).collect()
    }

    /// Has work done on empty sequences, which end with it.
    fn with_sequences<R>(
        &mut self,
        count: usize,
        work: impl FnOnce(&mut Engine, &[SequenceId]) -> Result<R, BenchError>,
    ) -> Result<R, BenchError> {
        let sequences = (0..count).map(|_| self.engine.create()).collect::<Result<Vec<_>, _>>()?;
        let done = work(&mut self.engine, &sequences);
        sequences.into_iter().for_each(|sequence| self.engine.release(sequence));
        done
    }
}
