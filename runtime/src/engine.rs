//! The engine: sequences with cached positions, and steps over ragged batches of them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use samp_abi::plan::Limits;
use samp_kernels::{
    attention::SequenceSlice,
    sample::{SampleRequest, SampledToken},
};

mod outputs;
mod shared;

pub use self::{
    outputs::{Output, OutputRequest},
    shared::CachedPrefix,
};
use crate::{
    batch::{BatchLayout, Chunk, Logits, Outputs},
    device::{Batch, Device, DeviceError, DeviceKind, Observer},
    error::EngineError,
    kv::{KvUsage, PagePool},
    plan::OpenPlan,
    prefix_index::PageChain,
    progress::{Progress, Silent},
    sequence_id::SequenceId,
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

struct Sequence {
    len: usize,
    pages: Vec<u32>,
    /// What its full pages are found by, if they are to be.
    chain: Option<PageChain>,
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

    /// The plan that it executes.
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
        self.begin(Sequence { len: 0, pages: vec![], chain: None })
    }

    fn begin(&mut self, mut sequence: Sequence) -> Result<SequenceId, EngineError> {
        let limit = self.limits().max_sequences;
        if self.sequences.len() as u64 >= limit {
            self.pages.shrink(&mut sequence.pages, 0);
            return Err(EngineError::TooManySequences { limit });
        }
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.sequences.insert(id, sequence);
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

    /// Forgets all but the first `len` positions of a sequence. A page that other sequences hold too is not cut.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<(), EngineError> {
        let sequence = self.sequences.get_mut(&id).ok_or(EngineError::UnknownSequence { id })?;
        if len > sequence.len {
            return Err(EngineError::Truncate { id, len: sequence.len, asked: len });
        }
        let page_tokens = self.pages.page_tokens();
        let cut = (len < sequence.len && !len.is_multiple_of(page_tokens))
            .then(|| sequence.pages[len / page_tokens]);
        if cut.is_some_and(|page| !self.pages.make_private(page)) {
            return Err(EngineError::SharedPage { id, asked: len, page_tokens });
        }
        sequence.len = len;
        self.pages.shrink(&mut sequence.pages, len);
        if let Some(chain) = &mut sequence.chain {
            chain.truncate(len);
        }
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

    /// [`Engine::step`] that samples a token at each output, chunk after chunk, in place of giving logits; `None` where the
    /// logits allow none.
    pub fn step_and_sample(
        &mut self,
        batch: &[Chunk<'_>],
        requests: &[SampleRequest],
    ) -> Result<Vec<Option<SampledToken>>, EngineError> {
        let layout = self.layout(batch)?;
        let outputs = layout.output_rows.len();
        if outputs != requests.len() {
            return Err(EngineError::SampleRequests { requests: requests.len(), outputs });
        }
        let mut sampled = vec![None; requests.len()];
        self.execute(&layout, |device, batch| device.step_and_sample(batch, requests, &mut sampled))?;
        Ok(sampled)
    }

    /// Appends any number of tokens to a sequence, a prompt as well as a single token, in as few steps as the plan's limits
    /// allow.
    pub fn append_tokens(
        &mut self,
        id: SequenceId,
        tokens: &[u32],
        outputs: Outputs<'_>,
    ) -> Result<Logits, EngineError> {
        self.append_logits(Chunk { sequence: id, tokens, outputs }, None)
    }

    /// [`Engine::append_tokens`] with an observer of the activations.
    pub fn append_observed(
        &mut self,
        chunk: Chunk<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Logits, EngineError> {
        self.append_logits(chunk, Some(observer))
    }

    fn append_logits(
        &mut self,
        chunk: Chunk<'_>,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<Logits, EngineError> {
        let Chunk { sequence, tokens, outputs } = chunk;
        let rows = outputs.rows(tokens.len())?;
        let steps = self.append(&chunk, |engine, range| {
            let [from, to] = [range.start, range.end].map(|bound| rows.partition_point(|&row| row < bound));
            let within: Vec<usize> = rows[from..to].iter().map(|row| row - range.start).collect();
            let chunk = Chunk { sequence, tokens: &tokens[range], outputs: Outputs::At(&within) };
            match &mut observer {
                Some(observer) => engine.logits(&[chunk], Some(&mut **observer)),
                None => engine.logits(&[chunk], None),
            }
        })?;
        Ok(Logits::joined(self.vocab(), steps))
    }

    /// [`Engine::append_tokens`] that samples the token after the last.
    pub fn append_and_sample(
        &mut self,
        id: SequenceId,
        tokens: &[u32],
        request: SampleRequest,
    ) -> Result<Option<SampledToken>, EngineError> {
        let chunk = Chunk { sequence: id, tokens, outputs: Outputs::Last };
        let mut sampled = self.append(&chunk, |engine, range| {
            let last = range.end == tokens.len();
            let (outputs, requests): (_, &[_]) =
                if last { (Outputs::Last, &[request]) } else { (Outputs::None, &[]) };
            engine.step_and_sample(&[Chunk { sequence: id, tokens: &tokens[range], outputs }], requests)
        })?;
        Ok(sampled.pop().and_then(|mut last| last.pop()).flatten())
    }

    /// Appends a chunk of any length: has `step` run each range of its tokens that one step takes. The chunk is checked before
    /// any of it is appended; where a step fails, what those before it appended is taken back.
    fn append<T>(
        &mut self,
        chunk: &Chunk<'_>,
        mut step: impl FnMut(&mut Engine, Range<usize>) -> Result<T, EngineError>,
    ) -> Result<Vec<T>, EngineError> {
        let (id, count) = (chunk.sequence, chunk.tokens.len());
        self.check_chunk(chunk)?;
        self.pages.reserve(self.pages_missing(id, count))?;
        let (before, max) = (self.len(id)?, self.limits().max_tokens as usize);
        let ranges = (0..count).step_by(max).map(|first| first..count.min(first + max));
        let appended = ranges.map(|range| step(self, range)).collect();
        if let Err(error) = appended {
            self.truncate(id, before)?;
            return Err(error);
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
        let layout = self.layout(batch)?;
        let mut logits = Logits::zeroed(self.vocab(), layout.outputs.clone());
        self.execute(&layout, |device, batch| device.step(batch, &mut logits.data, observer))?;
        Ok(logits)
    }

    /// How a batch is laid out, if it can be executed.
    fn layout<'a>(&self, batch: &'a [Chunk<'a>]) -> Result<BatchLayout<'a>, EngineError> {
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
                sequence.publish(chunk.tokens, &mut self.pages);
            }
        }
        Ok(())
    }
}
