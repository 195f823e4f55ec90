//! The CPUs that a process computes on.

use std::{collections::BTreeSet, fmt, io, str::FromStr, sync::OnceLock};

use crate::error_code;

/// CPUs that the system counts beyond which no list goes: as many as a set of the system's has.
const MAX_CPUS: usize = 1024;

/// CPUs by the system's numbers, each once, in the order in which threads take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

/// Why threads are not bound to CPUs.
#[derive(Debug, thiserror::Error)]
pub enum AffinityError {
    /// The text lists no CPUs.
    #[error("expected the numbers of CPUs, each once and below {MAX_CPUS}, such as 0-3,8; found `{0}`")]
    List(String),
    /// The process may not use one of them.
    #[error(
        "expected some of the CPUs {allowed}, which this process may use; found {cpu}: give others, or allow the process more \
         (taskset, the cpuset of its container)"
    )]
    NotAllowed {
        /// The CPU.
        cpu: usize,
        /// Those that may be used.
        allowed: CpuList,
    },
    /// The process has bound its threads before.
    #[error(
        "the threads of this process are bound to CPUs already; do so once, before the first plan is opened"
    )]
    Bound,
    /// The system refused.
    #[error("threads cannot be bound to CPUs here: {0}; leave it out, or use taskset")]
    Refused(#[from] io::Error),
}

impl AffinityError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            AffinityError::List(_) | AffinityError::NotAllowed { .. } => error_code::CPU_AFFINITY,
            AffinityError::Bound | AffinityError::Refused(_) => error_code::THREADS,
        }
    }
}

impl CpuList {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl FromStr for CpuList {
    type Err = AffinityError;

    /// Reads numbers and ranges with both ends in them: `0-3,8`.
    fn from_str(text: &str) -> Result<CpuList, AffinityError> {
        let refused = || AffinityError::List(text.into());
        let number = |text: &str| text.parse().ok().filter(|&cpu: &usize| cpu < MAX_CPUS).ok_or_else(refused);
        let (mut cpus, mut seen) = (vec![], BTreeSet::new());
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() || !range.clone().all(|cpu| seen.insert(cpu)) {
                return Err(refused());
            }
            cpus.extend(range);
        }
        Ok(CpuList(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match run {
                [first, .., last] => write!(to, "{comma}{first}-{last}")?,
                alone => write!(to, "{comma}{}", alone[0])?,
            }
        }
        Ok(())
    }
}

/// The CPUs that engines bind their threads to.
static BOUND: OnceLock<CpuList> = OnceLock::new();

/// Has the process compute on `cpus` alone. The threads that an engine starts later for itself are bound to one of them
/// each, in their order, the first being left to the thread that calls the engine; this thread and whatever it starts
/// may use all. To be called once, before any work; where no number of threads is set, there are as many as CPUs.
pub fn set_affinity(cpus: CpuList) -> Result<(), AffinityError> {
    let allowed = system::allowed()?;
    if let Some(&cpu) = cpus.0.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(AffinityError::NotAllowed { cpu, allowed: CpuList(allowed) });
    }
    BOUND.set(cpus.clone()).map_err(|_| AffinityError::Bound)?;
    Ok(system::bind(&cpus.0)?)
}

/// Binds this thread to the CPU for an engine's thread of this number, where CPUs were set. A CPU that has gone since
/// leaves the thread free to use the others.
pub(crate) fn bind_thread(index: usize) {
    if let Some(CpuList(cpus)) = BOUND.get() {
        let _ = system::bind(&[cpus[index % cpus.len()]]);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// The CPUs that this thread may use.
    pub fn allowed() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
    }

    /// Has this thread, and those that it starts, use these CPUs alone.
    pub fn bind(cpus: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu));
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub fn allowed() -> io::Result<Vec<usize>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn bind(_: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_numbers_and_ranges_each_cpu_once() {
        for (text, cpus, written) in [
            ("0", &[0][..], "0"),
            ("0-3,8", &[0, 1, 2, 3, 8], "0-3,8"),
            ("8,2,3,0-1", &[8, 2, 3, 0, 1], "8,2-3,0-1"),
            ("7-7,1023", &[7, 1023], "7,1023"),
        ] {
            let list: CpuList = text.parse().unwrap();
            assert_eq!((&list.0[..], &list.to_string()[..], list.count()), (cpus, written, cpus.len()));
        }
        for text in ["", ",", "1,", "-1", "3-1", "0,0", "0-3,2", "a", "1024", "0-5000", "1-2-3", " 1", "0x1"]
        {
            let refused = text.parse::<CpuList>().unwrap_err();
            assert_eq!(refused.code(), error_code::CPU_AFFINITY, "{text}");
            assert!(refused.to_string().ends_with(&format!("found `{text}`")), "{refused}");
        }
    }

    /// On threads of their own: what they start is bound likewise.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_is_bound_and_so_are_those_that_it_starts() {
        let allowed = system::allowed().unwrap();
        let last = *allowed.last().unwrap();
        let bound = std::thread::spawn(move || {
            system::bind(&[last]).unwrap();
            std::thread::spawn(system::allowed).join().unwrap().unwrap()
        });
        assert_eq!(bound.join().unwrap(), [last]);
        assert_eq!(system::allowed().unwrap(), allowed, "other threads are as they were");
        let absent = (0..MAX_CPUS).find(|cpu| !allowed.contains(cpu)).unwrap();
        let refused = set_affinity(CpuList(vec![allowed[0], absent])).unwrap_err();
        assert_eq!(refused.code(), error_code::CPU_AFFINITY);
        let said =
            format!("some of the CPUs {}, which this process may use; found {absent}", CpuList(allowed));
        assert!(refused.to_string().contains(&said), "{refused}");
    }
}
