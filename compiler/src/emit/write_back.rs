//! Writes weights to the disk while others are still packed: what waits in the system's memory for the last tensor would all be
//! written after it, when nothing else is left to do.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard},
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

    /// That no more will be.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_one();
    }

    /// Writes out whatever has come together, until [`WriteBack::end`]. An error is given here and nowhere else: the system
    /// tells a file's failed write once.
    pub(super) fn run(&self) -> Result<(), EmitError> {
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_ends_whether_or_not_there_was_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let files = [(path.clone(), File::create(&path).unwrap())];
        for bytes in [0, 1, ENOUGH, 3 * ENOUGH] {
            let write_back = WriteBack::new(&files);
            thread::scope(|scope| {
                let running = scope.spawn(|| write_back.run());
                write_back.wrote(bytes);
                write_back.end();
                running.join().unwrap().unwrap();
            });
        }
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
