//! Memory of the emulated device.

use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use bytemuck::Pod;

use crate::ffi;

/// `len` values that end, up to 15 bytes, where an unmapped page begins and start no further behind another. An overrun
/// of more ends the process in a plain build and is a fault in a checked one.
pub struct Buffer<T: Pod> {
    start: NonNull<T>,
    len: usize,
}

impl<T: Pod> Buffer<T> {
    /// Values whose bytes are all 0xff: NaN for floats, far out of range for indices.
    ///
    /// # Panics
    /// If there is no memory left, or `T` needs more than 16-byte alignment.
    pub fn poisoned(len: usize) -> Buffer<T> {
        assert!(align_of::<T>() <= 16, "buffers are aligned to 16 bytes");
        let bytes = len.checked_mul(size_of::<T>()).expect("the size of a buffer overflows");
        let start = NonNull::new(ffi::samp_emu_allocate(bytes as u64)).expect("no memory for a buffer");
        // SAFETY: so many bytes were just mapped for reading and writing.
        unsafe { start.write_bytes(0xff, bytes) };
        Buffer { start: start.cast(), len }
    }

    fn bytes(&self) -> u64 {
        (self.len * size_of::<T>()) as u64
    }
}

impl<T: Pod> From<&[T]> for Buffer<T> {
    fn from(values: &[T]) -> Buffer<T> {
        let mut buffer = Buffer::poisoned(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl<T: Pod> FromIterator<T> for Buffer<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Buffer<T> {
        Buffer::from(&values.into_iter().collect::<Vec<T>>()[..])
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the buffer owns so many initialised values; any bytes make a `Pod`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the memory came from `samp_emu_allocate` with the same size and is not used again.
        unsafe { ffi::samp_emu_release(self.start.as_ptr().cast(), self.bytes()) };
    }
}

// SAFETY: a buffer owns its memory as a `Vec` does.
unsafe impl<T: Pod + Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Pod + Sync> Sync for Buffer<T> {}
