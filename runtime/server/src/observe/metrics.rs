//! What the engine's work is counted by: vLLM's names, so that its dashboards and routers work, and samp's own.

use std::{collections::BTreeMap, time::Duration};

use samp_runtime::{Finish, KvUsage};

use super::timing::Timing;
use super::{
    exposition::Exposition,
    histogram::{Histogram, SECONDS, TOKENS},
};

/// How busy the engine is.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Sequences that wait.
    pub waiting: usize,
    /// Sequences in the engine.
    pub running: usize,
    /// Preemptions so far.
    pub preemptions: u64,
    /// How full the cache is.
    pub kv: KvUsage,
}

/// Counts of sequences, tokens and steps.
pub(super) struct Metrics {
    /// Of each engine.
    pub loads: BTreeMap<usize, Load>,
    prefix_queries: u64,
    prefix_hits: u64,
    prompt_tokens: u64,
    generation_tokens: u64,
    finished: BTreeMap<&'static str, u64>,
    iteration_tokens: Histogram,
    step_seconds: BTreeMap<&'static str, Histogram>,
    pub inter_token: Histogram,
    to_first_token: Histogram,
    per_output_token: Histogram,
    to_last_token: Histogram,
    queued: Histogram,
    prefill: Histogram,
    decode: Histogram,
    prompt_lengths: Histogram,
    generation_lengths: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let seconds = || Histogram::new(SECONDS);
        let tokens = || Histogram::new(TOKENS);
        Metrics {
            loads: BTreeMap::new(),
            prefix_queries: 0,
            prefix_hits: 0,
            prompt_tokens: 0,
            generation_tokens: 0,
            finished: ["stop", "length", "abort"].map(|reason| (reason, 0)).into(),
            iteration_tokens: tokens(),
            step_seconds: ["decode", "prefill", "mixed"].map(|kind| (kind, seconds())).into(),
            inter_token: seconds(),
            to_first_token: seconds(),
            per_output_token: seconds(),
            to_last_token: seconds(),
            queued: seconds(),
            prefill: seconds(),
            decode: seconds(),
            prompt_lengths: tokens(),
            generation_lengths: tokens(),
        }
    }
}

impl Metrics {
    pub fn step(&mut self, took: Duration, tokens: usize, decodes: usize) {
        let kind = match decodes {
            0 => "prefill",
            _ if decodes == tokens => "decode",
            _ => "mixed",
        };
        self.iteration_tokens.observe(tokens as f64);
        if let Some(seconds) = self.step_seconds.get_mut(kind) {
            seconds.observe(took.as_secs_f64());
        }
    }

    pub fn admitted(&mut self, prompt: usize, cached: usize) {
        self.prefix_queries += prompt as u64;
        self.prefix_hits += cached as u64;
    }

    pub fn finished(&mut self, finish: Option<Finish>, prompt: usize, tokens: usize, timing: &Timing) {
        let reason = match finish {
            Some(Finish::Stop) => "stop",
            Some(Finish::Length | Finish::ContextFull) => "length",
            Some(Finish::Cancelled) | None => "abort",
        };
        *self.finished.entry(reason).or_default() += 1;
        if timing.admitted.is_some() {
            self.prompt_tokens += prompt as u64;
        }
        self.generation_tokens += tokens as u64;
        if finish.is_none() {
            return;
        }
        self.prompt_lengths.observe(prompt as f64);
        self.generation_lengths.observe(tokens as f64);
        let (queued, first, last) = (timing.queued(), timing.to_first_token(), timing.to_last_token());
        let seconds = |histogram: &mut Histogram, time: Option<Duration>| {
            time.into_iter().for_each(|time| histogram.observe(time.as_secs_f64()));
        };
        seconds(&mut self.queued, queued);
        seconds(&mut self.to_first_token, first);
        seconds(&mut self.to_last_token, last);
        if let (Some(queued), Some(first), Some(last)) = (queued, first, last) {
            self.prefill.observe((first - queued).as_secs_f64());
            self.decode.observe((last - first).as_secs_f64());
            if tokens > 1 {
                self.per_output_token.observe((last - first).as_secs_f64() / (tokens - 1) as f64);
            }
        }
    }

