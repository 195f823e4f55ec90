//! The pages of the KV cache: which are free, which belong to which sequence.
//!
//! A page holds `page_tokens` positions of one sequence in every layer; the bytes lie with the device. Pages are
//! handed out in a fixed order, so that a run is the same each time.

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
    /// Pages in all.
    pub total_pages: usize,
    /// Positions of a page.
    pub page_tokens: usize,
}

/// All pages, free ones and given ones.
#[derive(Debug)]
pub struct PagePool {
    /// Pages taken back, the next to be given last.
    returned: Vec<u32>,
    /// Pages from here on were never given.
    fresh: usize,
    total: usize,
    page_tokens: usize,
}

impl PagePool {
    /// A pool of `total` free pages of `page_tokens` positions.
    pub fn new(total: u32, page_tokens: usize) -> PagePool {
        PagePool { returned: vec![], fresh: 0, total: total as usize, page_tokens }
    }

    /// Pages that `positions` positions take.
    pub fn pages_for(&self, positions: usize) -> usize {
        positions.div_ceil(self.page_tokens)
    }

    fn free(&self) -> usize {
        self.returned.len() + self.total - self.fresh
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
        for _ in 0..needed {
            pages.push(self.returned.pop().unwrap_or(self.fresh as u32));
            self.fresh = self.fresh.max(pages[pages.len() - 1] as usize + 1);
        }
        Ok(())
    }

    /// Takes back the pages beyond those that `positions` positions need.
    pub fn shrink(&mut self, pages: &mut Vec<u32>, positions: usize) {
        let kept = self.pages_for(positions).min(pages.len());
        self.returned.extend(pages.drain(kept..).rev());
    }

    /// How full it is.
    pub fn usage(&self) -> KvUsage {
        KvUsage {
            used_pages: self.total - self.free(),
            total_pages: self.total,
            page_tokens: self.page_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        /// Whatever sequences do, each page belongs to one of them or is free.
        #[test]
        fn every_page_has_one_owner(moves in prop::collection::vec((0usize..4, 0usize..40), 1..60)) {
            let mut pool = PagePool::new(16, 3);
            let mut owners = vec![vec![]; 4];
            for (owner, positions) in moves {
                let pages: &mut Vec<u32> = &mut owners[owner];
                pool.shrink(pages, positions);
                let _ = pool.grow(pages, positions);
                let mut all: Vec<u32> = owners.iter().flatten().copied().chain(pool.returned.clone()).collect();
                all.extend(pool.fresh as u32..16);
                all.sort_unstable();
                prop_assert_eq!(all, (0..16).collect::<Vec<_>>());
            }
        }
    }
}
