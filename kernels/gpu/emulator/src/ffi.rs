//! The C++ runtime as Rust sees it: mirrors of the structures in `cpp/api.h` and `cpp/machine.h`.

use std::ffi::{c_char, c_void};

/// `samp_emu::Api`, only ever passed on.
#[repr(C)]
pub struct Api {
    opaque: [u8; 0],
}

/// What a compiled kernel says of itself: `samp_emu::Entry` of the C++ side.
#[repr(C)]
pub struct Entry {
    pub run: extern "C" fn(*mut *mut c_void),
    pub parameters: *const u8,
    pub parameter_count: u64,
    pub max_threads: u64,
    pub image: *const c_void,
    pub image_end: *const c_void,
}

/// Memory that a launch may touch: `samp_emu::Region` of the C++ side.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Region {
    pub start: *const u8,
    pub bytes: u64,
    pub writable: u64,
    pub constant: u64,
}

/// All that a launch is told: `samp_emu::Launch` of the C++ side.
#[repr(C)]
pub struct Launch {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared_bytes: u64,
    pub seed: u64,
    pub async_mode: u32,
    pub checked: u32,
    pub overlaps: u32,
    pub parameters: *mut *mut c_void,
    pub regions: *const Region,
    pub region_count: u64,
    pub entry: *const Entry,
}

/// What the first fault left: `samp_emu::FaultRecord` of the C++ side.
#[repr(C)]
pub struct FaultRecord {
    pub kind: u32,
    pub block: [u32; 3],
    pub thread: i32,
    pub line: i32,
    pub instruction: u64,
    pub file: [c_char; 64],
    pub what: [c_char; 320],
}

impl FaultRecord {
    pub fn empty() -> FaultRecord {
        FaultRecord {
            kind: 0,
            block: [0; 3],
            thread: -1,
            line: 0,
            instruction: 0,
            file: [0; 64],
            what: [0; 320],
        }
    }
}

// SAFETY: the signatures are those of `cpp/launch.cpp`. `samp_emu_api` and `samp_emu_allocate` may be called anywhere.
unsafe extern "C" {
    pub safe fn samp_emu_api() -> *const Api;
    pub safe fn samp_emu_allocate(bytes: u64) -> *mut u8;
    pub fn samp_emu_release(start: *mut u8, bytes: u64);
    pub fn samp_emu_launch(request: *const Launch, stats: *mut crate::Stats, fault: *mut FaultRecord)
    -> bool;
}