    pub fn write(&self, to: &mut Exposition) {
        let load = self.load();
        write_load(&load, to);
        let counters = [
            (
                "vllm:prefix_cache_queries_total",
                "Prompt tokens that were looked for in the cache.",
                self.prefix_queries,
            ),
            ("vllm:prefix_cache_hits_total", "Prompt tokens that were found in the cache.", self.prefix_hits),
            (
                "vllm:num_preemptions_total",
                "Sequences whose pages were given up for others.",
                load.preemptions,
            ),
            ("vllm:prompt_tokens_total", "Tokens of prompts whose sequences have ended.", self.prompt_tokens),
            (
                "vllm:generation_tokens_total",
                "Tokens generated for sequences that have ended.",
                self.generation_tokens,
            ),
        ];
        for (name, help, value) in counters {
            to.counter(name, help, &[], value);
        }
        for (reason, count) in &self.finished {
            let labels = [("finished_reason", (*reason).to_owned())];
            to.counter("vllm:request_success_total", "Sequences that have ended, by why.", &labels, count);
        }
        let histograms = [
            ("vllm:iteration_tokens_total", "Tokens of a step.", &self.iteration_tokens),
            ("vllm:time_to_first_token_seconds", "From arrival to the first token.", &self.to_first_token),
            ("vllm:inter_token_latency_seconds", "Between two tokens of a sequence.", &self.inter_token),
            (
                "vllm:request_time_per_output_token_seconds",
                "Of a sequence, on average over the tokens after its first.",
                &self.per_output_token,
            ),
            ("vllm:e2e_request_latency_seconds", "From arrival to the last token.", &self.to_last_token),
            ("vllm:request_queue_time_seconds", "From arrival to admission.", &self.queued),
            ("vllm:request_prefill_time_seconds", "From admission to the first token.", &self.prefill),
            ("vllm:request_decode_time_seconds", "From the first token to the last.", &self.decode),
            ("vllm:request_prompt_tokens", "Tokens of a prompt.", &self.prompt_lengths),
            ("vllm:request_generation_tokens", "Tokens generated for a sequence.", &self.generation_lengths),
        ];
        for (name, help, histogram) in histograms {
            to.histogram(name, help, &[], histogram);
        }
        for (kind, histogram) in &self.step_seconds {
            let labels = [("kind", (*kind).to_owned())];
            to.histogram(
                "samp_step_seconds",
                "Of the engine's steps, by what they compute.",
                &labels,
                histogram,
            );
        }
    }

    /// Of all engines together.
    fn load(&self) -> Load {
        let kv = KvUsage { used_pages: 0, cached_pages: 0, total_pages: 0, page_tokens: 0 };
        let mut sum = Load { waiting: 0, running: 0, preemptions: 0, kv };
        for load in self.loads.values() {
            sum.waiting += load.waiting;
            sum.running += load.running;
            sum.preemptions += load.preemptions;
            sum.kv.used_pages += load.kv.used_pages;
            sum.kv.cached_pages += load.kv.cached_pages;
            sum.kv.total_pages += load.kv.total_pages;
            sum.kv.page_tokens = load.kv.page_tokens;
        }
        sum
    }
}

fn write_load(load: &Load, to: &mut Exposition) {
    let Load { waiting, running, kv, .. } = *load;
    let used = kv.used_pages as f64 / kv.total_pages.max(1) as f64;
    to.gauge("vllm:num_requests_running", "Sequences in the engine.", &[], running);
    to.gauge("vllm:num_requests_waiting", "Sequences that wait for the engine.", &[], waiting);
    to.gauge(
        "vllm:kv_cache_usage_perc",
        "Part of the cache's pages that sequences hold; 1 is full.",
        &[],
        used,
    );
    let labels = [("block_size", kv.page_tokens.to_string()), ("num_gpu_blocks", kv.total_pages.to_string())];
    to.gauge("vllm:cache_config_info", "Positions of a page, and pages in all.", &labels, 1);
    to.gauge(
        "samp_kv_cached_pages",
        "Pages of no sequence that a sequence with the same beginning would find.",
        &[],
        kv.cached_pages,
    );
}
