//! Where a gradient of the model's divergence begins: a draw whose square is the divergence's curvature.

use rayon::prelude::*;

use crate::{
    random::{GOLDEN_GAMMA, SplitMix64, mix64},
    simd::{self, Job, LANES, Lanes, Width},
};

/// Puts a random `u` with `E[u uᵀ] = diag(p) − p pᵀ` in the place of each row of logits, `p` being their softmax: for a small
/// change `d` of the logits `E[(u · d)²] = 2 KL(p ‖ p')`. With random signs `ξ` it is `u = √p ξ − p (√p · ξ)`, which, unlike
/// the gradient of a label that is drawn from `p`, is as large in every draw; a label that is sure gives none but in rare
/// draws, which then are all. The signs of row `i` are those of `seed` and `first + i`.
///
/// Panics if `logits` are not whole rows.
pub fn draw_divergence_root(logits: &mut [f32], vocab: usize, seed: u64, first: u64) {
    assert!(logits.len().is_multiple_of(vocab), "whole rows of logits");
    logits.par_chunks_exact_mut(vocab).enumerate().for_each(|(index, row)| {
        let index = first.wrapping_add(index as u64);
        let random = SplitMix64::new(mix64(seed ^ index.wrapping_mul(GOLDEN_GAMMA)));
        simd::run(Width::detect(), Root { row, random });
    });
}

struct Root<'a> {
    row: &'a mut [f32],
    random: SplitMix64,
}

impl Job for Root<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let largest = self.row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (chunks, rest) = self.row.as_chunks_mut::<LANES>();
        let mut mass = 0.0;
        for chunk in &mut *chunks {
            exponentiate(l, chunk, largest);
            mass += f64::from(chunk.iter().sum::<f32>());
        }
        let mut tail = [f32::NEG_INFINITY; LANES];
        tail[..rest.len()].copy_from_slice(rest);
        exponentiate(l, &mut tail, largest);
        rest.copy_from_slice(&tail[..rest.len()]);
        mass += f64::from(rest.iter().sum::<f32>());
        let share = (1.0 / mass) as f32;
        let mut along = 0.0;
        for chunk in self.row.chunks_mut(64) {
            let signs = self.random.bits();
            let mut sum = 0.0;
            for (i, value) in chunk.iter_mut().enumerate() {
                let root = (*value * share).sqrt();
                *value = f32::from_bits(root.to_bits() ^ ((signs >> i) as u32) << 31);
                sum += *value;
            }
            along += f64::from(sum);
        }
        let along = along as f32;
        for value in &mut *self.row {
            *value -= *value * *value * along;
        }
    }
}

/// `e^(x − largest)` of each.
#[inline(always)]
fn exponentiate<L: Lanes>(l: L, logits: &mut [f32; LANES], largest: f32) {
    l.store(simd::exp(l, l.sub(l.load(logits), l.splat(largest))), logits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::divergence::divergence;

    fn logits(vocab: usize) -> Vec<f32> {
        (0..vocab).map(|i| 3.0 * (i as f32 * 0.7).sin()).collect()
    }

    /// The mean square of a change's product with many draws is twice the divergence that the change makes.
    #[test]
    fn squares_add_up_to_twice_the_divergence() {
        for vocab in [5, 64, 150] {
            let p = logits(vocab);
            let change: Vec<f32> = (0..vocab).map(|i| 1e-2 * (i as f32 * 1.3).cos()).collect();
            let changed: Vec<f32> = p.iter().zip(&change).map(|(p, d)| p + d).collect();
            let draws = 20_000;
            let mut roots = p.repeat(draws);
            draw_divergence_root(&mut roots, vocab, 7, 0);
            let along = |u: &[f32]| u.iter().zip(&change).map(|(u, d)| f64::from(u * d)).sum::<f64>();
            let mean = roots.chunks(vocab).map(|u| along(u).powi(2)).sum::<f64>() / draws as f64;
            let wanted = 2.0 * divergence(&p, &changed, 0).nats;
            // The square of a sum of many signs has a relative deviation of about √2 in one draw.
            assert!((mean / wanted - 1.0).abs() < 4.0 * 1.5 / (draws as f64).sqrt(), "{mean} of {wanted}");
        }
    }

    #[test]
    fn a_row_depends_on_its_index_and_the_seed_alone() {
        let vocab = 150;
        let mut three = logits(vocab).repeat(3);
        draw_divergence_root(&mut three, vocab, 7, 10);
        let alone = |seed, first| {
            let mut row = logits(vocab);
            draw_divergence_root(&mut row, vocab, seed, first);
            row
        };
        assert_eq!(three[2 * vocab..], alone(7, 12));
        assert_ne!(alone(7, 12), alone(7, 13));
        assert_ne!(alone(7, 12), alone(8, 12));
        assert!(
            alone(7, 12).iter().map(|&u| f64::from(u)).sum::<f64>().abs() < 1e-4,
            "no change for all alike"
        );
    }
}
