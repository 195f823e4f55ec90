//! What the pages share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::http::HeaderMap;

use super::{body::BodyLimits, keys::ApiKeys, routes::Routes};
use crate::{
    front::Frontend,
    observe::{Observed, Traffic},
    verify::Verifier,
};

/// What the pages share.
pub struct App {
    /// Prepares requests.
    pub front: Frontend,
    /// Take them.
    pub routes: Routes,
    /// Counts them.
    pub observed: Arc<Observed>,
    /// Computes answers again.
    pub verifier: Arc<Verifier>,
    /// Counts tokens by the kind of their request.
    pub traffic: Arc<Traffic>,
    /// Opens to clients.
    pub keys: ApiKeys,
    /// What is read of a request.
    pub body: BodyLimits,
    /// When the server started, in seconds since 1970.
    pub started: u64,
    draining: AtomicBool,
    random: RandomState,
    counter: AtomicU64,
}

impl App {
    /// A server that answers.
    pub fn new(
        front: Frontend,
        routes: Routes,
        (observed, verifier, traffic): (Arc<Observed>, Arc<Verifier>, Arc<Traffic>),
        keys: ApiKeys,
        body: BodyLimits,
    ) -> App {
        App {
            front,
            routes,
            observed,
            verifier,
            traffic,
            keys,
            body,
            started: crate::clock::now(),
            draining: AtomicBool::new(false),
            random: RandomState::new(),
            counter: AtomicU64::new(0),
        }
    }

    /// Takes no more requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether no more requests are taken.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether requests may be sent here: none while it ends, nor once the plan has computed wrongly, unless a baseline answers
    /// in its place.
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && (!self.verifier.has_failed() || self.routes.has_baseline())
    }

    /// A number that nobody guesses and that does not come again soon.
    pub fn random(&self) -> u64 {
        self.random.hash_one(self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// A number from 0 to 1 that nobody guesses.
    pub fn chance(&self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// What a request is called: as the client says, where it is a plain word, or a new name.
    pub fn request_id(&self, headers: &HeaderMap) -> String {
        let said = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let plain = |name: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
        };
        said.filter(plain)
            .map_or_else(|| format!("{:016x}{:016x}", self.random(), self.random()), str::to_owned)
    }
}
