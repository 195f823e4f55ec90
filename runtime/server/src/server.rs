//! A server from its start to its end.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use samp_runtime::{Engine, OpenPlan};
use serde_json::json;
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::Instant,
};

use crate::{
    args::Options,
    engine::{EngineSettings, start},
    error::ServeError,
    front::Frontend,
    http::{ApiKeys, App, BodyLimits, Listener, Route, Routes},
    load::{Baseline, Loaded, judge, load, taught_judge},
    observe::{Observed, PlanLabels, QueueLimits, Traffic, log},
    schedule,
    verify::{Verifier, VerifierParts, VerifySettings},
};

/// How long connections have to send what is left when nothing runs any more.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often a server that ends looks whether requests are left.
const LOOK: Duration = Duration::from_millis(20);

/// A server that listens and has its plan loaded.
pub struct Server {
    app: Arc<App>,
    listener: Listener,
    admin: Option<Listener>,
    /// Told how each engine's thread ended.
    ended: UnboundedReceiver<Result<(), ServeError>>,
    shutdown_timeout: Duration,
}

impl Server {
    /// Opens the plan, loads it, runs its golden probe, and listens.
    pub async fn start(options: Options) -> Result<Server, ServeError> {
        let of_environment = std::env::var("SAMP_API_KEY").ok().filter(|key| !key.is_empty());
        let others: Vec<String> = options.api_key.iter().cloned().chain(of_environment).collect();
        let keys = ApiKeys::read(options.api_key_file.as_deref(), &others)?;
        let loading = options.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&loading)).await;
        let Loaded { plan, engine, baseline } = loaded.map_err(|_| ServeError::Broken)??;
        let Sizes { limits, max_model_len } = Sizes::new(&plan, &engine, &options)?;
        let names = names(&options);
        let labels = PlanLabels {
            model: names[0].clone(),
            digest: plan.digest().to_owned(),
            quantization_level: quantization_level(&plan),
        };
        let queue =
            QueueLimits { requests: options.max_num_queued_reqs, tokens: options.max_num_queued_tokens };
        let observed = Observed::new(labels, queue);
        let front = Frontend::new(plan.clone(), names, max_model_len, options.tool_call_parser)?;
        let listener = Listener::bind(&options.host, options.port, options.header_timeout).await?;
        let judge = match (&baseline, &options.teacher) {
            (Some(baseline), _) => Some(judge(&plan, &baseline.plan, &options)?),
            (None, Some(teacher)) => Some(taught_judge(&plan, teacher, &options)?),
            (None, None) => None,
        };
        judge.iter().for_each(|judge| observed.show(judge.clone()));
        let verifier = Verifier::new(VerifierParts {
            settings: VerifySettings { share: options.rescore, golden_interval: options.golden_interval },
            plan: plan.clone(),
            tokenizer: front.tokenizer().clone(),
            max_model_len,
            judge: judge.clone(),
        });
        observed.show(verifier.clone());
        let traffic = Arc::new(Traffic::new(&plan));
        observed.show(traffic.clone());
        let prefix_caching = options.enable_prefix_caching;
        let verify = Some(verifier.queue().clone());
        let settings = EngineSettings { index: 0, limits, prefix_caching, judge: judge.clone(), verify };
        let (tell, ended) = mpsc::unbounded_channel();
        let run = |plan: &OpenPlan, engine: Engine, settings: EngineSettings| -> Result<Route, ServeError> {
            let index = settings.index;
            let (engine, thread) = start(engine, settings, observed.clone())?;
            watch(thread, tell.clone())?;
            let fingerprint = format!("blake3:{}", plan.digest());
            Ok(Route { engine, fingerprint, is_plan: index == 0, scored: false })
        };
        let own = run(front.plan(), engine, settings.clone())?;
        verifier.start(own.engine.clone())?;
        let baseline = match baseline {
            Some(Baseline { plan, engine }) => {
                Some(run(&plan, engine, EngineSettings { index: 1, judge: None, verify: None, ..settings })?)
            }
            None => None,
        };
        let routes = Routes::new(own, baseline, judge);
        let admin = match options.admin_port {
            Some(port) => Some(Listener::bind("127.0.0.1", port, options.header_timeout).await?),
            None => None,
        };
        let body = BodyLimits { bytes: options.max_body_bytes, time: options.body_timeout };
        let app = Arc::new(App::new(front, routes, (observed, verifier, traffic), keys, body));
        Ok(Server { app, listener, admin, ended, shutdown_timeout: options.shutdown_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.address()
    }

    /// Serves until `shutdown` is done, or the engine fails. Then no request is taken any more, those on their way may end
    /// within the time given for that, and connections are closed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Server { app, listener, admin, mut ended, shutdown_timeout } = self;
        let plan = app.observed.plan();
        log::event(
            "listening",
            json!({
                "address": listener.address().map(|address| address.to_string()),
                "admin": admin.as_ref().and_then(Listener::address).map(|address| address.to_string()),
                "model": plan.model, "plan": plan.digest, "quantization_level": plan.quantization_level,
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let pages = tokio::spawn(listener.serve(
            app.clone(),
            async move {
                // Dropped or sent, it means the same.
                let _ = stopped.await;
            },
            LAST_WORDS,
        ));
        let operators = admin
            .map(|admin| tokio::spawn(admin.serve_admin(app.clone(), std::future::pending(), LAST_WORDS)));
        let failure = tokio::select! {
            ended = ended.recv() => Some(ended.unwrap_or(Err(ServeError::Broken))),
            () = shutdown => None,
        };
        app.drain();
        if failure.is_none() {
            log::event("draining", json!({ "requests": app.observed.unfinished() }));
            drained(&app, shutdown_timeout).await;
        }
        drop(stop);
        // Connections that were cut off end with their tasks.
        let _ = pages.await;
        log::event("ended", json!({ "requests": app.observed.unfinished() }));
        operators.into_iter().for_each(|operators| operators.abort());
        app.routes.stop();
        let rest = async {
            while let Some(ended) = ended.recv().await {
                ended?;
            }
            Ok(())
        };
        match failure {
            Some(failure) => failure,
            None => tokio::time::timeout(LAST_WORDS, rest).await.unwrap_or(Ok(())),
        }
    }
}

/// Waits until no request is on its way, or the time is over.
async fn drained(app: &App, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    while app.observed.unfinished() > 0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
}

/// Has a thread tell how an engine's thread has ended.
fn watch(
    thread: JoinHandle<Result<(), ServeError>>,
    tell: UnboundedSender<Result<(), ServeError>>,
) -> Result<(), ServeError> {
    let watch = move || {
        let ended = thread.join().unwrap_or(Err(ServeError::Broken));
        // Nobody may listen: the server has ended before its engine.
        let _ = tell.send(ended);
    };
    std::thread::Builder::new().name("watch".into()).spawn(watch).map(drop).map_err(ServeError::Thread)
}

/// The plan's limits, lowered as asked for.
struct Sizes {
    limits: schedule::Limits,
    max_model_len: usize,
}

impl Sizes {
    fn new(plan: &OpenPlan, engine: &Engine, options: &Options) -> Result<Sizes, ServeError> {
        let most = engine.limits();
        let kv = engine.kv_usage();
        let lowered = |name, asked: Option<usize>, most: usize| match asked {
            Some(found) if found == 0 || found > most => {
                Err(ServeError::Limit { name, expected: format!("1 to {most}, the plan's own"), found })
            }
            asked => Ok(asked.unwrap_or(most)),
        };
        let max_tokens =
            lowered("--max-num-batched-tokens", options.max_num_batched_tokens, most.max_tokens as usize)?;
        let prefill =
            lowered("--long-prefill-token-threshold", options.long_prefill_token_threshold, max_tokens)?;
        // A sequence alone must fit into the cache, or it could never end.
        let held = (kv.total_pages * kv.page_tokens).min(most.max_context as usize);
        let max_model_len = lowered("--max-model-len", options.max_model_len, held)?;
        let max_sequences = lowered("--max-num-seqs", options.max_num_seqs, most.max_sequences as usize)?;
        let page_tokens = plan.manifest().kv.page_tokens as usize;
        let limits = schedule::Limits { max_sequences, max_tokens, prefill_tokens: prefill, page_tokens };
        Ok(Sizes { limits, max_model_len })
    }
}

fn names(options: &Options) -> Vec<String> {
    if !options.served_model_name.is_empty() {
        return options.served_model_name.clone();
    }
    let folder = options.plan.canonicalize().unwrap_or_else(|_| options.plan.clone());
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    vec![name.strip_suffix(".plan").unwrap_or(&name).to_owned()]
}

/// The formats of a plan's matrices, those that most weights have first.
pub fn quantization_level(plan: &OpenPlan) -> String {
    let mut weights: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in plan.manifest().tensors.iter().filter(|tensor| tensor.rows > 1) {
        *weights.entry(tensor.format.to_string()).or_default() += tensor.rows * tensor.cols;
    }
    let mut formats: Vec<(String, u64)> = weights.into_iter().collect();
    formats.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    formats.into_iter().map(|(format, _)| format).collect::<Vec<_>>().join("+")
}
