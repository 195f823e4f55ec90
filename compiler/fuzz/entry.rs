//! The program's entry, which hands over to libFuzzer. Its own lies in a library, as does one of MLIR's, and the linker
//! would take that.

use std::ffi::{c_char, c_int};

unsafe extern "C" {
    fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int;
    fn LLVMFuzzerRunDriver(
        count: *mut c_int,
        arguments: *mut *mut *mut c_char,
        target: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

/// `count` and `arguments` are those of C's `main`.
#[unsafe(no_mangle)]
extern "C" fn main(mut count: c_int, mut arguments: *mut *mut c_char) -> c_int {
    // SAFETY: the driver takes what C's `main` is given; `fuzz_target!` defines the target with this very type.
    unsafe { LLVMFuzzerRunDriver(&mut count, &mut arguments, LLVMFuzzerTestOneInput) }
}
