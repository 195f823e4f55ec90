//! Memory filled on the GPU itself: weights and activations for measurements, random but valid, without a file.

use samp_abi::{Component, ElementType, Format, Layout};
use samp_kernels::cuda::{Grid, Source};
use samp_runtime::device::gpu::{Arg, Driver, DriverError, Range};

use crate::{
    error::GpuError,
    gpu::{Gpu, Ready},
    model_shape::MatrixShape,
    pattern::Pattern,
};

/// Threads of a block of fill and copy.
const THREADS: u32 = 256;
/// Numbers that the arrays of one weight are made from, each 4 GiB of an array from one.
const SEEDS_PER_WEIGHT: u64 = 64;
const SEEDS_PER_ARRAY: u64 = 8;
/// Memory of the GPU is aligned to this many bytes.
const ALIGNMENT: u64 = 256;

/// A kernel of this crate.
fn own(stem: &'static str, text: &'static str) -> Source {
    Source::new(stem, text)
}

/// The kernel that fills memory with random words.
pub fn fill_source() -> Source {
    own("fill", include_str!("../cuda/fill.cu"))
}

/// The kernel that copies memory, in chunks of 16 bytes.
pub fn copy_source() -> Source {
    own("copy", include_str!("../cuda/copy.cu"))
}

/// A weight in packed form, several times over.
pub struct WeightCopies<M> {
    memory: M,
    /// The arrays of the first copy.
    arrays: Vec<Range>,
    stride: u64,
    /// How many there are.
    pub copies: usize,
    /// Bytes of one.
    pub bytes: u64,
    has_gap: bool,
}

impl<M> WeightCopies<M> {
    /// The arrays of one of the copies, as kernels take them.
    pub fn args(&self, copy: usize) -> Vec<Arg<'_, M>> {
        let base = self.stride * (copy % self.copies) as u64;
        let arg = |array: &Range| Arg::Memory {
            memory: &self.memory,
            offset: base + array.offset,
            bytes: array.bytes,
        };
        let mut args: Vec<Arg<'_, M>> = self.arrays.iter().map(arg).collect();
        args.extend(self.has_gap.then_some(Arg::Null));
        args
    }
}

/// An allocation of a known length.
pub struct GpuBuffer<M> {
    memory: M,
    bytes: u64,
}

impl<M> GpuBuffer<M> {
    /// All of it, as kernels take it.
    pub fn arg(&self) -> Arg<'_, M> {
        self.range(0, self.bytes)
    }

    /// Some of it, as kernels take it.
    pub fn range(&self, offset: u64, bytes: u64) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset, bytes }
    }
}

/// One stored array of a weight, and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct WeightArray {
    /// What it holds.
    pub component: Component,
    /// Type of its elements.
    pub dtype: ElementType,
    /// Its bytes within the memory that is filled.
    pub range: Range,
}

/// The kernel that fills memory, ready on a GPU.
pub struct FillKernel<'g, D: Driver> {
    gpu: &'g Gpu<'g, D>,
    ready: Ready<D::Kernel>,
}

impl<D: Driver> Gpu<'_, D> {
    /// Readies the kernel that fills memory.
    pub fn fill_kernel(&self) -> Result<FillKernel<'_, D>, GpuError> {
        Ok(FillKernel { gpu: self, ready: self.ready(&fill_source(), self.stream_grid(u64::MAX))? })
    }

    /// A launch over so many words or chunks, by as many blocks as keep every multiprocessor busy.
    pub fn stream_grid(&self, items: u64) -> Grid {
        let blocks = u64::from(self.target.units * 8).min(items.div_ceil(THREADS.into())) as u32;
        Grid { blocks: [blocks.max(1), 1, 1], threads: THREADS, shared_bytes: 0 }
    }

    /// So many zero bytes.
    pub fn zeros(&self, what: &'static str, bytes: u64) -> Result<GpuBuffer<D::Memory>, GpuError> {
        let memory = self.driver.allocate(what, bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT))?;
        Ok(GpuBuffer { memory, bytes })
    }

    /// These integers, of 32 bits each.
    pub fn integers(&self, what: &'static str, values: &[i32]) -> Result<GpuBuffer<D::Memory>, GpuError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let buffer = self.zeros(what, bytes.len() as u64)?;
        self.driver.upload(&buffer.memory, 0, &bytes)?;
        Ok(buffer)
    }
}

impl<D: Driver> FillKernel<'_, D> {
    /// Fills a range with numbers of a pattern, others for each seed.
    pub fn fill_range(
        &self,
        memory: &D::Memory,
        range: Range,
        pattern: Pattern,
        seed: u64,
    ) -> Result<(), DriverError> {
        // Of 2^31 words at most each.
        let (most, mut done) = (4u64 << 30, 0);
        while done < range.bytes {
            let bytes = (range.bytes - done).min(most).next_multiple_of(4);
            let args = [
                Arg::Memory { memory, offset: range.offset + done, bytes },
                Arg::I32((bytes / 4) as i32),
                Arg::I32(pattern.keep as i32),
                Arg::I32(pattern.set as i32),
                Arg::I32((seed + done / most) as i32),
            ];
            self.gpu.driver.launch(&self.ready.kernel, self.gpu.stream_grid(bytes / 4), &args)?;
            done += bytes;
        }
        Ok(())
    }

    /// Fills the arrays of the weight of a number with valid values of its format.
    pub fn fill_weight(
        &self,
        memory: &D::Memory,
        format: Format,
        number: u64,
        arrays: impl Iterator<Item = WeightArray>,
    ) -> Result<(), DriverError> {
        for (WeightArray { component, dtype, range }, array) in arrays.zip(0..) {
            let seed = number * SEEDS_PER_WEIGHT + array * SEEDS_PER_ARRAY;
            self.fill_range(memory, range, Pattern::for_component(format, component, dtype), seed)?;
        }
        Ok(())
    }

    /// So many bytes of a pattern.
    pub fn buffer(
        &self,
        what: &'static str,
        bytes: u64,
        pattern: Pattern,
    ) -> Result<GpuBuffer<D::Memory>, GpuError> {
        let buffer = self.gpu.zeros(what, bytes)?;
        self.fill_range(&buffer.memory, Range { offset: 0, bytes }, pattern, bytes)?;
        Ok(buffer)
    }

    /// So many weights of a shape, all different.
    pub fn weight_copies(
        &self,
        format: Format,
        layout: Layout,
        shape: MatrixShape,
        copies: usize,
    ) -> Result<WeightCopies<D::Memory>, GpuError> {
        let specs = layout.components(format, shape.rows.into(), shape.cols.into(), 0);
        let mut stride = 0;
        let mut place = |bytes: u64| {
            let range = Range { offset: stride, bytes };
            stride += bytes.next_multiple_of(ALIGNMENT);
            range
        };
        let arrays: Vec<Range> = specs.iter().map(|spec| place(spec.bytes())).collect();
        let memory = self.gpu.driver.allocate("weights", stride * copies as u64)?;
        for copy in 0..copies as u64 {
            let all = specs.iter().zip(&arrays).map(|(spec, array)| WeightArray {
                component: spec.component,
                dtype: spec.dtype,
                range: Range { offset: copy * stride + array.offset, ..*array },
            });
            self.fill_weight(&memory, format, copy, all)?;
        }
        let bytes = specs.iter().map(|spec| spec.bytes()).sum();
        let has_gap = matches!(format, Format::Int4 { zero_point: false, .. });
        Ok(WeightCopies { memory, arrays, stride, copies, bytes, has_gap })
    }
}
