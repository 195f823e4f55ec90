//! A session: a plan with everything that makes text of it, for programs that embed samp and share it between threads.
//!
//! An [`Engine`] is one thread's; a [`Session`] is any number's. Each call, and each token of a [`Generation`], takes the
//! engine for itself and leaves it again, so that generations of several threads advance in turns, each in a sequence of
//! its own. Whoever wants many sequences in one step has an engine take them
//! ([`Engine::step`](crate::Engine::step)).

mod error;
mod generation;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use rayon::ThreadPool;

pub use error::SessionError;
pub use generation::Generation;

use crate::{
    batch::{Logits, Outputs},
    chat::{ChatTemplate, Conversation, Message},
    device::DeviceKind,
    engine::{Engine, EngineOptions},
    error::EngineError,
    plan::OpenPlan,
    threads::{outside_of_pools, thread_pool},
    tokenizer::{AddSpecial, Tokenizer, TokenizerError},
};

/// What the opener of a session chooses.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Where to execute; `None` is the device that the plan is for.
    pub device: Option<DeviceKind>,
    /// Threads of the session's own that compute, at most [`MAX_THREADS`](crate::MAX_THREADS); `None` is one for each core.
    pub threads: Option<usize>,
    /// The digest that the plan must have, 64 hex digits, with or without `blake3:` before them; `None` takes any.
    pub digest: Option<String>,
    /// How the engine is made.
    pub engine: EngineOptions,
}

/// What is to be continued.
#[derive(Clone, Copy, Debug)]
pub enum Prompt<'a> {
    /// A text, to which the tokens that begin texts are added.
    Text(&'a str),
    /// A conversation to answer, written by the model's chat template.
    Chat(&'a [Message]),
    /// A conversation to answer that has more than messages, such as tools.
    Conversation(&'a Conversation),
    /// Tokens as they are.
    Tokens(&'a [u32]),
}

/// A plan that is loaded on a device, with its tokenizer and its chat template. A clone is another handle to the same: the
/// plan is let go with the last handle and the last [`Generation`].
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    plan: Arc<OpenPlan>,
    engine: Mutex<Engine>,
    tokenizer: Result<Arc<Tokenizer>, TokenizerError>,
    chat: Option<ChatTemplate>,
    threads: ThreadPool,
    process: u32,
}

impl Session {
    /// Opens the plan in `dir`, checks every byte of it, loads it, and runs its golden probe.
    pub fn open(dir: impl AsRef<Path>, options: SessionOptions) -> Result<Session, SessionError> {
        // None is shared with the embedding program, or survives in a forked process without being there.
        let threads = thread_pool(options.threads)?;
        let dir = dir.as_ref();
        let (plan, engine) = outside_of_pools(|| threads.install(|| load(dir, &options)))??;
        let tokenizer = match Tokenizer::from_plan(&plan) {
            Ok(tokenizer) => Ok(Arc::new(tokenizer)),
            // Without one, tokens still go in and come out.
            Err(missing @ TokenizerError::Missing) => Err(missing),
            Err(error) => return Err(error.into()),
        };
        let chat = ChatTemplate::from_plan(&plan)?;
        let engine = Mutex::new(engine);
        let process = std::process::id();
        Ok(Session(Arc::new(Shared { plan, engine, tokenizer, chat, threads, process })))
    }

    /// The plan that it executes.
    pub fn plan(&self) -> &OpenPlan {
        &self.0.plan
    }

    /// The plan's tokenizer, if it carries one.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>, TokenizerError> {
        self.0.tokenizer.as_ref().map_err(Clone::clone)
    }

    /// The plan's chat template, if it carries one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.0.chat.as_ref()
    }

    /// The tokens of a prompt, which are the `prompt` of a [`Request`].
    pub fn encode(&self, prompt: Prompt<'_>) -> Result<Vec<u32>, SessionError> {
        match prompt {
            Prompt::Tokens(tokens) => Ok(tokens.to_vec()),
            Prompt::Text(text) => Ok(self.tokenizer()?.encode(text, AddSpecial::Yes)?),
            Prompt::Chat(messages) => self.encode(Prompt::Conversation(&messages.into())),
            Prompt::Conversation(conversation) => {
                let template = self.chat_template().ok_or(SessionError::NoChatTemplate)?;
                Ok(template.tokens(self.tokenizer()?, conversation, true)?)
            }
        }
    }

    /// The logits of the token after each of `tokens`, `[tokens, vocab]`, in a sequence of its own.
    pub fn logits(&self, tokens: &[u32]) -> Result<Logits, SessionError> {
        let logits = self.with_engine(|engine| {
            let sequence = engine.create()?;
            let logits = engine.append_tokens(sequence, tokens, Outputs::All);
            engine.release(sequence);
            logits
        })?;
        Ok(logits?)
    }

    /// Has the engine to itself for some work, which runs on the session's threads.
    pub fn with_engine<R: Send>(
        &self,
        work: impl FnOnce(&mut Engine) -> R + Send,
    ) -> Result<R, SessionError> {
        let shared = &*self.0;
        if std::process::id() != shared.process {
            return Err(SessionError::Forked);
        }
        outside_of_pools(|| {
            let mut engine: MutexGuard<'_, Engine> =
                shared.engine.lock().map_err(|_| SessionError::Failed)?;
            let engine = &mut *engine;
            Ok(shared.threads.install(|| work(engine)))
        })?
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Session").field("plan", &self.plan().dir()).finish_non_exhaustive()
    }
}

fn load(dir: &Path, options: &SessionOptions) -> Result<(Arc<OpenPlan>, Engine), SessionError> {
    let plan = Arc::new(crate::plan::open(dir)?);
    let found = &plan.manifest().digest;
    if let Some(expected) = options.digest.as_ref().filter(|expected| digits(expected) != *found) {
        return Err(SessionError::Digest { expected: expected.clone(), found: found.clone() });
    }
    let device = match options.device {
        Some(device) => device,
        None => DeviceKind::for_target(plan.manifest().target).map_err(EngineError::from)?,
    };
    let engine = Engine::new(plan.clone(), device, options.engine)?;
    Ok((plan, engine))
}

/// The digits of a digest, which may be written as `samp inspect` prints it.
fn digits(digest: &str) -> String {
    digest.strip_prefix("blake3:").unwrap_or(digest).to_lowercase()
}
