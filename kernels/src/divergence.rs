//! How far one row of logits is from another.

use crate::simd::{self, Job, LANES, Lanes, Width};

/// What is lost where logits `p` become `q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// `KL(softmax p ‖ softmax q)` in nats.
    pub nats: f64,
    /// `ln P(next) − ln Q(next)`.
    pub excess: f64,
}

/// Logits that are summed in f32.
const BLOCK: usize = 1024;
/// Logits that differ by more are summed in f64.
const CLOSE: f32 = 1.0;

/// The divergence of two rows of as many logits, at the machine's width; `next` is a place in them. Not finite where a logit
/// is not.
///
/// With `d = q − p`, less the same number for all, `KL = ln (1 + m + r) − m` for `m = Σ P d` and `r = Σ P (eᵈ − 1 − d)`. Sums
/// of f32 are then as good for rows that are close to each other as for others.
pub fn divergence(p: &[f32], q: &[f32], next: usize) -> Divergence {
    divergence_at(Width::detect(), p, q, next)
}

fn divergence_at(width: Width, p: &[f32], q: &[f32], next: usize) -> Divergence {
    assert_eq!(p.len(), q.len(), "two rows of as many logits");
    let max = |row: &[f32]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (max_p, max_q) = (max(p), max(q));
    let shift = max_q - max_p;
    let mut sums = [0.0; 3];
    for (p, q) in p.chunks(BLOCK).zip(q.chunks(BLOCK)) {
        let block = close(width, (p, q), max_p, shift).unwrap_or_else(|| far((p, q), max_p, shift));
        sums.iter_mut().zip(block).for_each(|(sum, block)| *sum += block);
    }
    let [mass, mean, rest] = sums;
    let (mean, rest) = (mean / mass, rest / mass);
    let grown = (mean + rest).ln_1p();
    Divergence { nats: grown - mean, excess: grown - f64::from(q[next] - p[next] - shift) }
}

/// `Σ e^(p − max)`, and weighted so the sums of `d` and of `eᵈ − 1 − d`, in f32; `None` where logits are not close or not whole
/// vectors.
fn close(width: Width, (p, q): (&[f32], &[f32]), max: f32, shift: f32) -> Option<[f64; 3]> {
    let ((p, []), (q, [])) = (p.as_chunks(), q.as_chunks()) else { return None };
    let [largest, sums @ ..] = simd::run(width, Close { p, q, max, shift });
    (largest <= CLOSE).then(|| sums.map(f64::from))
}

/// The same in f64.
fn far((p, q): (&[f32], &[f32]), max: f32, shift: f32) -> [f64; 3] {
    p.iter().zip(q).fold([0.0; 3], |[mass, mean, rest], (&p, &q)| {
        let (weight, d) = (f64::from(p - max).exp(), f64::from(q - p - shift));
        [mass + weight, mean + weight * d, rest + weight * (d.exp_m1() - d)]
    })
}

/// Sums over a block of logits that are close.
struct Close<'a> {
    p: &'a [[f32; LANES]],
    q: &'a [[f32; LANES]],
    max: f32,
    shift: f32,
}

impl Job for Close<'_> {
    /// The largest `|d|`, and the sums of [`close`].
    type Output = [f32; 4];

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> [f32; 4] {
        let zero = l.splat(0.0);
        let [mut largest, mut mass, mut mean, mut rest] = [zero; 4];
        for (p, q) in self.p.iter().zip(self.q) {
            let p = l.load(p);
            let d = l.sub(l.sub(l.load(q), p), l.splat(self.shift));
            let weight = simd::exp(l, l.sub(p, l.splat(self.max)));
            largest = l.max(largest, l.max(d, l.sub(zero, d)));
            mass = l.add(mass, weight);
            mean = l.mul_add(weight, d, mean);
            rest = l.mul_add(weight, excess_of_exp(l, d), rest);
        }
        [simd::largest(l, largest), simd::sum(l, mass), simd::sum(l, mean), simd::sum(l, rest)]
    }
}

/// `eᵈ − 1 − d` for |d| ≤ 1: its Taylor polynomial of degree 11.
#[inline(always)]
fn excess_of_exp<L: Lanes>(l: L, d: L::F) -> L::F {
    let mut factorial = 39_916_800.0;
    let mut sum = l.splat(1.0 / factorial);
    for degree in (3..=11).rev() {
        factorial /= degree as f32;
        sum = l.mul_add(sum, d, l.splat(1.0 / factorial));
    }
    l.mul(l.mul(d, d), sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition, in f64.
    fn expected(p: &[f32], q: &[f32], next: usize) -> Divergence {
        let log = |row: &[f32]| -> Vec<f64> {
            let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|&x| (f64::from(x) - max).exp()).sum();
            row.iter().map(|&x| f64::from(x) - max - sum.ln()).collect()
        };
        let (p, q) = (log(p), log(q));
        let nats = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        Divergence { nats, excess: p[next] - q[next] }
    }

    fn noise(seed: u64, scale: f32) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
        }
    }

    #[test]
    fn it_is_as_defined_however_close_the_rows_are() {
        for logits in [1, 16, 777, 1024, 5000] {
            let mut draw = noise(logits as u64, 12.0);
            let p: Vec<f32> = (0..logits).map(|_| draw()).collect();
            for (scale, shift) in [(1e-4, 0.0), (0.01, 3.5), (0.3, 0.0), (4.0, -2.0)] {
                let mut change = noise(7, scale);
                let q: Vec<f32> = p.iter().map(|p| p + shift + change()).collect();
                let (found, wanted) = (divergence(&p, &q, logits / 2), expected(&p, &q, logits / 2));
                // Differences of logits up to 16 are exact to 2⁻²⁰.
                let within = 1e-5 * wanted.nats + 2e-6 * f64::from(scale);
                assert!(
                    (found.nats - wanted.nats).abs() <= within,
                    "{scale}: {found:?}, expected {wanted:?}"
                );
                assert!((found.excess - wanted.excess).abs() <= 4e-6, "{found:?}, expected {wanted:?}");
                for width in Width::ALL.into_iter().filter(|width| width.available()) {
                    assert_eq!(divergence_at(width, &p, &q, logits / 2), found, "{width:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_diverge_from_itself_and_what_is_no_number_shows() {
        let mut draw = noise(1, 9.0);
        let p: Vec<f32> = (0..2048).map(|_| draw()).collect();
        assert_eq!(divergence(&p, &p, 3), Divergence { nats: 0.0, excess: 0.0 });
        for bad in [f32::NAN, f32::INFINITY] {
            for at in [0, 1500] {
                let mut q = p.clone();
                q[at] = bad;
                assert!(!divergence(&p, &q, 3).nats.is_finite(), "{bad} at {at}");
            }
        }
    }
}
