//! The pages of the KV cache: which are free, which sequences hold the others, and which are kept for sequences to come.
//!
//! A page holds `page_tokens` positions of one sequence in every layer; the bytes lie with the device. Pages are
//! handed out in a fixed order, so that a run is the same each time. Several sequences that begin alike may hold the
//! same full pages; a full page that the [`PrefixIndex`] knows stays findable after the last of them has gone, until its
//! room is needed.

use blake3::Hash;

use crate::prefix_index::PrefixIndex;

/// The cache has fewer free pages than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the KV cache is full: {needed} more pages of {page_tokens} positions needed, {free} of {total} free; \
     release sequences, or give the engine more `kv_tokens`"
)]
pub struct OutOfPages {
    /// Pages asked for.
    pub needed: usize,
    /// Pages that no sequence has.
    pub free: usize,
    /// Pages in all.
    pub total: usize,
    /// Positions of a page.
    pub page_tokens: usize,
}

impl OutOfPages {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        crate::error_code::OUT_OF_PAGES
    }
}

/// How full the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvUsage {
    /// Pages that belong to a sequence.
    pub used_pages: usize,
    /// Pages of no sequence that a sequence with the same beginning would find.
    pub cached_pages: usize,
    /// Pages in all.
    pub total_pages: usize,
    /// Positions of a page.
    pub page_tokens: usize,
}

/// All pages: free ones, held ones, and those kept for sequences to come.
#[derive(Debug)]
pub struct PagePool {
    /// Pages taken back, the next to be given last.
    returned: Vec<u32>,
    /// How many sequences hold each page that was ever given.
    holders: Vec<u32>,
    index: PrefixIndex,
    total: usize,
    page_tokens: usize,
}

impl PagePool {
    /// A pool of `total` free pages of `page_tokens` positions.
    pub fn new(total: u32, page_tokens: usize) -> PagePool {
        let index = PrefixIndex::default();
        PagePool { returned: vec![], holders: vec![], index, total: total as usize, page_tokens }
    }

    /// Positions of a page.
    pub fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    /// Pages that `positions` positions take.
    pub fn pages_for(&self, positions: usize) -> usize {
        positions.div_ceil(self.page_tokens)
    }

    /// Pages that can be given: those kept for sequences to come, too.
    fn free(&self) -> usize {
        self.returned.len() + self.total - self.holders.len() + self.index.idle_pages()
    }

    /// Whether `needed` pages are free.
    pub fn reserve(&self, needed: usize) -> Result<(), OutOfPages> {
        let (free, total, page_tokens) = (self.free(), self.total, self.page_tokens);
        if needed <= free { Ok(()) } else { Err(OutOfPages { needed, free, total, page_tokens }) }
    }

    /// Makes `pages` long enough for `positions` positions, or changes nothing.
    pub fn grow(&mut self, pages: &mut Vec<u32>, positions: usize) -> Result<(), OutOfPages> {
        let needed = self.pages_for(positions).saturating_sub(pages.len());
        self.reserve(needed)?;
        pages.extend((0..needed).map_while(|_| self.take()));
        Ok(())
    }

    /// A page that no sequence holds. One that was kept goes last, the longest unused first.
    fn take(&mut self) -> Option<u32> {
        if self.returned.is_empty() && self.holders.len() < self.total {
            self.holders.push(1);
            return Some(self.holders.len() as u32 - 1);
        }
        let page = self.returned.pop().or_else(|| self.index.evict())?;
        self.holders[page as usize] = 1;
        Some(page)
    }

    /// Gives up the pages beyond those that `positions` positions need.
    pub fn shrink(&mut self, pages: &mut Vec<u32>, positions: usize) {
        let kept = self.pages_for(positions).min(pages.len());
        // From the last one on, so that of what is kept the beginnings, which more sequences share, go last.
        for page in pages.drain(kept..).rev() {
            self.holders[page as usize] -= 1;
            if self.holders[page as usize] == 0 && !self.index.rest(page) {
                self.returned.push(page);
            }
        }
    }

    /// The pages of the longest beginning of `chain` that are there, held once more.
    pub fn share(&mut self, chain: &[Hash]) -> Vec<u32> {
        let pages: Vec<u32> = chain.iter().map_while(|hash| self.index.find(hash)).collect();
        for &page in &pages {
            self.index.wake(page);
            self.holders[page as usize] += 1;
        }
        pages
    }

    /// How many pages [`PagePool::share`] would give, and how many of them no sequence holds now.
    pub fn shareable(&self, chain: &[Hash]) -> (usize, usize) {
        let pages = chain.iter().map_while(|hash| self.index.find(hash));
        pages.fold((0, 0), |(found, idle), page| (found + 1, idle + usize::from(!self.is_held(page))))
    }

    /// Makes a full page findable, unless another with the same positions is.
    pub fn publish(&mut self, page: u32, hash: Hash) {
        self.index.insert(page, hash);
    }

