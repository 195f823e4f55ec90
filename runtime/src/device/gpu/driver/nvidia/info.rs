//! Which GPU there is, or why there is none.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cudarc::driver::{
    result::{self, device},
    sys::{self, CUdevice, CUdevice_attribute as Attribute},
};

use super::{
    super::DriverError,
    error::{Answered, reason},
};

/// What a GPU says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its product name.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// The newest CUDA that its driver serves, major and minor.
    pub driver: (u32, u32),
    /// All of its memory in bytes.
    pub total_memory: u64,
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
    /// Size of its second cache in bytes.
    pub l2_bytes: u64,
    /// The most shared memory of a block in bytes, for kernels that ask for it.
    pub shared_bytes_per_block: u32,
}

/// The CUDA whose compiler makes the code of plans; drivers run code of compilers no newer than they are.
const CUDA: (u32, u32) = (13, 0);

const INSTALL: &str = "install NVIDIA's driver 580 or newer (in a container, start it with the host's GPUs), or \
                       choose a device that needs no GPU";

/// Loads the driver and finds the GPU of this number.
pub(super) fn find(ordinal: usize) -> Result<(CUdevice, DeviceInfo), DriverError> {
    if let Some(planted) = env::var_os("LD_LIBRARY_PATH").and_then(|folders| planted(&folders)) {
        let reason = format!(
            "LD_LIBRARY_PATH leads the loader to {} in the working directory, where anyone may have put it",
            planted.display()
        );
        let remedy = "name folders in LD_LIBRARY_PATH from / on, and leave no empty part between its colons";
        return Err(DriverError::Absent { reason, remedy });
    }
    // cudarc panics where the library is missing; so it is looked for beforehand.
    // SAFETY: loading NVIDIA's driver runs its initialisers, which ask nothing of the process.
    if !unsafe { sys::is_culib_present() } {
        let reason = "the system's loader finds no libcuda.so.1, the library of NVIDIA's driver".to_owned();
        return Err(DriverError::Absent { reason, remedy: INSTALL });
    }
    let driver = driver_version().map_err(|error| absent("asked for its version", error))?;
    // Older drivers lack functions that are called later, which cudarc would panic on.
    if driver < CUDA {
        let reason =
            format!("the driver serves CUDA {}, and plans' code needs {}", dotted(driver), dotted(CUDA));
        return Err(DriverError::Absent { reason, remedy: INSTALL });
    }
    result::init().map_err(|error| absent("initialised", error))?;
    let count = device::get_count().map_err(|error| absent("asked for GPUs", error))?;
    if ordinal >= count as usize {
        let reason = format!("GPU {ordinal} was asked for, and there are {count}, numbered from 0");
        let remedy = "choose another, or let more be seen by CUDA_VISIBLE_DEVICES";
        return Err(DriverError::Absent { reason, remedy });
    }
    let device = device::get(ordinal as i32).during("choosing a GPU")?;
    Ok((device, describe(device, driver).during("asking a GPU what it is")?))
}

/// A library of the driver's name that the loader would take from the working directory: relative folders of its search path
/// lie below it, an empty one is it.
fn planted(folders: &OsStr) -> Option<PathBuf> {
    let folders = folders.as_bytes();
    // A variable that is set to nothing names nothing.
    let folders =
        (!folders.is_empty()).then(|| folders.split(|byte| b":;".contains(byte))).into_iter().flatten();
    let relative =
        folders.map(|folder| Path::new(OsStr::from_bytes(folder))).filter(|folder| folder.is_relative());
    let mut entries =
        relative.flat_map(|folder| fs::read_dir(Path::new(".").join(folder)).into_iter().flatten().flatten());
    let is_driver =
        |name: &OsStr| name.as_bytes().starts_with(b"libcuda") || name.as_bytes().starts_with(b"libnvcuda");
    entries.find(|entry| is_driver(&entry.file_name())).map(|entry| entry.path())
}

fn absent(asked: &str, error: result::DriverError) -> DriverError {
    DriverError::Absent {
        reason: format!("NVIDIA's driver was {asked} and answered {}", reason(error)),
        remedy: "see whether `nvidia-smi` lists a GPU, and reinstall the driver or restart the machine if it does not",
    }
}

fn driver_version() -> Result<(u32, u32), result::DriverError> {
    let mut version = 0;
    // SAFETY: the library is there, and writes one integer.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version as u32 / 1000, version as u32 % 1000 / 10))
}

fn describe(device: CUdevice, driver: (u32, u32)) -> Result<DeviceInfo, result::DriverError> {
    // SAFETY: the device was given by the driver, here and below.
    let attribute = |which| unsafe { device::get_attribute(device, which) }.map(|value| value as u32);
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(DeviceInfo {
        name: device::get_name(device)?,
        compute_capability: (major, minor),
        driver,
        // SAFETY: as above.
        total_memory: unsafe { device::total_mem(device) }? as u64,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
        shared_bytes_per_block: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
    })
}

fn dotted(version: (u32, u32)) -> String {
    format!("{}.{}", version.0, version.1)
}
