//! The engine's thread: it takes jobs, has the scheduler say what each step is, executes it, and tells each job's owner what
//! came of it.

mod cache;
mod job;
mod settings;
mod worker;

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use samp_runtime::Engine;

pub use self::{
    job::{Event, Job, JobFailure, JobOptions},
    settings::EngineSettings,
};
use self::{settings::Command, worker::Worker};
use crate::{error::ServeError, observe::Observed};

/// Hands jobs to the thread.
#[derive(Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
}

/// The thread is gone: the engine failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has failed; the server ends, to be started again")]
pub struct EngineGone;

impl EngineHandle {
    /// Queues jobs that share a prompt.
    pub fn begin(&self, jobs: Vec<Job>) -> Result<(), EngineGone> {
        self.commands.send(Command::Begin(jobs)).map_err(|_| EngineGone)
    }

    /// Has the thread do something with the engine between two steps, and waits for it; `None` if the thread is gone.
    pub fn between_steps<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Option<R> {
        let (tell, told) = mpsc::sync_channel(1);
        // Whoever waits here hears of it.
        let work = move |engine: &mut Engine| drop(tell.send(work(engine)));
        self.commands.send(Command::Inspect(Box::new(work))).ok()?;
        told.recv().ok()
    }

    /// Has the thread end once nothing is left to do.
    pub fn stop(&self) {
        // A thread that is gone has ended.
        let _ = self.commands.send(Command::Stop);
    }
}

/// Starts the thread, which ends after [`EngineHandle::stop`], or with the error that keeps the engine from going on.
pub fn start(
    engine: Engine,
    settings: EngineSettings,
    observed: Arc<Observed>,
) -> Result<(EngineHandle, JoinHandle<Result<(), ServeError>>), ServeError> {
    let (commands, receiver) = mpsc::channel();
    let worker = Worker::new(engine, settings, receiver, observed);
    let thread = std::thread::Builder::new().name("engine".into()).spawn(move || worker.run());
    Ok((EngineHandle { commands }, thread.map_err(ServeError::Thread)?))
}
