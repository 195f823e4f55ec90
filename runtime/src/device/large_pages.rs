//! The weights that linears read, moved from the small pages of their files to large ones while a plan is at work.
//!
//! The processor looks up the address of each page that it reads, and a token reads every weight: one of 2 MiB takes as many
//! look-ups as one of 4 KiB. The copy is made beside the work, once a plan has shown that it is there for more than a probe;
//! until then, and wherever there is no room for it, the file is read.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use memmap2::{Advice, MmapMut, MmapOptions};
use samp_abi::plan::{Op, Program, TensorId};
use samp_kernels::encoded::EncodedRef;

use super::executable::Weights;
use crate::{
    outside_file::read_regular_text,
    proc::{available_memory, file_bytes_in_large_pages},
};

/// The size of a large page on the processors that samp has kernels for.
const LARGE_PAGE: usize = 2 << 20;
/// Weights are moved in pieces of at least so many bytes: each wastes a part of its last page.
const PIECE: usize = 32 * LARGE_PAGE;
/// The first batch may be the golden probe and the second a prompt; the copy begins after these.
const BATCHES_BEFORE: u32 = 2;
/// Where a part of a tensor begins, as in a file.
const ALIGNMENT: usize = 64;

/// Weights that lie in large pages as far as they have been moved.
pub(super) struct LargePageWeights<W> {
    moved: Arc<Moved<W>>,
    /// What is to be moved, in the order of its use.
    linears: Vec<TensorId>,
    batches: AtomicU32,
}

struct Moved<W> {
    source: W,
    /// By tensor.
    copies: Vec<OnceLock<Copy>>,
}

/// A tensor's parts, one after another from `start` on.
struct Copy {
    piece: Arc<Piece>,
    start: usize,
}

impl<W: Weights + 'static> LargePageWeights<W> {
    /// Weights `source`, of which those that the linears of `program` read are moved once it is at work.
    pub fn new(source: W, program: &Program) -> LargePageWeights<W> {
        let mut linears = vec![];
        for step in &program.steps {
            if let Op::Linear { weight, .. } = step.op
                && !linears.contains(&weight)
            {
                linears.push(weight);
            }
        }
        let tensors = linears.iter().map(|id| id.0 as usize + 1).max().unwrap_or(0);
        let copies = (0..tensors).map(|_| OnceLock::new()).collect();
        LargePageWeights { moved: Arc::new(Moved { source, copies }), linears, batches: AtomicU32::new(0) }
    }

    /// Begins to move the weights, where that helps and there is room.
    fn start(&self) {
        let bytes: usize = self.linears.iter().map(|&id| stored_bytes(&self.moved.source.tensor(id))).sum();
        if !is_worthwhile(bytes as u64) {
            return;
        }
        let (moved, pieces) = (Arc::downgrade(&self.moved), self.moved.pieces(&self.linears));
        let move_all = move || {
            let left = |piece: &Vec<TensorId>| moved.upgrade().and_then(|moved| moved.move_piece(piece));
            pieces.iter().map_while(left).for_each(drop);
        };
        // Without the thread the weights are read where they are.
        drop(thread::Builder::new().name("large-pages".into()).spawn(move_all));
    }
}

impl<W: Weights + 'static> Weights for LargePageWeights<W> {
    fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        let source = self.moved.source.tensor(id);
        let Some(copy) = self.moved.copies.get(id.0 as usize).and_then(OnceLock::get) else { return source };
        let mut view = EncodedRef::new(source.format, source.layout, source.rows, source.cols);
        let mut start = copy.start;
        for (component, bytes) in source.parts() {
            view.set(component, &copy.piece.bytes()[start..start + bytes.len()]);
            start += bytes.len().next_multiple_of(ALIGNMENT);
        }
        view
    }

    fn after_batch(&self) {
        if self.batches.fetch_add(1, Ordering::Relaxed) + 1 == BATCHES_BEFORE {
            self.start();
        }
    }
}

impl<W: Weights> Moved<W> {
    /// Tensors in pieces.
    fn pieces(&self, ids: &[TensorId]) -> Vec<Vec<TensorId>> {
        let (mut pieces, mut piece, mut size) = (vec![], vec![], 0);
        for &id in ids {
            piece.push(id);
            size += stored_bytes(&self.source.tensor(id));
            if size >= PIECE {
                pieces.push(mem::take(&mut piece));
                size = 0;
            }
        }
        pieces.push(piece);
        pieces
    }

    /// Copies some tensors, and has them read there from now on; `None` where memory is refused.
    fn move_piece(&self, ids: &[TensorId]) -> Option<()> {
        let total = ids.iter().map(|&id| stored_bytes(&self.source.tensor(id))).sum();
        let mut piece = Piece::new(total)?;
        let mut starts = vec![];
        let mut at = 0;
        for &id in ids {
            starts.push(at);
            for (_, bytes) in self.source.tensor(id).parts() {
                piece.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len().next_multiple_of(ALIGNMENT);
            }
        }
        let piece = Arc::new(piece);
        for (&id, start) in ids.iter().zip(starts) {
            // It is set once, by the one thread that moves.
            let _ = self.copies[id.0 as usize].set(Copy { piece: piece.clone(), start });
            self.source.release(id);
        }
        Some(())
    }
}

