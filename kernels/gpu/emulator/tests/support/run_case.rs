//! Launches cases on the emulated device.

use samp_emulator::{Arg, Buffer, Kernel, LaunchError, Options};
use samp_kernel_cases::{self as cases, KernelCase};

/// Memory of one argument.
enum Memory {
    Read(Buffer<u8>),
    Constant(Buffer<u8>),
    Write(Buffer<u8>),
    None,
}

/// What can launch a case: a compiled kernel, which may have been edited.
pub trait LaunchCase {
    /// Launches with the case's arguments. Returns what each that is written holds then, in order, for
    /// [`KernelCase::check`].
    fn launch_case(&self, case: &KernelCase, options: Options) -> Result<Vec<Vec<u8>>, LaunchError>;
}

impl LaunchCase for Kernel {
    fn launch_case(&self, case: &KernelCase, options: Options) -> Result<Vec<Vec<u8>>, LaunchError> {
        let mut memory: Vec<Memory> = case.args.iter().map(memory_of).collect();
        let args: Vec<Arg<'_>> = memory.iter_mut().zip(&case.args).map(arg_of).collect();
        self.launch(case.grid.into(), options, &args)?;
        drop(args);
        let written = memory.iter().filter_map(|memory| match memory {
            Memory::Write(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        Ok(written.collect())
    }
}

fn memory_of(arg: &cases::Arg) -> Memory {
    match arg {
        cases::Arg::Read(bytes) => Memory::Read(Buffer::from(&bytes[..])),
        cases::Arg::Constant(bytes) => Memory::Constant(Buffer::from(&bytes[..])),
        cases::Arg::Write(bytes, _) => Memory::Write(Buffer::from(&bytes[..])),
        _ => Memory::None,
    }
}

fn arg_of<'a>((memory, arg): (&'a mut Memory, &cases::Arg)) -> Arg<'a> {
    match (memory, arg) {
        (Memory::Read(bytes), _) => Arg::read(bytes),
        (Memory::Constant(bytes), _) => Arg::constant(bytes),
        (Memory::Write(bytes), _) => Arg::write(bytes),
        (_, cases::Arg::I32(value)) => (*value).into(),
        (_, cases::Arg::F32(value)) => (*value).into(),
        _ => Arg::null(),
    }
}