    /// Readies a page that one sequence holds to be written again: nobody finds it any more. Whether only one does.
    pub fn make_private(&mut self, page: u32) -> bool {
        if self.holders[page as usize] > 1 {
            return false;
        }
        self.index.forget(page);
        true
    }

    fn is_held(&self, page: u32) -> bool {
        self.holders[page as usize] > 0
    }

    /// How full it is.
    pub fn usage(&self) -> KvUsage {
        KvUsage {
            used_pages: self.total - self.free(),
            cached_pages: self.index.idle_pages(),
            total_pages: self.total,
            page_tokens: self.page_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::prefix_index::PageChain;

    #[test]
    fn a_full_pool_refuses_and_stays_as_it_was() {
        let mut pool = PagePool::new(3, 4);
        let (mut a, mut b) = (vec![], vec![]);
        pool.grow(&mut a, 5).unwrap();
        assert_eq!(a, [0, 1]);
        let full = pool.grow(&mut b, 5).unwrap_err();
        assert_eq!((full.needed, full.free, full.total), (2, 1, 3));
        assert!(b.is_empty());
        pool.shrink(&mut a, 4);
        pool.grow(&mut b, 8).unwrap();
        assert_eq!((a, b), (vec![0], vec![1, 2]));
    }

    fn chain(tokens: &[u32]) -> Vec<Hash> {
        let mut chain = PageChain::new(b"", 3);
        chain.extend(tokens);
        chain.hashes().to_vec()
    }

    #[test]
    fn kept_pages_are_found_until_their_room_is_needed() {
        let mut pool = PagePool::new(4, 3);
        let tokens: Vec<u32> = (0..9).collect();
        let hashes = chain(&tokens);
        let mut first = vec![];
        pool.grow(&mut first, 9).unwrap();
        first.iter().zip(&hashes).for_each(|(page, hash)| pool.publish(*page, *hash));
        let mut second = pool.share(&hashes[..2]);
        assert_eq!(second, first[..2]);
        let held = first.clone();
        pool.shrink(&mut first, 0);
        assert_eq!(pool.usage(), KvUsage { used_pages: 2, cached_pages: 1, total_pages: 4, page_tokens: 3 });
        assert_eq!(pool.shareable(&hashes), (3, 1));
        pool.shrink(&mut second, 0);
        // The page that never was given comes first; then the end of the text makes room before its beginning does.
        let mut other = vec![];
        pool.grow(&mut other, 6).unwrap();
        assert_eq!(other, [3, held[2]]);
        assert_eq!(pool.share(&hashes), held[..2]);
        assert!(pool.shareable(&chain(&[9, 9, 9])) == (0, 0));
    }

    #[test]
    fn a_page_that_is_written_again_is_found_no_more() {
        let mut pool = PagePool::new(2, 3);
        let hashes = chain(&[1, 2, 3]);
        let mut first = vec![];
        pool.grow(&mut first, 3).unwrap();
        pool.publish(first[0], hashes[0]);
        let mut second = pool.share(&hashes);
        assert!(!pool.make_private(first[0]), "two hold it");
        pool.shrink(&mut second, 0);
        assert!(pool.make_private(first[0]));
        assert!(pool.share(&hashes).is_empty());
    }

    proptest! {
        /// Whatever sequences do, each page is free, held by as many as the pool counts, or kept; and none is lost.
        #[test]
        fn every_page_is_accounted_for(
            moves in prop::collection::vec((0usize..4, 0usize..40, 0u32..3, any::<bool>()), 1..80),
        ) {
            let mut pool = PagePool::new(16, 3);
            let mut sequences: Vec<(Vec<u32>, Vec<Hash>)> = vec![Default::default(); 4];
            for (which, positions, text, shares) in moves {
                let (pages, hashes) = &mut sequences[which];
                pool.shrink(pages, 0);
                // Three texts that begin alike for 0, 9 and 18 positions.
                let tokens: Vec<u32> = (0..positions as u32).map(|at| if at < 9 * text { 0 } else { text }).collect();
                *hashes = chain(&tokens);
                if shares {
                    *pages = pool.share(hashes);
                }
                if pool.grow(pages, positions).is_ok() {
                    pages.iter().zip(hashes.iter()).for_each(|(page, hash)| pool.publish(*page, *hash));
                }
                let mut held = [0u32; 16];
                sequences.iter().flat_map(|(pages, _)| pages).for_each(|page| held[*page as usize] += 1);
                let counted: Vec<u32> = (0..16).map(|page| pool.holders.get(page).copied().unwrap_or(0)).collect();
                prop_assert_eq!(&counted, &held);
                let used = held.iter().filter(|holders| **holders > 0).count();
                prop_assert_eq!(pool.usage().used_pages, used);
                prop_assert_eq!(used + pool.free(), 16);
                for (_, hashes) in &sequences {
                    let (found, idle) = pool.shareable(hashes);
                    prop_assert!(idle <= found && found <= hashes.len());
                }
            }
        }
    }
}
