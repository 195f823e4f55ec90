//! Trials on the emulated device.

use samp_kernel_cases::{self as cases, KernelCase};

use crate::{Arg, Buffer, Kernel, LaunchError, Options};

/// Memory of one argument.
enum Memory {
    Read(Buffer<u8>),
    Constant(Buffer<u8>),
    Write(Buffer<u8>),
    None,
}

impl Kernel {
    /// Launches the kernel of a trial, which may have been edited, with the trial's arguments. Returns what each that is
    /// written holds then, in order, for [`KernelCase::check`].
    pub fn try_out(&self, trial: &KernelCase, options: Options) -> Result<Vec<Vec<u8>>, LaunchError> {
        let memory = |arg: &cases::Arg| match arg {
            cases::Arg::Read(bytes) => Memory::Read(Buffer::from(&bytes[..])),
            cases::Arg::Constant(bytes) => Memory::Constant(Buffer::from(&bytes[..])),
            cases::Arg::Write(bytes, _) => Memory::Write(Buffer::from(&bytes[..])),
            _ => Memory::None,
        };
        let mut memory: Vec<Memory> = trial.args.iter().map(memory).collect();
        let args = memory.iter_mut().zip(&trial.args).map(|(memory, arg)| match (memory, arg) {
            (Memory::Read(bytes), _) => Arg::read(bytes),
            (Memory::Constant(bytes), _) => Arg::constant(bytes),
            (Memory::Write(bytes), _) => Arg::write(bytes),
            (_, cases::Arg::I32(value)) => (*value).into(),
            (_, cases::Arg::F32(value)) => (*value).into(),
            _ => Arg::null(),
        });
        let args: Vec<Arg<'_>> = args.collect();
        self.launch(trial.grid.into(), options, &args)?;
        drop(args);
        let written = memory.iter().filter_map(|memory| match memory {
            Memory::Write(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        Ok(written.collect())
    }
}
