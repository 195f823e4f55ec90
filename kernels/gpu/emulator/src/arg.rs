//! Arguments of a launch.

use std::{ffi::c_void, marker::PhantomData};

use bytemuck::Pod;

use crate::ffi::Region;

/// The type of a kernel's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A pointer to global memory.
    Pointer,
    /// A 32-bit integer.
    Integer,
    /// A 32-bit float.
    Float,
}

impl Parameter {
    /// The type that the C++ side numbers so.
    pub(crate) fn from_number(number: u8) -> Parameter {
        use Parameter::*;
        [Pointer, Integer, Float][number as usize]
    }
}

#[derive(Clone, Copy)]
enum Value {
    Pointer(*const u8),
    Integer(i32),
    Float(f32),
}

/// One argument of a launch. A kernel may touch only memory that is among its arguments.
#[derive(Clone, Copy)]
pub struct Arg<'a> {
    value: Value,
    region: Option<Region>,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Arg<'a> {
    /// Memory that the kernel reads.
    pub fn read<T: Pod>(values: &'a [T]) -> Arg<'a> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        // SAFETY: the argument borrows the values, and the kernel must not write to them.
        unsafe { Arg::memory(bytes.as_ptr(), bytes.len(), false) }
    }

    /// Memory that the kernel reads and no launch writes, weights for one: it may be read before `grid_wait`.
    pub fn constant<T: Pod>(values: &'a [T]) -> Arg<'a> {
        let read = Arg::read(values);
        Arg { region: read.region.map(|region| Region { constant: 1, ..region }), ..read }
    }

    /// Memory that the kernel reads and writes.
    pub fn write<T: Pod>(values: &'a mut [T]) -> Arg<'a> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        // SAFETY: the argument borrows the values exclusively.
        unsafe { Arg::memory(bytes.as_ptr(), bytes.len(), true) }
    }

    /// Memory by address.
    ///
    /// # Safety
    /// As long as the argument is used, it must be valid for reading, or for reading and writing if `writable`.
    pub unsafe fn memory(start: *const u8, bytes: usize, writable: bool) -> Arg<'a> {
        let region = Region { start, bytes: bytes as u64, writable: writable.into(), constant: 0 };
        Arg { value: Value::Pointer(start), region: Some(region), memory: PhantomData }
    }

    /// No memory, where the kernel does without.
    pub fn null() -> Arg<'a> {
        Arg { value: Value::Pointer(std::ptr::null()), region: None, memory: PhantomData }
    }

    pub(crate) fn parameter(&self) -> Parameter {
        match self.value {
            Value::Pointer(_) => Parameter::Pointer,
            Value::Integer(_) => Parameter::Integer,
            Value::Float(_) => Parameter::Float,
        }
    }

    /// The memory it gives the kernel.
    pub(crate) fn region(&self) -> Option<Region> {
        self.region
    }

    /// Where its value lies, as `cuLaunchKernel` wants to know.
    pub(crate) fn address(&mut self) -> *mut c_void {
        match &mut self.value {
            Value::Pointer(pointer) => (&raw mut *pointer).cast(),
            Value::Integer(integer) => (&raw mut *integer).cast(),
            Value::Float(float) => (&raw mut *float).cast(),
        }
    }
}

impl From<i32> for Arg<'_> {
    fn from(value: i32) -> Self {
        Arg { value: Value::Integer(value), region: None, memory: PhantomData }
    }
}

impl From<f32> for Arg<'_> {
    fn from(value: f32) -> Self {
        Arg { value: Value::Float(value), region: None, memory: PhantomData }
    }
}
