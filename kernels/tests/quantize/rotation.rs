//! Orthogonal transforms.

use proptest::prelude::*;
use samp_kernels::quantize::HadamardRotation;

use super::{Numbers, on_any_threads};

/// The matrix: its columns are what the unit vectors turn to.
fn dense(rotation: &HadamardRotation) -> Vec<f32> {
    let n = rotation.width();
    let mut unit: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
    rotation.rotate_columns(&mut unit, n);
    unit
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn rows_of_the_matrix_are_orthonormal() {
    for n in [1, 2, 3, 5, 7, 8, 9, 11, 13, 12, 20, 28, 44, 52, 64, 96, 112, 160, 172, 448] {
        let rotation = HadamardRotation::new(n, 42);
        let q = dense(&rotation);
        for i in 0..n {
            for j in 0..=i {
                let expected = f64::from(u8::from(i == j));
                let found = product(&q[i * n..][..n], &q[j * n..][..n]);
                assert!((found - expected).abs() < 1e-6, "rows {i} and {j} of {n}: {found}");
            }
        }
        // No entry is much greater than the mean, or outliers would not spread.
        let most = q.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(most <= 1.415 / (n as f32).sqrt(), "{n}: {most}");
    }
}

#[test]
fn turning_inputs_and_weights_changes_no_output() {
    let (tokens, count, n) = (5, 37, 896);
    let mut numbers = Numbers::new(30);
    let (x, w) = (numbers.activations(tokens, n), numbers.normals(count * n));
    let rotation = HadamardRotation::new(n, 7);
    let (mut turned_x, mut turned_w) = (x.clone(), w.clone());
    rotation.rotate_rows(&mut turned_x);
    rotation.rotate_rows(&mut turned_w);
    for (x, tx) in x.chunks(n).zip(turned_x.chunks(n)) {
        for (w, tw) in w.chunks(n).zip(turned_w.chunks(n)) {
            let size = (product(x, x) * product(w, w)).sqrt();
            assert!((product(x, w) - product(tx, tw)).abs() < 1e-6 * size);
        }
    }
    // Rows and columns are turned by the same matrix.
    let mut transposed: Vec<f32> = (0..n * count).map(|i| w[i % count * n + i / count]).collect();
    rotation.rotate_columns(&mut transposed, count);
    assert!((0..n * count).all(|i| transposed[i] == turned_w[i % count * n + i / count]));
}

#[test]
fn an_outlier_spreads() {
    let n = 3584;
    let mut row = vec![0.01; n];
    row[1234] = 100.0;
    HadamardRotation::new(n, 1).rotate_rows(&mut row);
    let most = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert!(most < 100.0 * 1.5 / (n as f32).sqrt(), "{most}");
}

#[test]
fn seeds_differ_and_threads_do_not() {
    let w = Numbers::new(31).normals(50 * 96);
    let turned = |seed| {
        let mut w = w.clone();
        HadamardRotation::new(96, seed).rotate_rows(&mut w);
        HadamardRotation::new(50, seed).rotate_columns(&mut w, 96);
        w
    };
    assert!(on_any_threads("a rotation", || turned(1)) != turned(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn turning_back_restores(power in 0u32..8, odd in 0usize..12, seed: u64, count in 1usize..20) {
        let n = (2 * odd + 1) << power;
        let rotation = HadamardRotation::new(n, seed);
        let original = Numbers::new(seed).normals(n * count);
        let largest = original.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let close = |w: &[f32]| w.iter().zip(&original).all(|(a, b)| (a - b).abs() <= 1e-5 * largest);
        let mut w = original.clone();
        rotation.rotate_rows(&mut w);
        let (before, after) = (product(&original, &original), product(&w, &w));
        prop_assert!((before - after).abs() <= 1e-6 * before, "the length changes");
        rotation.unrotate_rows(&mut w);
        prop_assert!(close(&w));
        let mut w = original.clone();
        rotation.rotate_columns(&mut w, count);
        rotation.unrotate_columns(&mut w, count);
        prop_assert!(close(&w));
    }
}
