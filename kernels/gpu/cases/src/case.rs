//! What a case is.

use samp_kernels::cuda::{Grid, Source};

use crate::check::Check;

/// One launch with its data and what must come of it.
pub struct KernelCase {
    /// What is tried, for people.
    pub name: String,
    /// The kernel that is launched.
    pub source: Source,
    /// Size of the launch.
    pub grid: Grid,
    /// Arguments, in order.
    pub args: Vec<Arg>,
    /// Whether it needs a GPU of Hopper's or later.
    pub hopper: bool,
}

/// An argument of a case.
pub enum Arg {
    /// Memory that the kernel reads.
    Read(Vec<u8>),
    /// Memory that no launch writes, weights for one: the kernel may read it while the launch ahead is still running.
    Constant(Vec<u8>),
    /// Memory with what it holds before the launch, and what must come of it.
    Write(Vec<u8>, Check),
    /// A null pointer, where the kernel does without.
    Null,
    /// A 32-bit integer by value.
    I32(i32),
    /// A 32-bit float by value.
    F32(f32),
}

impl Arg {
    /// Memory that holds these values.
    pub fn read<T: bytemuck::NoUninit>(values: &[T]) -> Arg {
        Arg::Read(bytemuck::cast_slice(values).to_vec())
    }

    /// Memory that holds these values whenever it is read.
    pub fn constant<T: bytemuck::NoUninit>(values: &[T]) -> Arg {
        Arg::Constant(bytemuck::cast_slice(values).to_vec())
    }

    /// So many bytes that the kernel writes: all ones before, which is NaN in every format and far out of range as an index.
    pub fn poisoned(bytes: usize, check: Check) -> Arg {
        Arg::Write(vec![0xff; bytes], check)
    }

    /// Sums that blocks leave for each other, and counters that are zeros before and after each launch.
    pub fn workspace(sums: u64, counters: u64) -> [Arg; 2] {
        let zeros = vec![0; counters as usize * 4];
        let counters = Arg::Write(zeros.clone(), Check::exactly(zeros));
        [Arg::poisoned(sums as usize * 4, Check::anything()), counters]
    }
}

/// What a kernel wrote is not what it must be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{case}, argument {argument}: {what}")]
pub struct CaseMismatch {
    /// The name of the case.
    pub case: String,
    /// Which argument, counted from 0.
    pub argument: usize,
    /// What was expected and found.
    pub what: String,
}

impl KernelCase {
    /// Checks what each [`Arg::Write`] holds after the launch, in order. Returns the largest part of its tolerance that a
    /// value took: at most 1, and 0 if everything is exact.
    pub fn check(&self, written: &[Vec<u8>]) -> Result<f64, CaseMismatch> {
        assert_eq!(self.checks().count(), written.len(), "{}: what was written, and nothing else", self.name);
        let mut worst = 0.0f64;
        for ((argument, check), bytes) in self.checks().zip(written) {
            let wrong = |what| CaseMismatch { case: self.name.clone(), argument, what };
            worst = worst.max(check.of(bytes).map_err(wrong)?);
        }
        Ok(worst)
    }

    /// Whether two launches gave the same bits, apart from memory that is only used on the way.
    pub fn same(&self, written: &[Vec<u8>], again: &[Vec<u8>]) -> bool {
        let pairs = written.iter().zip(again);
        self.checks().zip(pairs).all(|((_, check), (a, b))| !check.same || a == b)
    }

    fn checks(&self) -> impl Iterator<Item = (usize, &Check)> {
        self.args.iter().enumerate().filter_map(|(index, arg)| match arg {
            Arg::Write(_, check) => Some((index, check)),
            _ => None,
        })
    }
}

/// A kernel or probe with constants.
pub(crate) fn source(stem: &str, defines: &[(&'static str, usize)]) -> Source {
    let source = Source::find(stem).unwrap_or_else(|| panic!("no kernel is called {stem}"));
    defines.iter().fold(source, |source, (name, value)| source.define(name, value))
}
