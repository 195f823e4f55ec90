//! Memory filled on the GPU itself: weights and activations for measurements, random but valid, without a file.

use samp_abi::{Component, ElementType, Format, Layout};
use samp_kernels::cuda::{Grid, Source};
use samp_runtime::device::gpu::{Arg, Driver, DriverError, Range};

use crate::{Gpu, GpuError, Ready};

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

/// Fills memory.
pub fn fill_source() -> Source {
    own("fill", include_str!("../cuda/fill.cu"))
}

/// Copies memory.
pub fn copy_source() -> Source {
    own("copy", include_str!("../cuda/copy.cu"))
}

/// Which bits of each random word are kept, and which are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    keep: u32,
    set: u32,
}

impl Pattern {
    /// Any bits.
    pub const CODES: Pattern = Pattern { keep: !0, set: 0 };
    /// f16 of either sign below 2^-7: weights.
    const SMALL_HALVES: Pattern = Pattern { keep: 0x9fff_9fff, set: 0 };
    /// f16 of either sign below 2: activations, keys and values.
    pub const HALVES: Pattern = Pattern { keep: 0xbfff_bfff, set: 0 };
    /// E4M3 of either sign below 2.
    pub const FP8: Pattern = Pattern { keep: 0xbfbf_bfbf, set: 0 };
    /// f32 from 2^-10 to 2^-9: scales.
    pub const SCALES: Pattern = Pattern { keep: 0x007f_ffff, set: 0x3a80_0000 };
    /// bf16 of either sign from 1 to 2: activations.
    pub const BF16: Pattern = Pattern { keep: 0x807f_807f, set: 0x3f80_3f80 };
    /// bf16 of either sign from 2^-7 to 2^-6: weights.
    const SMALL_BF16: Pattern = Pattern { keep: 0x807f_807f, set: 0x3c00_3c00 };
    /// f32 from 1 to 2: weights of norms, and rows.
    pub const AROUND_ONE: Pattern = Pattern { keep: 0x007f_ffff, set: 0x3f80_0000 };
    /// f16 from 2^-10 to 2^-9: scales of groups.
    const HALF_SCALES: Pattern = Pattern { keep: 0x03ff_03ff, set: 0x1400_1400 };
    /// Four bits to a byte: zero points.
    const ZERO_POINTS: Pattern = Pattern { keep: 0x0f0f_0f0f, set: 0 };
    /// Odd bytes: int8 without −128.
    const INT8: Pattern = Pattern { keep: !0, set: 0x0101_0101 };

    /// Valid values of one array of a weight; of f32 are norms'.
    fn of(format: Format, component: Component, dtype: ElementType) -> Pattern {
        match (component, format) {
            (Component::Values, Format::F32) => Pattern::AROUND_ONE,
            (Component::Values, Format::F16) => Pattern::SMALL_HALVES,
            (Component::Values, Format::Bf16) => Pattern::SMALL_BF16,
            (Component::Values, Format::Fp8E4m3(_)) => Pattern::FP8,
            (Component::Values, Format::Int8 { .. }) => Pattern::INT8,
            (Component::ZeroPoints, _) => Pattern::ZERO_POINTS,
            (Component::Values | Component::AbsmaxCodes, _) => Pattern::CODES,
            _ if dtype == ElementType::F16 => Pattern::HALF_SCALES,
            _ => Pattern::SCALES,
        }
    }
}

/// A weight in packed form, several times over.
pub struct Weight<M> {
    memory: M,
    parts: Vec<Range>,
    stride: u64,
    /// How many there are.
    pub copies: usize,
    /// Bytes of one.
    pub bytes: u64,
    has_gap: bool,
}

impl<M> Weight<M> {
    /// The arrays of one of the copies, as kernels take them.
    pub fn args(&self, copy: usize) -> Vec<Arg<'_, M>> {
        let base = self.stride * (copy % self.copies) as u64;
        let arg = |part: &Range| Arg::Memory {
            memory: &self.memory,
            offset: base + part.offset,
            bytes: part.bytes,
        };
        let mut args: Vec<Arg<'_, M>> = self.parts.iter().map(arg).collect();
        args.extend(self.has_gap.then_some(Arg::Null));
        args
    }
}

/// The whole of a piece of memory.
pub struct Piece<M> {
    memory: M,
    bytes: u64,
}

