//! Placing buffers in one arena so that those alive at the same time never overlap.

use samp_ir::ARENA_ALIGNMENT;

/// How long a buffer is needed and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The step that writes it.
    pub first: usize,
    /// The last step that reads it (or `first`, if none does).
    pub last: usize,
    /// How many bytes it takes at the limits of a step.
    pub bytes: u64,
}

impl Lifetime {
    fn overlaps(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn padded(&self) -> u64 {
        self.bytes.next_multiple_of(ARENA_ALIGNMENT)
    }
}

/// Where the buffers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Offset of each buffer, in bytes, in the order given.
    pub offsets: Vec<u64>,
    /// Size of the arena in bytes.
    pub bytes: u64,
}

/// Places each buffer at the lowest free offset, the largest first (Pisarchyk and Lee, "Efficient Memory Management
/// for Deep Neural Net Inference", greedy by size). Equal sizes go in the order given, so the result is
/// the same every time.
pub fn place(lifetimes: &[Lifetime]) -> Placement {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].padded()), i));
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = vec![];
    for i in order {
        let mut neighbours: Vec<usize> =
            placed.iter().copied().filter(|&j| lifetimes[i].overlaps(&lifetimes[j])).collect();
        neighbours.sort_by_key(|&j| offsets[j]);
        offsets[i] = neighbours.iter().fold(0, |at, &j| {
            let fits = at + lifetimes[i].padded() <= offsets[j];
            if fits { at } else { at.max(offsets[j] + lifetimes[j].padded()) }
        });
        placed.push(i);
    }
    let bytes =
        lifetimes.iter().zip(&offsets).map(|(lifetime, at)| at + lifetime.padded()).max().unwrap_or(0);
    Placement { offsets, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of Marsaglia's xorshift, enough to draw test cases.
    fn draw(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn buffers_alive_together_never_overlap() {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..200 {
            let lifetimes: Vec<Lifetime> = (0..draw(&mut state) % 40)
                .map(|_| {
                    let first = (draw(&mut state) % 30) as usize;
                    let last = first + (draw(&mut state) % 8) as usize;
                    Lifetime { first, last, bytes: draw(&mut state) % 5000 }
                })
                .collect();
            let placement = place(&lifetimes);
            for (i, a) in lifetimes.iter().enumerate() {
                assert_eq!(placement.offsets[i] % ARENA_ALIGNMENT, 0);
                for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                    let (x, y) = (placement.offsets[i], placement.offsets[j]);
                    let disjoint = x + a.bytes <= y || y + b.bytes <= x;
                    assert!(disjoint || !a.overlaps(b), "{a:?} at {x} and {b:?} at {y}");
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Lifetime> = (0..10).map(|i| Lifetime { first: i, last: i + 1, bytes: 1000 }).collect();
        assert_eq!(place(&chain).bytes, 2 * 1024);
        assert_eq!(place(&[]), Placement { offsets: vec![], bytes: 0 });
    }
}
