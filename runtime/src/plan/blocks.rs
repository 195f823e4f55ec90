//! Arrays that all threads hash and search together, in one pass over their bytes.
//!
//! A thread takes a block at a time: it hashes it as a subtree of BLAKE3's tree and searches it while it is in the thread's
//! cache. The largest array is shared out like any other, and blocks are taken in the order in which they lie in their
//! files, so that the system reads ahead of the threads what is not in memory.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use blake3::{
    Hash, Hasher,
    hazmat::{
        ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
    },
};
use rayon::prelude::*;

/// Bytes of a block: a power of two, as those of BLAKE3's subtrees, and few enough for a second-level cache.
pub(super) const BLOCK: usize = 1 << 20;

/// What one pass over an array tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Searched {
    /// The hash of all its bytes.
    pub hash: Hash,
    /// The first that the search gave over its blocks.
    pub found: Option<usize>,
}

/// Some bytes of an array.
struct Block {
    array: usize,
    range: Range<usize>,
}

/// Hashes each array, and calls `search` with its index and the range of each of its blocks.
pub(super) fn hash_and_search(
    arrays: &[&[u8]],
    search: impl Fn(usize, Range<usize>) -> Option<usize> + Sync,
) -> Vec<Searched> {
    let blocks: Vec<Block> =
        (0..arrays.len()).flat_map(|array| blocks_of(array, arrays[array].len())).collect();
    let next = AtomicUsize::new(0);
    let work = |_| {
        let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let one = |index: usize| {
            let Block { array, range } = blocks.get(index)?;
            Some((index, hash_block(arrays[*array], range.clone()), search(*array, range.clone())))
        };
        taken.map_while(one).collect::<Vec<_>>()
    };
    let threads = rayon::current_num_threads();
    let mut done: Vec<_> = (0..threads).into_par_iter().with_max_len(1).flat_map_iter(work).collect();
    done.sort_unstable_by_key(|&(index, ..)| index);
    let mut rest = done.as_slice();
    let searched = |bytes: &&[u8]| {
        let (own, others) = rest.split_at(block_count(bytes.len()));
        rest = others;
        let subtrees: Vec<ChainingValue> = own.iter().map(|&(_, subtree, _)| subtree).collect();
        Searched {
            hash: root(bytes.len() as u64, &subtrees),
            found: own.iter().find_map(|&(.., found)| found),
        }
    };
    arrays.iter().map(searched).collect()
}

/// An array without bytes has a hash too, and so a block.
fn block_count(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK).max(1)
}

fn blocks_of(array: usize, bytes: usize) -> impl Iterator<Item = Block> {
    let range = move |index: usize| index * BLOCK..bytes.min((index + 1) * BLOCK);
    (0..block_count(bytes)).map(move |index| Block { array, range: range(index) })
}

/// The chaining value of a block, or the hash of an array that is one block.
fn hash_block(array: &[u8], range: Range<usize>) -> ChainingValue {
    if array.len() <= BLOCK {
        return blake3::hash(array).into();
    }
    let first = range.start as u64;
    Hasher::new().set_input_offset(first).update(&array[range]).finalize_non_root()
}

/// The hash of an array of so many bytes from what [`hash_block`] gave for its blocks.
fn root(bytes: u64, blocks: &[ChainingValue]) -> Hash {
    match blocks {
        [one] => Hash::from_bytes(*one),
        _ => {
            let [left, right] = children(bytes, blocks);
            merge_subtrees_root(&left, &right, Mode::Hash)
        }
    }
}

/// The chaining values of the two subtrees of several blocks.
fn children(bytes: u64, blocks: &[ChainingValue]) -> [ChainingValue; 2] {
    let left = left_subtree_len(bytes);
    let (before, after) = blocks.split_at(left as usize / BLOCK);
    [(left, before), (bytes - left, after)].map(|(bytes, blocks)| match blocks {
        [one] => *one,
        _ => {
            let [left, right] = children(bytes, blocks);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Vec<Vec<u8>> {
        let lengths =
            [0, 1, 1024, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK, 5 * BLOCK + 77, 7 * BLOCK + 1024];
        let bytes = |length: usize| (0..length).map(|i| (i * 31 + i / 251 + length) as u8).collect();
        lengths.map(bytes).into()
    }

    #[test]
    fn hashes_are_blake3_whatever_the_threads() {
        let arrays = arrays();
        let views: Vec<&[u8]> = arrays.iter().map(Vec::as_slice).collect();
        let expected: Vec<Hash> = views.iter().map(|bytes| blake3::hash(bytes)).collect();
        for threads in [1, 2, 5] {
            let pool = crate::threads::thread_pool(Some(threads)).unwrap();
            let found = pool.install(|| hash_and_search(&views, |_, _| None));
            assert!(
                found.iter().map(|searched| searched.hash).eq(expected.iter().copied()),
                "{threads} threads"
            );
        }
    }

    #[test]
    fn every_byte_is_searched_once_and_the_first_find_counts() {
        let arrays = arrays();
        let views: Vec<&[u8]> = arrays.iter().map(Vec::as_slice).collect();
        let seen: Vec<AtomicUsize> = views.iter().map(|_| AtomicUsize::new(0)).collect();
        let found = hash_and_search(&views, |array, range| {
            seen[array].fetch_add(range.len(), Ordering::Relaxed);
            (range.start >= BLOCK).then_some(range.start)
        });
        for ((bytes, seen), searched) in views.iter().zip(seen).zip(found) {
            assert_eq!(seen.into_inner(), bytes.len());
            assert_eq!(searched.found, (bytes.len() > BLOCK).then_some(BLOCK));
        }
    }
}
