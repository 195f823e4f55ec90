//! A plan, or a checkpoint compiled on the fly, as a language model to evaluate.

use std::path::Path;

use anyhow::Context;
use samp_runtime::{
    AddSpecial, ChatError, ChatTemplate, Conversation, Engine, Logits, Outputs, SequenceId, Tokenizer,
    path_kind::{FolderKind, PathKind, Wanted},
};

use crate::device_args::DeviceArgs;
use samp_compiler::{
    compile, error_code,
    eval::{EvalError, LanguageModel},
    wrong_path::expect_path,
};

/// An opened plan with its tokenizer, run one sequence at a time.
pub struct PlanModel {
    engine: Engine,
    tokenizer: Option<Tokenizer>,
    /// One that cannot be used matters only to conversations.
    template: Result<Option<ChatTemplate>, ChatError>,
    sequence: SequenceId,
    /// What [`LanguageModel::logits`] last gave.
    logits: Option<Logits>,
    /// Keeps a plan that was compiled for this process alone alive.
    _temporary: Option<tempfile::TempDir>,
}

impl PlanModel {
    /// Opens a plan directory.
    pub fn open(dir: &Path, device: DeviceArgs) -> anyhow::Result<PlanModel> {
        let plan = samp_runtime::open(dir)?;
        let tokenizer =
            plan.file("tokenizer.json").is_some().then(|| Tokenizer::from_plan(&plan)).transpose()?;
        let template = ChatTemplate::from_plan(&plan);
        let kv_tokens = plan.manifest().limits.max_context;
        let mut engine = device.load(plan, kv_tokens)?;
        let sequence = engine.create()?;
        Ok(PlanModel { engine, tokenizer, template, sequence, logits: None, _temporary: None })
    }

    /// Opens a plan, or compiles a checkpoint without quantization into a temporary one for contexts of up to
    /// `max_context` positions.
    pub fn open_plan_or_checkpoint(
        path: &Path,
        device: DeviceArgs,
        max_context: u64,
    ) -> anyhow::Result<PlanModel> {
        let found = expect_path(path, Wanted::PlanOrCheckpoint, error_code::WRONG_PATH)?;
        if !matches!(found, PathKind::Folder(FolderKind::Checkpoint)) {
            return PlanModel::open(path, device);
        }
        let temporary =
            tempfile::tempdir().context("cannot make a temporary directory for the baseline's plan")?;
        let plan = temporary.path().join("baseline");
        compile::compile_unquantized(path, &plan, max_context)?;
        let mut model = PlanModel::open(&plan, device)?;
        model._temporary = Some(temporary);
        Ok(model)
    }
}

impl LanguageModel for PlanModel {
    fn vocab_size(&self) -> usize {
        self.engine.plan().manifest().model.vocab_size as usize
    }

    fn max_context(&self) -> usize {
        self.engine.limits().max_context as usize
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, EvalError> {
        let tokenizer = self.tokenizer.as_ref().ok_or(EvalError::NoTokenizer)?;
        Ok(tokenizer.encode(text, AddSpecial::Yes)?)
    }

    fn conversation(&self, conversation: &Conversation) -> Result<Vec<u32>, EvalError> {
        let tokenizer = self.tokenizer.as_ref().ok_or(EvalError::NoTokenizer)?;
        let template = self.template.as_ref().map_err(|unusable| EvalError::Chat(unusable.clone()))?;
        Ok(template.as_ref().ok_or(EvalError::NoChatTemplate)?.record_tokens(tokenizer, conversation)?)
    }

    fn logits(&mut self, tokens: &[u32]) -> Result<&[f32], EvalError> {
        // The last ones make room first.
        self.logits = None;
        self.engine.truncate(self.sequence, 0)?;
        let logits = self.engine.append_tokens(self.sequence, tokens, Outputs::All)?;
        Ok(self.logits.insert(logits).as_slice())
    }
}
