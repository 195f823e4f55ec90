//! Launches: arguments as the driver takes them, and how the launch follows the one before.

use std::{ffi::c_void, ptr};

use cudarc::driver::sys::{
    CUlaunchAttribute, CUlaunchAttributeID as AttributeId, CUlaunchAttributeValue, CUlaunchConfig, CUstream,
    cuLaunchKernelEx,
};
use samp_kernels::cuda::Grid;

use super::{
    super::{Arg, DriverError},
    error::reason,
    memory::CudaMemory,
    module::CudaKernel,
};

/// Puts a launch behind the work so far.
pub(super) fn launch(
    kernel: &CudaKernel,
    grid: Grid,
    args: &[Arg<'_, CudaMemory>],
) -> Result<(), DriverError> {
    let name = kernel.name;
    let mut packed: Vec<Packed> = args.iter().map(|arg| pack(arg, CudaMemory::address)).collect();
    if let Some(reason) = mismatch(&packed, &kernel.parameters) {
        return Err(DriverError::Kernel { kernel: name, reason });
    }
    let mut pointers: Vec<*mut c_void> =
        packed.iter_mut().map(|packed| ptr::from_mut(&mut packed.value).cast()).collect();
    let mut attributes = [early_start()];
    let mut config = config(grid, kernel.context().stream()?);
    if kernel.overlaps {
        (config.attrs, config.numAttrs) = (attributes.as_mut_ptr(), 1);
    }
    // SAFETY: there are as many pointers as the kernel has parameters, each to a value of the parameter's size; the driver
    // copies the values, the configuration and its attribute before it returns.
    unsafe { cuLaunchKernelEx(&config, kernel.function, pointers.as_mut_ptr(), ptr::null_mut()) }
        .result()
        .map_err(|error| DriverError::Kernel {
            kernel: name,
            reason: format!("{} at {grid:?}", reason(error)),
        })
}

/// An argument's bytes, the first of which the driver copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    value: u64,
    size: usize,
}

fn pack<M>(arg: &Arg<'_, M>, address: impl Fn(&M, u64, u64) -> u64) -> Packed {
    // Hosts of GPUs are little-endian, as GPUs are: a narrow value is the first bytes of a wide one.
    const { assert!(cfg!(target_endian = "little")) };
    match *arg {
        Arg::Memory { memory, offset, bytes } => Packed { value: address(memory, offset, bytes), size: 8 },
        Arg::Null => Packed { value: 0, size: 8 },
        Arg::I32(value) => Packed { value: u64::from(value as u32), size: 4 },
        Arg::F32(value) => Packed { value: u64::from(value.to_bits()), size: 4 },
    }
}

/// What is wrong with the arguments: the driver would read as many bytes as the kernel takes.
fn mismatch(packed: &[Packed], parameters: &[usize]) -> Option<String> {
    let found: Vec<usize> = packed.iter().map(|packed| packed.size).collect();
    (found != parameters)
        .then(|| format!("it takes parameters of {parameters:?} bytes, and was given arguments of {found:?}"))
}

fn config(grid: Grid, stream: CUstream) -> CUlaunchConfig {
    let [x, y, z] = grid.blocks;
    CUlaunchConfig {
        gridDimX: x,
        gridDimY: y,
        gridDimZ: z,
        blockDimX: grid.threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: grid.shared_bytes,
        hStream: stream,
        attrs: ptr::null_mut(),
        numAttrs: 0,
    }
}

/// Lets the launch begin when the one before says so (`grid_launch` of `dev.cuh`) or ends.
fn early_start() -> CUlaunchAttribute {
    CUlaunchAttribute {
        id: AttributeId::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(args: &[Arg<'_, u64>]) -> Vec<Packed> {
        args.iter().map(|arg| pack(arg, |base, offset, _| base + offset)).collect()
    }

    #[test]
    fn arguments_are_packed_in_their_first_bytes() {
        let base = 0x7f00_0000_0000;
        let memory = Arg::Memory { memory: &base, offset: 512, bytes: 16 };
        let packed = packed(&[memory, Arg::Null, Arg::I32(-2), Arg::F32(1.5)]);
        assert_eq!(packed.iter().map(|p| p.size).collect::<Vec<_>>(), [8, 8, 4, 4]);
        assert_eq!(packed[0].value, 0x7f00_0000_0200);
        assert_eq!(packed[1].value, 0);
        assert_eq!(packed[2].value.to_le_bytes()[..4], (-2i32).to_le_bytes());
        assert_eq!(packed[3].value.to_le_bytes()[..4], 1.5f32.to_le_bytes());
    }

    #[test]
    fn arguments_of_other_sizes_or_number_are_refused() {
        let args = packed(&[Arg::Null, Arg::I32(1)]);
        assert_eq!(mismatch(&args, &[8, 4]), None);
        for parameters in [&[8, 8][..], &[8], &[8, 4, 4]] {
            assert!(mismatch(&args, parameters).unwrap().contains("[8, 4]"), "{parameters:?}");
        }
    }

    #[test]
    fn a_launch_is_one_dimensional_within_its_blocks() {
        let config = config(Grid { blocks: [7, 2, 3], threads: 256, shared_bytes: 99 }, ptr::null_mut());
        assert_eq!([config.gridDimX, config.gridDimY, config.gridDimZ], [7, 2, 3]);
        assert_eq!([config.blockDimX, config.blockDimY, config.blockDimZ], [256, 1, 1]);
        assert_eq!((config.sharedMemBytes, config.numAttrs), (99, 0));
    }
}
