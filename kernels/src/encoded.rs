//! Encoded tensors in memory: a format, a layout and one byte array for each component.

use samp_abi::{Component, Format, Layout};

/// Bytes that start on a 64-byte boundary, so that any element type can be read in place.
#[derive(Clone, Debug, Default)]
pub struct AlignedBytes {
    chunks: Vec<Chunk>,
    len: usize,
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Chunk([u8; 64]);

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> AlignedBytes {
        AlignedBytes { chunks: vec![Chunk([0; 64]); len.div_ceil(64)], len }
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> AlignedBytes {
        let mut aligned = AlignedBytes::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.chunks)[..self.len]
    }
}

impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.chunks)[..self.len]
    }
}

/// An encoded `[rows, cols]` tensor that owns its bytes.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Number format.
    pub format: Format,
    /// Order of the bytes.
    pub layout: Layout,
    /// Rows (output channels).
    pub rows: usize,
    /// Columns (input channels).
    pub cols: usize,
    /// The arrays, in the order of [`Layout::components`].
    pub parts: Vec<(Component, AlignedBytes)>,
}

impl Encoded {
    /// A tensor of zero bytes with every array that the format and layout call for.
    pub fn zeroed(format: Format, layout: Layout, rows: usize, cols: usize, outliers: usize) -> Encoded {
        let specs = layout.components(format, rows as u64, cols as u64, outliers as u64);
        let parts =
            specs.iter().map(|s| (s.component, AlignedBytes::zeroed(s.bytes() as usize))).collect();
        Encoded { format, layout, rows, cols, parts }
    }

    /// A borrowed view.
    pub fn view(&self) -> EncodedRef<'_> {
        let mut view = EncodedRef::new(self.format, self.layout, self.rows, self.cols);
        for (component, bytes) in &self.parts {
            view.set(*component, bytes);
        }
        view
    }

    /// The bytes of one array, to be filled. Panics if the format has no such array.
    pub fn part_mut(&mut self, component: Component) -> &mut [u8] {
        let part = self.parts.iter_mut().find(|(c, _)| *c == component);
        &mut part.unwrap_or_else(|| panic!("{} has no {}", self.format, component.name())).1
    }

    /// Number of outlier columns; 0 for formats without.
    pub fn outliers(&self) -> usize {
        self.view().part(Component::OutlierColumns).len() / 4
    }
}

/// A borrowed encoded tensor. Every array starts on a boundary of its element size.
#[derive(Clone, Copy, Debug)]
pub struct EncodedRef<'a> {
    /// Number format.
    pub format: Format,
    /// Order of the bytes.
    pub layout: Layout,
    /// Rows (output channels).
    pub rows: usize,
    /// Columns (input channels).
    pub cols: usize,
    parts: [&'a [u8]; 8],
}

impl<'a> EncodedRef<'a> {
    /// A view without arrays; add them with [`EncodedRef::set`].
    pub fn new(format: Format, layout: Layout, rows: usize, cols: usize) -> EncodedRef<'a> {
        EncodedRef { format, layout, rows, cols, parts: [&[]; 8] }
    }

    /// Sets the bytes of one array.
    pub fn set(&mut self, component: Component, bytes: &'a [u8]) {
        self.parts[component as usize] = bytes;
    }

    /// The bytes of one array; empty if the format has no such array.
    pub fn part(&self, component: Component) -> &'a [u8] {
        self.parts[component as usize]
    }

    /// One array as elements of `T`; empty if the format has no such array.
    pub fn part_as<T: bytemuck::Pod>(&self, component: Component) -> &'a [T] {
        bytemuck::cast_slice(self.part(component))
    }
}
