//! What callers hand in, checked before it is used.

use std::{
    ffi::{CStr, c_char},
    mem::{MaybeUninit, size_of},
    slice,
};

use crate::status::Failure;

/// The value behind a pointer that callers got from this library.
///
/// # Safety
///
/// A pointer that is not null points to a live value, which nothing changes meanwhile.
pub(crate) unsafe fn value<'a, T>(name: &str, pointer: *const T) -> Result<&'a T, Failure> {
    // SAFETY: that is what this function asks for.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Where a result goes.
///
/// # Safety
///
/// A pointer that is not null points to memory for a `T` that this call alone uses.
pub(crate) unsafe fn place<'a, T>(name: &str, pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, Failure> {
    // SAFETY: that is what this function asks for; nothing is said to be in it.
    unsafe { pointer.cast::<MaybeUninit<T>>().as_mut() }.ok_or_else(|| null(name))
}

/// A text that ends in NUL.
///
/// # Safety
///
/// A pointer that is not null points to bytes that end in a zero, which nothing changes meanwhile.
pub(crate) unsafe fn text<'a>(name: &str, pointer: *const c_char) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: it is not null, and the rest is what this function asks for.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|error| {
        Failure::argument(format!("`{name}` is not UTF-8 from byte {} on; convert it", error.valid_up_to()))
    })
}

/// A text that may be left out by NULL.
///
/// # Safety
///
/// As of [`text`].
pub(crate) unsafe fn optional_text<'a>(
    name: &str,
    pointer: *const c_char,
) -> Result<Option<&'a str>, Failure> {
    // SAFETY: that is what this function asks for, too.
    (!pointer.is_null()).then(|| unsafe { text(name, pointer) }).transpose()
}

/// So many elements; NULL does for none.
///
/// # Safety
///
/// A pointer that is not null points to `count` elements, which nothing changes meanwhile.
pub(crate) unsafe fn elements<'a, T>(
    name: &str,
    pointer: *const T,
    count: usize,
) -> Result<&'a [T], Failure> {
    match (pointer.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null(name)),
        // SAFETY: it is not null, and the rest is what this function asks for.
        (false, _) => Ok(unsafe { slice::from_raw_parts(pointer, count) }),
    }
}

/// A structure that begins with its size in bytes, as its caller knows it. What the caller does not know of is zero; what
/// this library does not know of has to be.
///
/// # Safety
///
/// `T` is plain data, for which all zeroes are a value, and begins with a `usize`. A pointer that is not null points to one,
/// and to as many bytes as that says.
pub(crate) unsafe fn sized<T: Copy>(name: &str, pointer: *const T) -> Result<T, Failure> {
    // SAFETY: all zeroes are a value of a `T`.
    let mut found: T = unsafe { MaybeUninit::zeroed().assume_init() };
    if pointer.is_null() {
        return Ok(found);
    }
    // SAFETY: it begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    if !(size_of::<usize>()..=1 << 16).contains(&size) {
        let message =
            format!("`{name}.size` is {size}; set it to sizeof of the structure, and all else to 0 first");
        return Err(Failure::argument(message));
    }
    // SAFETY: it has as many bytes as it says.
    let bytes = unsafe { slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let (known, unknown) = bytes.split_at(size.min(size_of::<T>()));
    if unknown.iter().any(|byte| *byte != 0) {
        let message =
            format!("`{name}` has fields that this version of samp does not know; use a newer library");
        return Err(Failure::argument(message));
    }
    // SAFETY: both have so many bytes, and any are a value of plain data.
    unsafe { known.as_ptr().copy_to_nonoverlapping((&raw mut found).cast(), known.len()) };
    Ok(found)
}

fn null(name: &str) -> Failure {
    Failure::argument(format!("`{name}` is NULL"))
}