impl<M> Piece<M> {
    /// All of it.
    pub fn arg(&self) -> Arg<'_, M> {
        self.part(0, self.bytes)
    }

    /// Some of it.
    pub fn part(&self, offset: u64, bytes: u64) -> Arg<'_, M> {
        Arg::Memory { memory: &self.memory, offset, bytes }
    }
}

/// Fills memory of one GPU.
pub struct Filler<K>(Ready<K>);

impl<D: Driver> Gpu<'_, D> {
    /// Readies the kernel that fills memory.
    pub fn filler(&self) -> Result<Filler<D::Kernel>, GpuError> {
        Ok(Filler(self.ready(&fill_source(), self.stream_grid(u64::MAX))?))
    }

    /// A launch over so many words or chunks, by as many blocks as keep every multiprocessor busy.
    pub fn stream_grid(&self, items: u64) -> Grid {
        let blocks = u64::from(self.target.units * 8).min(items.div_ceil(THREADS.into())) as u32;
        Grid { blocks: [blocks.max(1), 1, 1], threads: THREADS, shared_bytes: 0 }
    }

    /// Fills a range with numbers of a pattern, others for each seed.
    pub fn fill_range(
        &self,
        filler: &Filler<D::Kernel>,
        (memory, range): (&D::Memory, Range),
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
            self.driver.launch(&filler.0.kernel, self.stream_grid(bytes / 4), &args)?;
            done += bytes;
        }
        Ok(())
    }

    /// Fills the arrays of the weight of a number with valid values.
    pub fn fill_weight(
        &self,
        filler: &Filler<D::Kernel>,
        memory: &D::Memory,
        (format, number): (Format, u64),
        arrays: impl Iterator<Item = (Component, ElementType, Range)>,
    ) -> Result<(), DriverError> {
        for ((component, dtype, range), array) in arrays.zip(0..) {
            let seed = number * SEEDS_PER_WEIGHT + array * SEEDS_PER_ARRAY;
            self.fill_range(filler, (memory, range), Pattern::of(format, component, dtype), seed)?;
        }
        Ok(())
    }

    /// So many bytes of a pattern.
    pub fn filled(
        &self,
        filler: &Filler<D::Kernel>,
        (what, bytes): (&'static str, u64),
        pattern: Pattern,
    ) -> Result<Piece<D::Memory>, GpuError> {
        let piece = self.zeros(what, bytes)?;
        self.fill_range(filler, (&piece.memory, Range { offset: 0, bytes }), pattern, bytes)?;
        Ok(piece)
    }

    /// So many zero bytes.
    pub fn zeros(&self, what: &'static str, bytes: u64) -> Result<Piece<D::Memory>, GpuError> {
        let memory = self.driver.allocate(what, bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT))?;
        Ok(Piece { memory, bytes })
    }

    /// These integers.
    pub fn integers(&self, what: &'static str, values: &[i32]) -> Result<Piece<D::Memory>, GpuError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let piece = self.zeros(what, bytes.len() as u64)?;
        self.driver.upload(&piece.memory, 0, &bytes)?;
        Ok(piece)
    }

    /// `copies` weights of `(rows, cols)`, all different.
    pub fn weight(
        &self,
        filler: &Filler<D::Kernel>,
        (format, layout): (Format, Layout),
        (rows, cols): (u32, u32),
        copies: usize,
    ) -> Result<Weight<D::Memory>, GpuError> {
        let specs = layout.components(format, rows.into(), cols.into(), 0);
        let mut stride = 0;
        let parts: Vec<Range> = specs
            .iter()
            .map(|spec| {
                let range = Range { offset: stride, bytes: spec.bytes() };
                stride += range.bytes.next_multiple_of(ALIGNMENT);
                range
            })
            .collect();
        let memory = self.driver.allocate("weights", stride * copies as u64)?;
        for copy in 0..copies as u64 {
            let at = |part: &Range| Range { offset: copy * stride + part.offset, ..*part };
            let arrays = specs.iter().zip(&parts).map(|(spec, part)| (spec.component, spec.dtype, at(part)));
            self.fill_weight(filler, &memory, (format, copy), arrays)?;
        }
        let bytes = specs.iter().map(|spec| spec.bytes()).sum();
        let has_gap = matches!(format, Format::Int4 { zero_point: false, .. });
        Ok(Weight { memory, parts, stride, copies, bytes, has_gap })
    }
}
