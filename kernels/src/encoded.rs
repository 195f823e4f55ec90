//! Encoded tensors in memory: a format, a layout and one byte array for each component.

use std::borrow::Cow;

use samp_abi::{Component, Format, Layout, TILE_ROWS};

use crate::layout::fragments;

const TILE: usize = TILE_ROWS as usize;

/// Bytes that start on a 64-byte boundary, so that any element type can be read in place.
#[derive(Debug)]
pub struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

/// The boundary.
const ALIGNMENT: usize = 64;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Chunk([u8; ALIGNMENT]);

impl AlignedBytes {
    /// `len` zero bytes. Where many are wanted the system gives pages that are zero already: nobody writes them before the
    /// threads that fill them.
    pub fn zeroed(len: usize) -> AlignedBytes {
        let bytes = vec![0; len + ALIGNMENT - 1];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        AlignedBytes { bytes, start, len }
    }
}

impl Default for AlignedBytes {
    fn default() -> AlignedBytes {
        AlignedBytes::zeroed(0)
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> AlignedBytes {
        let mut aligned = AlignedBytes::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> AlignedBytes {
        AlignedBytes::from(&**self)
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

/// An encoded `[rows, cols]` tensor that owns its bytes.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// How the values are encoded.
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
        let parts = specs.iter().map(|s| (s.component, AlignedBytes::zeroed(s.bytes() as usize))).collect();
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

    /// The bytes of several arrays, to be filled; empty for an array that the format does not have.
    pub fn parts_mut<const N: usize>(&mut self, wanted: [Component; N]) -> [&mut [u8]; N] {
        // Empty, yet on a boundary of any element.
        let mut found = wanted.map(|_| bytemuck::cast_slice_mut::<Chunk, u8>(&mut []));
        for (component, bytes) in &mut self.parts {
            if let Some(i) = wanted.iter().position(|c| c == component) {
                found[i] = bytes;
            }
        }
        found
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
    /// How the values are encoded.
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

    /// The arrays that there are.
    pub fn parts(&self) -> impl Iterator<Item = (Component, &'a [u8])> + '_ {
        let all = Component::ALL.into_iter().map(|component| (component, self.part(component)));
        all.filter(|(_, bytes)| !bytes.is_empty())
    }

    /// One array as elements of `T`; empty if the format has no such array.
    pub fn part_as<T: bytemuck::Pod>(&self, component: Component) -> &'a [T] {
        // An empty array need not be aligned.
        let bytes = self.part(component);
        if bytes.is_empty() { &[] } else { bytemuck::cast_slice(bytes) }
    }

    /// The `width` elements that belong to `row` in an array that the layout tiles (see [`Layout::Rows16`]).
    /// Panics if the array has no such row.
    pub(crate) fn lane<T: bytemuck::Pod>(
        &self,
        component: Component,
        row: usize,
        width: usize,
    ) -> Lane<'a, T> {
        let all = self.part_as::<T>(component);
        match self.layout {
            Layout::RowMajor => Lane { items: Cow::Borrowed(&all[row * width..][..width]), step: 1 },
            Layout::MmaFragments if component == Component::Values => {
                let mut items = vec![T::zeroed(); width];
                let bytes = bytemuck::cast_slice_mut(&mut items);
                fragments::read_row(self.format, self.cols, self.part(component), row, bytes);
                Lane { items: Cow::Owned(items), step: 1 }
            }
            Layout::Rows16 | Layout::MmaFragments => {
                let tile = &all[row / TILE * TILE * width..][..TILE * width];
                Lane { items: Cow::Borrowed(&tile[(row % TILE).min(tile.len())..]), step: TILE }
            }
        }
    }

    /// Checks that the columns fit the format and that every array has the size and alignment that format, layout
    /// and shape call for, and that outlier columns ascend within the tensor. Then decoding any row does not panic.
    pub fn check(&self) -> Result<(), ComponentError> {
        let multiple = self.format.column_multiple() as usize;
        if !self.cols.is_multiple_of(multiple) {
            return Err(ComponentError::Columns { format: self.format, multiple, cols: self.cols });
        }
        if !self.layout.holds(self.format, self.cols as u64) {
            return Err(ComponentError::Layout { layout: self.layout, format: self.format, cols: self.cols });
        }
        let outliers = self.part(Component::OutlierColumns).len() as u64 / 4;
        let specs = self.layout.components(self.format, self.rows as u64, self.cols as u64, outliers);
        for component in Component::ALL {
            let spec = specs.iter().find(|spec| spec.component == component);
            let expected = spec.map_or(0, |spec| spec.bytes());
            let bytes = self.part(component);
            if bytes.len() as u64 != expected {
                return Err(ComponentError::Size { component, expected, found: bytes.len() });
            }
            let alignment = spec.map_or(1, |spec| spec.dtype.bytes() as usize);
            if !bytes.is_empty() && !(bytes.as_ptr() as usize).is_multiple_of(alignment) {
                return Err(ComponentError::Alignment { component, alignment });
            }
        }
        match misplaced_column(self.part_as(Component::OutlierColumns), self.cols) {
            Some(column) => Err(ComponentError::OutlierColumn { column, cols: self.cols }),
            None => Ok(()),
        }
    }
}

/// The first outlier column that does not ascend or is not a column of the tensor.
pub(crate) fn misplaced_column(outliers: &[u32], cols: usize) -> Option<u32> {
    let descends = outliers.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
    descends.or_else(|| outliers.last().copied().filter(|&last| last as usize >= cols))
}

/// Why the arrays of an encoded tensor do not make a tensor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ComponentError {
    /// The width does not fit the format's blocks.
    #[error("{format} needs a multiple of {multiple} columns, found {cols}")]
    Columns {
        /// The format of the tensor.
        format: Format,
        /// What it needs.
        multiple: usize,
        /// What was found.
        cols: usize,
    },
    /// The layout cannot hold such a tensor.
    #[error("{format} with {cols} columns cannot be stored as {layout}")]
    Layout {
        /// The layout asked for.
        layout: Layout,
        /// The format of the tensor.
        format: Format,
        /// Columns of the tensor.
        cols: usize,
    },
    /// An array has the wrong size; 0 is expected of one that the format does not have.
    #[error("{} should take {expected} bytes, found {found}", component.name())]
    Size {
        /// The array at fault.
        component: Component,
        /// Bytes that format, layout and shape call for.
        expected: u64,
        /// Bytes that the array has.
        found: usize,
    },
    /// An array does not start on a boundary of its element size.
    #[error("{} should start on a boundary of {alignment} bytes", component.name())]
    Alignment {
        /// The array at fault.
        component: Component,
        /// Bytes of an element.
        alignment: usize,
    },
    /// Outlier columns do not ascend, or lie outside the tensor.
    #[error("outlier columns should ascend and be less than {cols}; column {column} does not")]
    OutlierColumn {
        /// The first one at fault.
        column: u32,
        /// Columns of the tensor.
        cols: usize,
    },
}

/// The elements of one row in an array of any layout.
pub(crate) struct Lane<'a, T: Copy> {
    items: Cow<'a, [T]>,
    step: usize,
}

impl<T: Copy> Lane<'_, T> {
    /// Element `index`. Panics past the end.
    pub fn get(&self, index: usize) -> T {
        self.items[index * self.step]
    }

    /// Writes `value` of each element into `out`, in order.
    pub fn map(self, out: &mut [f32], mut value: impl FnMut(T) -> f32) {
        // A constant step lets the loops vectorise.
        if self.step == 1 {
            out.iter_mut().zip(&*self.items).for_each(|(x, &item)| *x = value(item));
        } else {
            out.iter_mut().zip(self.items.iter().step_by(TILE)).for_each(|(x, &item)| *x = value(item));
        }
    }

    /// Writes the two values of each element into `out`, in order.
    pub fn map_pairs(self, out: &mut [f32], values: impl Fn(T) -> [f32; 2]) {
        let (pairs, _) = out.as_chunks_mut::<2>();
        if self.step == 1 {
            pairs.iter_mut().zip(&*self.items).for_each(|(pair, &item)| *pair = values(item));
        } else {
            pairs
                .iter_mut()
                .zip(self.items.iter().step_by(TILE))
                .for_each(|(pair, &item)| *pair = values(item));
        }
    }
}