/// Bytes of a tensor's parts, each up to where the next one begins.
fn stored_bytes(tensor: &EncodedRef<'_>) -> usize {
    tensor.parts().map(|(_, bytes)| bytes.len().next_multiple_of(ALIGNMENT)).sum()
}

/// Whether so many bytes are to be moved: the system gives large pages, has room, and did not map the files by such pages.
fn is_worthwhile(bytes: u64) -> bool {
    bytes >= LARGE_PAGE as u64
        && gives_large_pages()
        && file_bytes_in_large_pages().is_none_or(|mapped| mapped < bytes / 2)
        && available_memory().is_some_and(|room| fits(bytes, room))
}

/// Whether `room` bytes of memory hold a copy of so many and leave an eighth of them, and a GiB.
fn fits(bytes: u64, room: u64) -> bool {
    room >= bytes.saturating_add(bytes / 8).saturating_add(1 << 30)
}

/// Whether the system gives large pages to those who ask.
fn gives_large_pages() -> bool {
    let said = read_regular_text("/sys/kernel/mm/transparent_hugepage/enabled".as_ref(), 1 << 16);
    said.is_ok_and(|said| said.contains("[madvise]") || said.contains("[always]"))
}

/// Memory in large pages, as far as the system has any.
struct Piece {
    memory: MmapMut,
    /// The first byte of a large page.
    start: usize,
    len: usize,
}

impl Piece {
    /// `len` zero bytes; `None` where memory is refused.
    fn new(len: usize) -> Option<Piece> {
        let memory = MmapOptions::new().len(len + LARGE_PAGE).map_anon().ok()?;
        let start = memory.as_ptr().align_offset(LARGE_PAGE);
        // Advice: where it is refused, pages are small.
        let _ = memory.advise_range(Advice::HugePage, start, len);
        Some(Piece { memory, start, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use samp_abi::{Component, Format, Layout};
    use samp_kernels::{encoded::Encoded, random::SplitMix64};

    use super::*;

    /// Tensors in memory, and which were let go of.
    struct Held {
        tensors: Vec<Encoded>,
        released: Arc<Mutex<Vec<u32>>>,
    }

    impl Weights for Held {
        fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
            self.tensors[id.0 as usize].view()
        }

        fn release(&self, id: TensorId) {
            self.released.lock().unwrap().push(id.0);
        }
    }

    fn held() -> Held {
        let mut random = SplitMix64::new(5);
        let tensor = |(rows, cols): (usize, usize)| {
            let mut tensor = Encoded::zeroed(Format::Nf4, Layout::RowMajor, rows, cols, 0);
            tensor.parts.iter_mut().for_each(|(_, bytes)| bytes.fill_with(|| random.bits() as u8));
            tensor
        };
        let shapes = [(3, 64), (17, 192), (1000, 448), (16, 64)];
        Held { tensors: shapes.map(tensor).into(), released: Arc::default() }
    }

    #[test]
    fn what_was_moved_reads_as_before() {
        let (expected, source) = (held(), held());
        let released = source.released.clone();
        let ids = [TensorId(1), TensorId(2)];
        let moved = Moved { source, copies: (0..3).map(|_| OnceLock::new()).collect() };
        assert_eq!(moved.pieces(&ids), [ids.to_vec()]);
        moved.move_piece(&ids).unwrap();
        let weights = LargePageWeights { moved: Arc::new(moved), linears: ids.into(), batches: 0.into() };
        for (index, tensor) in expected.tensors.iter().enumerate() {
            let (found, source) =
                (weights.tensor(TensorId(index as u32)), weights.moved.source.tensors[index].view());
            found.check().unwrap();
            for (component, bytes) in tensor.view().parts() {
                assert_eq!(found.part(component), bytes, "{index} {component:?}");
            }
            let values = |view: &EncodedRef<'_>| view.part(Component::Values).as_ptr();
            assert_eq!(values(&found) == values(&source), ![1, 2].contains(&index), "{index}");
        }
        assert_eq!(*released.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn a_piece_begins_with_a_large_page() {
        for len in [1, LARGE_PAGE, 3 * LARGE_PAGE + 5] {
            let mut piece = Piece::new(len).unwrap();
            assert_eq!(piece.bytes().as_ptr().align_offset(LARGE_PAGE), 0);
            assert!(piece.bytes().iter().all(|&byte| byte == 0));
            piece.bytes_mut()[len - 1] = 7;
            assert_eq!((piece.bytes().len(), piece.bytes()[len - 1]), (len, 7));
        }
    }

    #[test]
    fn a_copy_leaves_room_for_others() {
        let gib = 1 << 30;
        assert!(fits(8 * gib, 10 * gib));
        assert!(!fits(8 * gib, 10 * gib - 1));
        assert!(!fits(u64::MAX, u64::MAX - 1));
    }
}
