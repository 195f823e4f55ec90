//! How long a plan takes from its files to the first token, with the files in memory and without.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Instant,
};

use rayon::prelude::*;
use rustix::fs::{Advice, fadvise};
use samp_abi::plan::MANIFEST_FILE;
use samp_kernels::sample::SampleRequest;
use serde::Serialize;

use super::{error::BenchError, spread::Spread};
use crate::{
    device::DeviceKind,
    engine::{Engine, EngineOptions},
    outside_file::open_regular,
    plan::{OpenPlan, open},
    proc::read_from_storage,
};

/// Bytes of a file that a thread reads at once.
const BLOCK: usize = 4 << 20;

/// Seconds from a plan's files to its first token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartTimes {
    /// Until the plan is open, every byte checked.
    pub opened: Spread,
    /// Until the engine is ready, the golden probe run.
    pub ready: Spread,
    /// Until the first token, after a prompt of one.
    pub first_token: Spread,
}

/// The same where no file of the plan is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ColdStart {
    /// How long it takes.
    #[serde(flatten)]
    pub times: StartTimes,
    /// Seconds in which all threads together read the plan's files from storage and do nothing else.
    pub read: Spread,
    /// How many times as long as that the first token takes.
    pub first_token_per_read: Spread,
}

/// Both starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartReport {
    /// Bytes of the plan's files.
    pub bytes: u64,
    /// With all files in memory.
    pub warm: StartTimes,
    /// With none; `null` where they cannot be dropped from it, or nothing says whether they were.
    pub cold: Option<ColdStart>,
}

/// What is started.
pub(super) struct Starter<'a> {
    dir: &'a Path,
    device: DeviceKind,
    options: EngineOptions,
    files: PlanFiles,
}

/// Seconds of one start.
#[derive(Clone, Copy)]
struct Start {
    opened: f64,
    ready: f64,
    first_token: f64,
}

/// One start without files in memory, and the seconds that reading them alone took.
struct Cold {
    start: Start,
    read: f64,
}

impl<'a> Starter<'a> {
    /// The plan that `open` is, which itself may be closed after this.
    pub(super) fn new(
        open: &OpenPlan,
        dir: &'a Path,
        device: DeviceKind,
        options: EngineOptions,
    ) -> Result<Starter<'a>, BenchError> {
        Ok(Starter { dir, device, options, files: PlanFiles::of(open)? })
    }

    /// Starts the plan `repeats` times with its files in memory and as often without, in turns.
    pub(super) fn measure(&self, repeats: usize) -> Result<StartReport, BenchError> {
        let (mut warm, mut cold) = (vec![], Some(vec![]));
        for _ in 0..repeats {
            if let Some(starts) = &mut cold {
                match self.start_cold()? {
                    Some(start) => starts.push(start),
                    None => cold = None,
                }
            }
            // One that is not timed brings all files into memory.
            if warm.is_empty() {
                self.start()?;
            }
            warm.push(self.start()?);
        }
        let times = |starts: &[Start]| StartTimes {
            opened: spread(starts.iter().map(|start| start.opened)),
            ready: spread(starts.iter().map(|start| start.ready)),
            first_token: spread(starts.iter().map(|start| start.first_token)),
        };
        let cold = cold.map(|cold| ColdStart {
            times: times(&cold.iter().map(|cold| cold.start).collect::<Vec<_>>()),
            read: spread(cold.iter().map(|cold| cold.read)),
            first_token_per_read: spread(cold.iter().map(|cold| cold.start.first_token / cold.read)),
        });
        Ok(StartReport { bytes: self.files.bytes, warm: times(&warm), cold })
    }

    fn start(&self) -> Result<Start, BenchError> {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_secs_f64();
        let plan = open(self.dir)?;
        let opened = elapsed();
        let mut engine = Engine::new(plan.into(), self.device, self.options)?;
        let ready = elapsed();
        let sequence = engine.create()?;
        let sampled = engine.append_and_sample(sequence, &[0], SampleRequest::GREEDY)?;
        sampled.ok_or(BenchError::NotFinite)?;
        Ok(Start { opened, ready, first_token: elapsed() })
    }

    /// `None` where the files stayed in memory: the system reads them from there, however they are dropped (tmpfs), or another
    /// process maps them.
    fn start_cold(&self) -> Result<Option<Cold>, BenchError> {
        let Some(read) = self.files.with_storage(|| self.files.read())? else { return Ok(None) };
        let start = self.files.with_storage(|| self.start())?;
        Ok(start.map(|start| Cold { start, read }))
    }
}

/// Of as many measurements as repeats, which are more than none.
fn spread(measured: impl IntoIterator<Item = f64>) -> Spread {
    Spread::of(measured).expect("something is measured at least once")
}

/// The files of a plan, open.
struct PlanFiles {
    files: Vec<(PathBuf, File)>,
    bytes: u64,
}

impl PlanFiles {
    fn of(plan: &OpenPlan) -> Result<PlanFiles, BenchError> {
        let manifest = plan.manifest();
        let named = manifest
            .weights
            .iter()
            .map(|file| &file.path)
            .chain(manifest.files.iter().map(|file| &file.path));
        let (mut files, mut bytes) = (vec![], 0);
        for name in named.map(String::as_str).chain([MANIFEST_FILE]) {
            let path = plan.dir().join(name);
            let opened = open_regular(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (length, file) = opened.map_err(|source| BenchError::Read { path: path.clone(), source })?;
            files.push((path, file));
            bytes += length;
        }
        Ok(PlanFiles { files, bytes })
    }

    /// Does `work` with the files out of memory; `None` if it read less than half of them from storage. A start need not read all.
    fn with_storage<T>(&self, work: impl FnOnce() -> Result<T, BenchError>) -> Result<Option<T>, BenchError> {
        for (_, file) in &self.files {
            // What was not written out yet would stay. Both are wishes: what comes of them is seen below.
            let _ = file.sync_data();
            let _ = fadvise(file, 0, None, Advice::DontNeed);
        }
        let before = read_from_storage();
        let done = work()?;
        let read = read_from_storage().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(read.is_some_and(|read| read >= self.bytes / 2).then_some(done))
    }

    /// Reads every byte; gives the seconds that it took.
    fn read(&self) -> Result<f64, BenchError> {
        let start = Instant::now();
        for (path, file) in &self.files {
            let failed = |source| BenchError::Read { path: path.clone(), source };
            let length = file.metadata().map_err(failed)?.len();
            let blocks = length.div_ceil(BLOCK as u64);
            let read = |block: &mut Vec<u8>, index: u64| {
                let first = index * BLOCK as u64;
                let bytes = BLOCK.min((length - first) as usize);
                file.read_exact_at(&mut block[..bytes], first).map_err(failed)
            };
            (0..blocks).into_par_iter().try_for_each_init(|| vec![0; BLOCK], read)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}
