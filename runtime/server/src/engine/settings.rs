//! What the thread is told, and how it works.

use std::sync::Arc;

use samp_runtime::Engine;

use super::job::Job;
use crate::{judge::Judge, schedule::Limits, verify::AnsweredQueue};

/// What the thread is told.
pub(super) enum Command {
    /// Jobs that begin together, the first of which leads the others.
    Begin(Vec<Job>),
    /// Something to be done between two steps.
    Inspect(Box<dyn FnOnce(&mut Engine) + Send>),
    /// Nothing more comes.
    Stop,
}

/// How the thread works.
#[derive(Clone)]
pub struct EngineSettings {
    /// Which of the server's engines it is, in metrics.
    pub index: usize,
    /// How large steps may be.
    pub limits: Limits,
    /// Whether prompts that begin alike are computed once.
    pub prefix_caching: bool,
    /// Who scores answers, if anyone does.
    pub judge: Option<Arc<Judge>>,
    /// Who computes answers again, if anyone does.
    pub verify: Option<Arc<AnsweredQueue>>,
}
