//! Loaded kernels, and launching them.

use std::{
    ffi::c_void,
    path::{Path, PathBuf},
    process::Command,
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use libloading::{Library, Symbol};
use samp_kernels::cuda::Grid;

use crate::{
    Arg, Build, Fault, LaunchError, MAX_SHARED_BYTES, MAX_THREADS, Options, Parameter, Stats,
    ffi::{self, Entry, FaultRecord, Region, samp_emu_launch},
};

/// A kernel compiled for the host. It may be launched from several host threads at once.
pub struct Kernel {
    name: &'static str,
    build: Build,
    overlaps: bool,
    path: PathBuf,
    entry: NonNull<Entry>,
    // The entry lies in it.
    _library: Library,
}

// SAFETY: the entry is constant and stays loaded as long as the kernel.
unsafe impl Send for Kernel {}
// SAFETY: as above; every host thread that launches has an emulated multiprocessor of its own.
unsafe impl Sync for Kernel {}

/// Size of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// How many blocks there are in each dimension.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Shared memory of a block.
    pub shared_bytes: usize,
}

impl Launch {
    /// `blocks` of `threads` in one dimension, without shared memory.
    pub fn linear(blocks: u32, threads: u32) -> Launch {
        Launch { grid: [blocks, 1, 1], block: [threads, 1, 1], shared_bytes: 0 }
    }

    /// The same with so much shared memory for each block.
    pub fn shared(self, bytes: usize) -> Launch {
        Launch { shared_bytes: bytes, ..self }
    }
}

impl From<Grid> for Launch {
    fn from(grid: Grid) -> Launch {
        let block = [grid.threads, 1, 1];
        Launch { grid: grid.blocks, block, shared_bytes: grid.shared_bytes as usize }
    }
}

impl Kernel {
    /// `overlaps` says whether launches may begin before those ahead have ended.
    pub(crate) fn load(
        name: &'static str,
        path: PathBuf,
        build: Build,
        overlaps: bool,
    ) -> Result<Kernel, libloading::Error> {
        // SAFETY: the object was compiled from samp's own sources; its initialisers do nothing.
        let library = unsafe { Library::new(&path)? };
        // SAFETY: `SAMP_EMU_EXPORT` defines the symbol with this signature.
        let bind: Symbol<unsafe extern "C" fn(*const ffi::Api) -> *const Entry> =
            unsafe { library.get(b"samp_emu_bind\0")? };
        // An object that is loaded twice is one object, bound once.
        static BINDING: Mutex<()> = Mutex::new(());
        let guard = BINDING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the table outlives every kernel, and nobody else binds at the same time.
        let entry = unsafe { bind(ffi::samp_emu_api()) };
        drop(guard);
        let entry = NonNull::new(entry.cast_mut()).expect("the entry is a static of the object");
        Ok(Kernel { name, build, overlaps, path, entry, _library: library })
    }

    fn entry(&self) -> &Entry {
        // SAFETY: the entry is a constant of the loaded library.
        unsafe { self.entry.as_ref() }
    }

    /// The kernel's parameters, in order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let entry = self.entry();
        // SAFETY: the library says so many parameters of itself.
        let kinds = unsafe { std::slice::from_raw_parts(entry.parameters, entry.parameter_count as usize) };
        kinds.iter().map(|&kind| Parameter::from_number(kind)).collect()
    }

    /// Runs every block of a grid on the calling thread and returns when all are done or one has failed. What a failed
    /// launch wrote stays.
    pub fn launch(&self, launch: Launch, options: Options, args: &[Arg<'_>]) -> Result<Stats, LaunchError> {
        self.check(&launch, args)?;
        let mut args = args.to_vec();
        let mut parameters: Vec<*mut c_void> = args.iter_mut().map(Arg::address).collect();
        let regions: Vec<Region> = args.iter().filter_map(Arg::region).collect();
        let request = ffi::Launch {
            grid: launch.grid,
            block: launch.block,
            shared_bytes: launch.shared_bytes as u64,
            seed: options.seed,
            async_mode: options.async_mode as u32,
            checked: (self.build == Build::Checked).into(),
            overlaps: self.overlaps.into(),
            parameters: parameters.as_mut_ptr(),
            regions: regions.as_ptr(),
            region_count: regions.len() as u64,
            entry: self.entry.as_ptr(),
        };
        let (mut stats, mut record) = (Stats::default(), FaultRecord::empty());
        // SAFETY: sizes and parameters were checked, all pointers live until the call returns, and the arguments borrow
        // what the kernel touches.
        let fine = unsafe { samp_emu_launch(&request, &mut stats, &mut record) };
        if fine {
            return Ok(stats);
        }
        let fault = Fault::read(&record, |instruction| line_of(&self.path, instruction));
        Err(LaunchError::Fault { kernel: self.name, fault })
    }

    fn check(&self, launch: &Launch, args: &[Arg<'_>]) -> Result<(), LaunchError> {
        let kernel = self.name;
        let (expected, found) = (self.parameters(), args.iter().map(Arg::parameter).collect::<Vec<_>>());
        if expected != found {
            return Err(LaunchError::Arguments { kernel, expected, found });
        }
        let most = MAX_THREADS.min(self.entry().max_threads as u32);
        let threads = launch.block.iter().try_fold(1u64, |product, &n| product.checked_mul(n.into()));
        let threads = threads.unwrap_or(u64::MAX);
        if threads == 0 || threads > most.into() {
            return Err(LaunchError::Threads { kernel, most, found: threads });
        }
        let blocks = launch.grid.iter().try_fold(1u32, |product, &n| product.checked_mul(n));
        if blocks.is_none_or(|blocks| blocks == 0) {
            return Err(LaunchError::Grid { kernel, grid: launch.grid });
        }
        if launch.shared_bytes > MAX_SHARED_BYTES {
            return Err(LaunchError::SharedMemory { kernel, found: launch.shared_bytes });
        }
        Ok(())
    }
}

/// File and line of an instruction's call, if binutils can tell: the innermost of the kernel's own sources.
fn line_of(object: &Path, instruction: u64) -> Option<(String, u32)> {
    // The address is that of the next instruction.
    let address = format!("{:#x}", instruction.checked_sub(1)?);
    let output = Command::new("addr2line").arg("-i").arg("-e").arg(object).arg(address).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|place| {
        let (file, line) = place.split(' ').next()?.rsplit_once(':')?;
        let file = file.rsplit('/').next()?;
        let own = file.ends_with(".cu") || file.ends_with(".cuh");
        own.then_some(())?;
        Some((file.to_owned(), line.parse().ok()?))
    })
}
