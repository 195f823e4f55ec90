//! What is measured, as asked for and as far as the plan takes it.

use std::num::NonZeroUsize;

use samp_abi::plan::Plan;

use super::error::BenchError;
use crate::{device::DeviceKind, engine::EngineOptions};

/// What is measured unless told otherwise, as by other tools, as far as the plan takes it.
const PROMPT: usize = 512;
const GENERATE: usize = 128;
const SEQUENCES: [usize; 3] = [1, 4, 16];

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Tokens of the prompt; `None` is 512, or as many as the plan's sequences have.
    pub prompt: Option<NonZeroUsize>,
    /// Tokens that are generated, and decoded of each sequence; `None` is 128, or as many as the plan's sequences have.
    pub generate: Option<NonZeroUsize>,
    /// How many sequences are decoded together; `None` is 1, 4 and 16, those of them that the plan takes.
    pub sequences: Option<Vec<NonZeroUsize>>,
    /// How often everything is measured.
    pub repeats: NonZeroUsize,
    /// Where to execute; `None` is what the plan is for, the CPU or the first GPU.
    pub device: Option<DeviceKind>,
    /// Part of a GPU's memory that may be used in all.
    pub gpu_memory_utilization: f64,
}

impl Default for BenchOptions {
    fn default() -> BenchOptions {
        BenchOptions {
            prompt: None,
            generate: None,
            sequences: None,
            repeats: const { NonZeroUsize::new(3).expect("three are not none") },
            device: None,
            gpu_memory_utilization: EngineOptions::default().gpu_memory_utilization,
        }
    }
}

/// The work that is timed, all of which the plan takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens that are generated, and decoded of each sequence.
    pub generate: usize,
    /// How many sequences are decoded together, one number after another.
    pub sequences: Vec<usize>,
}

impl Workload {
    pub(super) fn new(plan: &Plan, options: &BenchOptions) -> Result<Workload, BenchError> {
        let limits = plan.limits;
        let positions = |asked: Option<NonZeroUsize>, usual: usize| match asked.map(NonZeroUsize::get) {
            Some(asked) if asked as u64 > limits.max_context => {
                Err(BenchError::Positions { asked, limit: limits.max_context })
            }
            Some(asked) => Ok(asked),
            None => Ok(usual.min(limits.max_context as usize)),
        };
        let limit = limits.max_sequences.min(limits.max_tokens);
        let sequences: Vec<usize> = match &options.sequences {
            Some(asked) => asked.iter().map(|count| count.get()).collect(),
            None => SEQUENCES.into_iter().filter(|&count| count as u64 <= limit).collect(),
        };
        if let Some(&asked) = sequences.iter().find(|&&count| count as u64 > limit) {
            return Err(BenchError::Sequences { asked, limit });
        }
        let (prompt, generate) = (positions(options.prompt, PROMPT)?, positions(options.generate, GENERATE)?);
        Ok(Workload { prompt, generate, sequences })
    }

    /// Positions of the cache that holds the largest of it, each sequence in pages of its own.
    pub(super) fn kv_tokens(&self, page_tokens: u64) -> u64 {
        let whole_pages = |positions: usize| (positions as u64).next_multiple_of(page_tokens);
        let widest = self.sequences.iter().copied().max().unwrap_or(1) as u64;
        whole_pages(self.prompt).max(whole_pages(self.generate) * widest)
    }
}
