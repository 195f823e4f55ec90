//! Memory that the system refuses: the program says so and ends as for anything else that the machine lacks, where the
//! standard library would abort.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{self, Cursor, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use samp_abi::Cause;
use samp_runtime::error_code::HOST_MEMORY;

/// Whether stdout gets a JSON document.
static JSON: AtomicBool = AtomicBool::new(false);

/// From now on a refusal is said on stdout, too, as the JSON document of a failure.
pub fn refuse_in_json() {
    // It takes its memory when it is first used.
    let _ = io::stdout();
    JSON.store(true, Ordering::Relaxed);
}

/// The system's memory, whose refusal ends the program.
pub struct Memory;

// SAFETY: every block is the system allocator's, asked for and given back with what the caller promises it; a refusal does
// not return, and neither allocates nor unwinds.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the same.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn given(block: *mut u8, bytes: usize) -> *mut u8 {
    if block.is_null() { refuse(bytes) } else { block }
}

#[cold]
fn refuse(bytes: usize) -> ! {
    const HINT: &str =
        "free memory, or allow more of it (ulimit -v); a compile goes on from what is finished";
    let mut text = [0; 512];
    let said = |text: &mut [u8], json: bool| {
        let mut writer = Cursor::new(text);
        // What does not fit is cut.
        let _ = if json {
            writeln!(
                writer,
                "{{\"error\": {{\"code\": \"{HOST_MEMORY}\", \"message\": \"this machine refuses {bytes} bytes of memory\", \
                 \"location\": null, \"notes\": [], \"hint\": \"{HINT}\"}}}}"
            )
        } else {
            writeln!(
                writer,
                "error[{HOST_MEMORY}]: this machine refuses {bytes} bytes of memory\n  hint: {HINT}"
            )
        };
        writer.position() as usize
    };
    // Whether anyone reads it or not, the exit code is left.
    let length = said(&mut text, false);
    let _ = rustix::io::write(io::stderr(), &text[..length]);
    if JSON.load(Ordering::Relaxed) {
        let length = said(&mut text, true);
        let _ = rustix::io::write(io::stdout(), &text[..length]);
    }
    signal_hook::low_level::exit(Cause::Environment.exit_code().into())
}
