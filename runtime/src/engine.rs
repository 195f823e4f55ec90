//! The engine: sequences with cached positions, and steps over ragged batches of them.

use std::{collections::BTreeMap, sync::Arc};

use samp_abi::plan::{Golden, Limits};
use samp_kernels::{
    attention::SequenceSlice,
    sample::{SampleRequest, SampledToken},
};

use crate::{
    batch::{BatchLayout, Chunk, Logits, Outputs, SequenceId},
    device::{Batch, Device, DeviceError, DeviceKind, Observer},
    golden::{self, GoldenError},
    kv::{KvUsage, OutOfPages, PagePool},
    plan::OpenPlan,
    progress::{Progress, Silent},
};

/// What the caller of an engine chooses.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Positions that the KV cache holds over all sequences, rounded up to pages; if not given, all that the plan's limits
    /// allow, or on a GPU as many of them as fit. The host's memory is taken only as positions are filled.
    pub kv_tokens: Option<u64>,
    /// Part of a GPU's memory that may be used in all, by this plan and by others.
    pub gpu_memory_utilization: f64,
    /// Whether to run the plan's golden probe before anything else.
    pub self_test: bool,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions { kv_tokens: None, gpu_memory_utilization: 0.9, self_test: true }
    }
}

/// Why the engine refused. It is then as it was before the call.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum EngineError {
    #[error("the step has {found} tokens; the plan takes at most {limit}: split the batch")]
    TooManyTokens { found: usize, limit: u64 },
    #[error("{limit} sequences are alive, as many as the plan takes: release one first")]
    TooManySequences { limit: u64 },
    #[error("{id} would have {needed} positions; the plan takes at most {limit}: shorten it")]
    ContextExceeded { id: SequenceId, needed: usize, limit: u64 },
    #[error("{id} does not exist; it was released or belongs to another engine")]
    UnknownSequence { id: SequenceId },
    #[error("{id} stands twice in one step; give it one chunk")]
    RepeatedSequence { id: SequenceId },
    #[error("{id} has a chunk without tokens; leave it out")]
    EmptyChunk { id: SequenceId },
    #[error("token id {token} is not below the vocabulary size {vocab}; use the plan's own tokenizer")]
    UnknownToken { token: u32, vocab: u64 },
    #[error("output rows must ascend and be below the chunk's {tokens} tokens")]
    OutputRows { tokens: usize },
    #[error("{picks} tokens are to be chosen at {outputs} outputs; give one pick for each")]
    Picks { picks: usize, outputs: usize },
    #[error("{id} has {len} positions and cannot be cut to {asked}")]
    Truncate { id: SequenceId, len: usize, asked: usize },
    #[error(transparent)]
    OutOfPages(#[from] OutOfPages),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

struct Sequence {
    len: usize,
    pages: Vec<u32>,
}

/// Pages for as many sequences as the plan takes, each as long as it takes them.
fn full_pages(plan: &OpenPlan) -> u64 {
    let (limits, page_tokens) = (plan.manifest().limits, plan.manifest().kv.page_tokens);
    limits.max_context.div_ceil(page_tokens) * limits.max_sequences
}

/// Pages are counted in 32 bits; no memory has more.
fn count(pages: u64) -> u32 {
    u32::try_from(pages).unwrap_or(u32::MAX)
}

/// Executes one plan for many sequences.
pub struct Engine {
    plan: Arc<OpenPlan>,
    device: Box<dyn Device>,
    pages: PagePool,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
}

impl Engine {
    /// Loads `plan` on a device; runs its golden probe unless the options say otherwise.
    pub fn new(
        plan: Arc<OpenPlan>,
        device: DeviceKind,
        options: EngineOptions,
    ) -> Result<Engine, EngineError> {
        Engine::load(plan, device, options, &Silent)
    }

    /// [`Engine::new`], with someone who hears of the weights that a GPU takes.
    pub fn load(
        plan: Arc<OpenPlan>,
        device: DeviceKind,
        options: EngineOptions,
        progress: &dyn Progress,
    ) -> Result<Engine, EngineError> {
        let page_tokens = plan.manifest().kv.page_tokens;
        let wanted = match options.kv_tokens.map(|tokens| count(tokens.div_ceil(page_tokens))) {
            Some(pages) => pages..=pages,
            None => 1..=count(full_pages(&plan)),
        };
        let device = device.open(&plan)?;
        let pages = device.kv_pages(&plan, wanted, options.gpu_memory_utilization)?;
        let options = EngineOptions { kv_tokens: Some(u64::from(pages) * page_tokens), ..options };
        Engine::over(plan, |plan, pages| device.load(plan, pages, progress), options)
    }

    /// Loads `plan` on the device that `load` makes for it and a cache of so many pages.
    pub fn over(
        plan: Arc<OpenPlan>,
        load: impl FnOnce(Arc<OpenPlan>, u32) -> Result<Box<dyn Device>, DeviceError>,
        options: EngineOptions,
    ) -> Result<Engine, EngineError> {
        let page_tokens = plan.manifest().kv.page_tokens;
        let pages = options.kv_tokens.map_or(full_pages(&plan), |tokens| tokens.div_ceil(page_tokens));
        let pages = count(pages);
        let device = load(plan.clone(), pages)?;
        let pages = PagePool::new(pages, page_tokens as usize);
        let mut engine = Engine { plan, device, pages, sequences: BTreeMap::new(), next_id: 0 };
        let plan = engine.plan.clone();
        if let (true, Some(golden)) = (options.self_test, plan.golden()) {
            engine.self_test(golden)?;
        }
        Ok(engine)
    }

    /// Runs a golden probe of this plan, as [`crate::open`] has checked it, in a sequence of its own.
    pub fn self_test(&mut self, golden: &Golden) -> Result<(), EngineError> {
        golden::check(self, golden)
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<OpenPlan> {
        &self.plan
    }

    /// The largest batch that the plan takes.
    pub fn limits(&self) -> Limits {
        self.plan.manifest().limits
    }

    /// How full the KV cache is.
    pub fn kv_usage(&self) -> KvUsage {
        self.pages.usage()
    }

    /// Begins an empty sequence.
    pub fn create(&mut self) -> Result<SequenceId, EngineError> {
        let limit = self.limits().max_sequences;
        if self.sequences.len() as u64 >= limit {
            return Err(EngineError::TooManySequences { limit });
        }
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.sequences.insert(id, Sequence { len: 0, pages: vec![] });
        Ok(id)
    }

    /// Ends a sequence and takes its pages back; does nothing if it has ended already.
    pub fn release(&mut self, id: SequenceId) {
        if let Some(mut sequence) = self.sequences.remove(&id) {
            self.pages.shrink(&mut sequence.pages, 0);
        }
    }

    /// Cached positions of a sequence.
    pub fn len(&self, id: SequenceId) -> Result<usize, EngineError> {
        self.sequences.get(&id).map(|s| s.len).ok_or(EngineError::UnknownSequence { id })
    }

    /// Whether no sequence is alive.
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Forgets all but the first `len` positions of a sequence.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<(), EngineError> {
        let sequence = self.sequences.get_mut(&id).ok_or(EngineError::UnknownSequence { id })?;
        if len > sequence.len {
            return Err(EngineError::Truncate { id, len: sequence.len, asked: len });
        }
        sequence.len = len;
        self.pages.shrink(&mut sequence.pages, len);
        Ok(())
    }

    /// Runs the program once over the chunks, which may mix prompts and single tokens of several sequences.
    pub fn step(&mut self, batch: &[Chunk<'_>]) -> Result<Logits, EngineError> {
        self.logits(batch, None)
    }

    /// [`Engine::step`] with an observer of the activations, which sees the rows of chunks of one token before all others.
    pub fn step_observed(
        &mut self,
        batch: &[Chunk<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Logits, EngineError> {
        self.logits(batch, Some(observer))
    }

    /// [`Engine::step`] that chooses a token at each output, chunk after chunk, in place of giving logits; `None` where the
    /// logits allow none.
    pub fn step_and_sample(
        &mut self,
        batch: &[Chunk<'_>],
        picks: &[SampleRequest],
    ) -> Result<Vec<Option<SampledToken>>, EngineError> {
        let arranged = self.arranged(batch)?;
        let outputs = arranged.output_rows.len();
        if outputs != picks.len() {
            return Err(EngineError::Picks { picks: picks.len(), outputs });
        }
        let mut picked = vec![None; picks.len()];
        self.execute(&arranged, |device, batch| device.step_and_sample(batch, picks, &mut picked))?;
        Ok(picked)
    }

    /// Appends any number of tokens to a sequence, in as few steps as the plan's limits allow.
    pub fn prefill(
        &mut self,
        id: SequenceId,
        tokens: &[u32],
        outputs: Outputs<'_>,
    ) -> Result<Logits, EngineError> {
        let rows = outputs.rows(tokens.len())?;
        let max = self.limits().max_tokens as usize;
        let step = |engine: &mut Engine, (index, tokens): (usize, &[u32])| {
            let first = index * max;
            let (from, to) =
                (rows.partition_point(|&r| r < first), rows.partition_point(|&r| r < first + tokens.len()));
            let within: Vec<usize> = rows[from..to].iter().map(|row| row - first).collect();
            engine.step(&[Chunk { sequence: id, tokens, outputs: Outputs::At(&within) }])
        };
        let steps = self.all_or_nothing(&Chunk { sequence: id, tokens, outputs }, |engine| {
            tokens.chunks(max).enumerate().map(|chunk| step(engine, chunk)).collect::<Result<_, _>>()
        })?;
        Ok(Logits::joined(self.vocab(), steps))
    }

    /// [`Engine::prefill`] that chooses the token after the last.
    pub fn append_and_sample(
        &mut self,
        id: SequenceId,
        tokens: &[u32],
        pick: SampleRequest,
    ) -> Result<Option<SampledToken>, EngineError> {
        let max = self.limits().max_tokens as usize;
        let (first, last) = tokens.split_at(tokens.len().saturating_sub(1) / max * max);
        let chunk = |tokens| Chunk { sequence: id, tokens, outputs: Outputs::Last };
        self.all_or_nothing(&chunk(tokens), |engine| {
            if !first.is_empty() {
                engine.prefill(id, first, Outputs::None)?;
            }
            Ok(engine.step_and_sample(&[chunk(last)], &[pick])?[0])
        })
    }

    /// Checks a chunk that may take several steps before any of it is appended; where a step of `append` fails, takes back
    /// what those before it appended.
    fn all_or_nothing<T>(
        &mut self,
        chunk: &Chunk<'_>,
        append: impl FnOnce(&mut Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let id = chunk.sequence;
        self.check_chunk(chunk)?;
        self.pages.reserve(self.pages_missing(id, chunk.tokens.len()))?;
        let before = self.len(id)?;
        let appended = append(self);
        if appended.is_err() {
            self.truncate(id, before)?;
        }
        appended
    }

    fn vocab(&self) -> usize {
        self.plan.manifest().model.vocab_size as usize
    }

    /// Pages that `id` lacks for `tokens` more positions.
    fn pages_missing(&self, id: SequenceId, tokens: usize) -> usize {
        let sequence = &self.sequences[&id];
        self.pages.pages_for(sequence.len + tokens).saturating_sub(sequence.pages.len())
    }

    fn check_chunk(&self, chunk: &Chunk<'_>) -> Result<(), EngineError> {
        let id = chunk.sequence;
        let needed = self.len(id)? + chunk.tokens.len();
        let (limit, vocab) = (self.limits().max_context, self.vocab() as u64);
        if chunk.tokens.is_empty() {
            return Err(EngineError::EmptyChunk { id });
        }
        if needed as u64 > limit {
            return Err(EngineError::ContextExceeded { id, needed, limit });
        }
        match chunk.tokens.iter().find(|&&token| u64::from(token) >= vocab) {
            Some(&token) => Err(EngineError::UnknownToken { token, vocab }),
            None => Ok(()),
        }
    }

    fn check_batch(&self, batch: &[Chunk<'_>]) -> Result<(), EngineError> {
        let (found, limit) = (batch.iter().map(|c| c.tokens.len()).sum(), self.limits().max_tokens);
        if found as u64 > limit {
            return Err(EngineError::TooManyTokens { found, limit });
        }
        let mut seen = std::collections::BTreeSet::new();
        for chunk in batch {
            self.check_chunk(chunk)?;
            if !seen.insert(chunk.sequence) {
                return Err(EngineError::RepeatedSequence { id: chunk.sequence });
            }
        }
        let missing = batch.iter().map(|c| self.pages_missing(c.sequence, c.tokens.len())).sum();
        Ok(self.pages.reserve(missing)?)
    }

    /// Takes back pages that a failed step grew.
    fn release_pages(&mut self, batch: &[&Chunk<'_>]) {
        for chunk in batch {
            if let Some(sequence) = self.sequences.get_mut(&chunk.sequence) {
                self.pages.shrink(&mut sequence.pages, sequence.len);
            }
        }
    }

    fn logits(
        &mut self,
        batch: &[Chunk<'_>],
        observer: Option<&mut dyn Observer>,
    ) -> Result<Logits, EngineError> {
        let arranged = self.arranged(batch)?;
        let mut logits = Logits::zeroed(self.vocab(), arranged.outputs.clone());
        self.execute(&arranged, |device, batch| device.step(batch, &mut logits.data, observer))?;
        Ok(logits)
    }

    /// A batch that can be executed.
    fn arranged<'a>(&self, batch: &'a [Chunk<'a>]) -> Result<BatchLayout<'a>, EngineError> {
        self.check_batch(batch)?;
        BatchLayout::new(batch)
    }

    /// Gives the sequences pages, has the device run the batch, and counts its positions as cached.
    fn execute(
        &mut self,
        batch: &BatchLayout<'_>,
        run: impl FnOnce(&mut dyn Device, &Batch<'_>) -> Result<(), DeviceError>,
    ) -> Result<(), EngineError> {
        let BatchLayout { chunks, output_rows, .. } = batch;
        if chunks.is_empty() {
            return Ok(());
        }
        for chunk in chunks {
            if let Some(sequence) = self.sequences.get_mut(&chunk.sequence) {
                self.pages.grow(&mut sequence.pages, sequence.len + chunk.tokens.len())?;
            }
        }
        let slice = |chunk: &&Chunk<'_>| {
            let sequence = &self.sequences[&chunk.sequence];
            SequenceSlice { start: sequence.len, tokens: chunk.tokens.len(), pages: &sequence.pages }
        };
        let slices: Vec<SequenceSlice<'_>> = chunks.iter().map(slice).collect();
        let token_ids: Vec<u32> = chunks.iter().flat_map(|c| c.tokens).copied().collect();
        let checked = Batch { token_ids: &token_ids, sequences: &slices, output_rows };
        if let Err(error) = run(&mut *self.device, &checked) {
            self.release_pages(chunks);
            return Err(error.into());
        }
        for chunk in chunks {
            if let Some(sequence) = self.sequences.get_mut(&chunk.sequence) {
                sequence.len += chunk.tokens.len();
            }
        }
        Ok(())
    }
}
