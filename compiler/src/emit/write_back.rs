//! Writes weights to the disk while others are still packed: what waits in the system's memory for the last tensor would all be
//! written after it, when nothing else is left to do.

use std::{
    fs::File,
    panic::resume_unwind,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

use super::error::{During, EmitError};

/// Bytes that are worth a write of their own.
const ENOUGH: u64 = 64 << 20;

/// The files that are written, and what of them may still be in memory only.
pub(super) struct WriteBack<'a> {
    files: &'a [(PathBuf, File)],
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: u64,
    ended: bool,
}

impl WriteBack<'_> {
    /// Of files that nothing was written to yet.
    pub(super) fn new(files: &[(PathBuf, File)]) -> WriteBack<'_> {
        WriteBack { files, state: Mutex::default(), changed: Condvar::new() }
    }

    /// That so many bytes more were written.
    pub(super) fn wrote(&self, bytes: u64) {
        let mut state = self.state();
        state.waiting += bytes;
        if state.waiting >= ENOUGH {
            self.changed.notify_one();
        }
    }

    /// Writes on a thread of its own while `pack` runs, whose end it does not outlive, not even where that is a panic. If the
    /// system refuses a thread, all is written at the end.
    pub(super) fn during<T>(&self, pack: impl FnOnce() -> Result<T, EmitError>) -> Result<T, EmitError> {
        thread::scope(|scope| {
            let writing = thread::Builder::new().spawn_scoped(scope, || self.run());
            let packed = {
                let _end = End(self);
                pack()
            };
            let written = writing.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
            written.unwrap_or_else(|panic| resume_unwind(panic)).and(packed)
        })
    }

    /// That no more will be.
    fn end(&self) {
        self.state().ended = true;
        self.changed.notify_one();
    }

    /// Writes out whatever has come together, until [`WriteBack::end`]. An error is given here and nowhere else: the system
    /// tells a file's failed write once.
    fn run(&self) -> Result<(), EmitError> {
        loop {
            let state = self.state();
            let idle = |state: &mut State| !state.ended && state.waiting < ENOUGH;
            let mut state = self.changed.wait_while(state, idle).unwrap_or_else(|p| p.into_inner());
            if state.ended {
                return Ok(());
            }
            state.waiting = 0;
            drop(state);
            self.files.iter().try_for_each(|(path, file)| file.sync_data().during("syncing", path))?;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Ends it when it is dropped.
struct End<'a>(&'a WriteBack<'a>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn it_ends_whether_or_not_there_was_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let files = [(path.clone(), File::create(&path).unwrap())];
        for bytes in [0, 1, ENOUGH, 3 * ENOUGH] {
            let write_back = WriteBack::new(&files);
            let packed = write_back.during(|| {
                write_back.wrote(bytes);
                Ok(bytes)
            });
            assert_eq!(packed.unwrap(), bytes);
        }
    }

    #[test]
    fn a_panic_of_what_packs_ends_it_too() {
        let write_back = WriteBack::new(&[]);
        let packed =
            catch_unwind(AssertUnwindSafe(|| write_back.during::<()>(|| panic!("a tensor without bytes"))));
        assert_eq!(packed.unwrap_err().downcast_ref(), Some(&"a tensor without bytes"));
    }

    #[test]
    fn what_the_system_refuses_names_the_file() {
        // A directory can be synced, a socket cannot.
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let files = [(PathBuf::from("weights"), File::from(std::os::fd::OwnedFd::from(socket)))];
        let write_back = WriteBack::new(&files);
        write_back.wrote(ENOUGH);
        let refusal = write_back.run().unwrap_err().to_string();
        assert!(refusal.contains("syncing") && refusal.contains("weights"), "{refusal}");
    }
}
