//! What callers choose.

use std::ffi::{c_char, c_int};

use samp_runtime::{EngineOptions, Sampling, SessionOptions};

use crate::{
    arguments::{elements, optional_text, text},
    status::Failure,
};

/// Tokens that are generated where nothing is said.
const DEFAULT_MAX_TOKENS: usize = 128;

/**
 * How a plan is opened. Set all to 0, then `size`: `samp_options options = {.size = sizeof options};`. What is 0 or NULL is
 * left to samp.
 */
#[repr(C)]
#[derive(Clone, Copy)]
pub struct samp_options {
    /**
     * sizeof(samp_options).
     */
    pub size: usize,
    /**
     * "cpu", "cuda" or "reference"; NULL is the device that the plan is for.
     */
    pub device: *const c_char,
    /**
     * Threads that compute, which belong to the session, at most 1024; 0 is one for each core.
     */
    pub threads: usize,
    /**
     * Positions that the KV cache holds over all sequences; 0 is all that the plan's limits allow, or on a GPU as many as fit.
     */
    pub kv_tokens: u64,
    /**
     * The digest that the plan must have, 64 hex digits as `samp inspect` prints it; NULL takes any.
     */
    pub digest: *const c_char,
}

/**
 * What is generated, and how tokens are chosen. Set all to 0, then `size`: `samp_sampling how = {.size = sizeof how};`. All 0
 * takes the likeliest token each time, 128 times at most.
 */
#[repr(C)]
#[derive(Clone, Copy)]
pub struct samp_sampling {
    /**
     * sizeof(samp_sampling).
     */
    pub size: usize,
    /**
     * Most tokens to generate; 0 is 128.
     */
    pub max_tokens: usize,
    /**
     * Softmax temperature; 0 takes the likeliest token.
     */
    pub temperature: f32,
    /**
     * Sample among the fewest tokens whose probability reaches this; 0 is 1, which is all.
     */
    pub top_p: f32,
    /**
     * Leave out tokens less likely than this part of the likeliest one.
     */
    pub min_p: f32,
    /**
     * Divide the logits of tokens already seen by this; 0 is 1, which changes nothing.
     */
    pub repetition_penalty: f32,
    /**
     * Sample among so many of the likeliest tokens; 0 is all.
     */
    pub top_k: usize,
    /**
     * Names the random sequence: the same seed gives the same text.
     */
    pub seed: u64,
    /**
     * Texts that end the answer and are not part of it, each ending in NUL.
     */
    pub stop: *const *const c_char,
    /**
     * How many there are.
     */
    pub stop_count: usize,
    /**
     * Not 0 goes on past the model's end-of-text tokens.
     */
    pub ignore_eos: c_int,
}

impl samp_options {
    /// # Safety
    ///
    /// Its texts end in NUL.
    pub(crate) unsafe fn session_options(&self) -> Result<SessionOptions, Failure> {
        // SAFETY: that is what this function asks for.
        let device = unsafe { optional_text("options.device", self.device) }?;
        // SAFETY: as above.
        let digest = unsafe { optional_text("options.digest", self.digest) }?;
        let device = device.map(str::parse).transpose();
        Ok(SessionOptions {
            device: device.map_err(|error| Failure::argument(format!("`options.device`: {error}")))?,
            threads: (self.threads > 0).then_some(self.threads),
            digest: digest.map(str::to_owned),
            engine: EngineOptions {
                kv_tokens: (self.kv_tokens > 0).then_some(self.kv_tokens),
                ..EngineOptions::default()
            },
        })
    }
}

impl samp_sampling {
    pub(crate) fn sampling(&self) -> Sampling {
        let or_one = |value: f32| if value == 0.0 { 1.0 } else { value };
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: or_one(self.top_p),
            min_p: self.min_p,
            repetition_penalty: or_one(self.repetition_penalty),
            seed: self.seed,
            ..Sampling::default()
        }
    }

    pub(crate) fn max_tokens(&self) -> usize {
        if self.max_tokens == 0 { DEFAULT_MAX_TOKENS } else { self.max_tokens }
    }

    /// # Safety
    ///
    /// There are so many stop texts as it says, and each ends in NUL.
    pub(crate) unsafe fn stop_texts(&self) -> Result<Vec<String>, Failure> {
        // SAFETY: that is what this function asks for.
        let texts = unsafe { elements("sampling.stop", self.stop, self.stop_count) }?;
        // SAFETY: as above.
        texts.iter().map(|&stop| Ok(unsafe { text("sampling.stop", stop) }?.to_owned())).collect()
    }
}
