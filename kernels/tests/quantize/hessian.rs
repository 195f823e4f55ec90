//! The Hessian and its factor.

use samp_kernels::quantize::{CholeskyFactor, ColumnOrder, Damped, Damping, Hessian, HessianError};

use super::{Numbers, assert_near, hessian, on_any_threads, reference};

const WIDTHS: [usize; 8] = [1, 2, 15, 17, 64, 130, 200, 323];

fn upper(h: &Hessian) -> Vec<u64> {
    let n = h.cols();
    (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).map(|(i, j)| h.at(i, j).to_bits()).collect()
}

#[test]
fn the_hessian_is_the_sum_in_the_order_of_tokens() {
    let mut numbers = Numbers::new(1);
    for cols in WIDTHS {
        let tokens = 2 * cols + 300;
        let x = numbers.activations(tokens, cols);
        let h = on_any_threads("the hessian", || upper(&hessian(cols, &x)));
        let plain = |i: usize, j: usize| {
            x.chunks(cols).fold(0.0, |sum, x| f64::from(x[i]).mul_add(f64::from(x[j]), sum))
        };
        let expected = (0..cols).flat_map(|i| (i..cols).map(move |j| (i, j)));
        for ((i, j), found) in expected.zip(&h) {
            assert_eq!(*found, plain(i, j).to_bits(), "({i}, {j}) of {cols}");
        }
        let mut in_pieces = Hessian::new(cols);
        x.chunks(7 * cols).for_each(|piece| in_pieces.add(piece).unwrap());
        assert_eq!(upper(&in_pieces), h, "{cols} columns in pieces");
        assert_eq!(in_pieces.tokens(), tokens as u64);
    }
}

#[test]
fn sums_merge() {
    let x = Numbers::new(2).activations(90, 33);
    let (mut first, second) = (hessian(33, &x[..40 * 33]), hessian(33, &x[40 * 33..]));
    first.merge(&second).unwrap();
    let whole = hessian(33, &x);
    assert_eq!(first.tokens(), 90);
    for i in 0..33 {
        for j in 0..33 {
            let size = (whole.at(i, i) * whole.at(j, j)).sqrt();
            assert!((first.at(i, j) - whole.at(i, j)).abs() < 1e-13 * size);
            assert_eq!(whole.at(i, j).to_bits(), whole.at(j, i).to_bits());
        }
    }
    let mean = (0..33).map(|i| whole.at(i, i)).sum::<f64>() / 33.0;
    assert_near(whole.mean_diagonal(), mean, 1e-15, "mean diagonal");
    let other = Hessian::new(32);
    assert_eq!(first.merge(&other), Err(HessianError::Columns { expected: 33, found: 32 }));
}

#[test]
fn inputs_that_are_not_finite_are_named() {
    let mut h = Hessian::new(3);
    let inputs = [1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0];
    let error = h.add(&inputs).unwrap_err();
    assert_eq!(error, HessianError::NotFinite { token: 1, column: 1, value: f32::INFINITY });
    assert_eq!((h.tokens(), h.at(0, 0)), (0, 0.0), "nothing is added");
    assert_eq!(Hessian::new(0).mean_diagonal(), 0.0);
}

#[test]
fn the_factor_multiplies_back() {
    let mut numbers = Numbers::new(3);
    let orders =
        [ColumnOrder::Natural, ColumnOrder::Descending { block: 1 }, ColumnOrder::Descending { block: 64 }];
    for cols in WIDTHS {
        let h = hessian(cols, &numbers.activations(2 * cols + 8, cols));
        for order in orders {
            let damping = Damping { mean: 0.003, diagonal: 0.02 };
            let factor = CholeskyFactor::new(&h, order, damping);
            assert_eq!(factor.damped(), Damped::AsAsked);
            let added = |k| 0.003 * h.mean_diagonal() + 0.02 * h.at(k, k);
            let expected = reference::dense(&h, factor.perm(), added);
            for i in 0..cols {
                for j in i..cols {
                    let terms = (j..cols).map(|k| factor.at(i, k) * factor.diag()[k] * factor.at(j, k));
                    let size = (expected[i][i] * expected[j][j]).sqrt();
                    let error = (terms.sum::<f64>() - expected[i][j]).abs();
                    assert!(error < 1e-13 * size, "({i}, {j}) of {cols}: {error:e} of {size:e}");
                }
            }
        }
    }
}

/// `C = D^(−1/2) U⁻¹` is the factor of the inverse that GPTQ is written with: `CᵀC = H⁻¹`, so `(CᵀC)⁻¹` has the diagonal
/// that its first pivots are read from.
#[test]
fn pivots_are_those_of_the_inverse() {
    let h = hessian(40, &Numbers::new(4).activations(120, 40));
    let factor = CholeskyFactor::new(&h, ColumnOrder::Natural, Damping { mean: 0.01, diagonal: 0.0 });
    let dense = reference::dense(&h, factor.perm(), |_| 0.01 * h.mean_diagonal());
    for k in 0..40 {
        let rest: reference::Matrix = (k..40).map(|i| dense[i][k..].to_vec()).collect();
        // The energy of column k that the columns after it do not explain.
        assert_near(factor.diag()[k], 1.0 / reference::inverse(&rest)[0][0], 1e-10, "pivot");
    }
}

#[test]
fn columns_stay_together_in_blocks() {
    let cols = 256;
    let h = hessian(cols, &Numbers::new(5).activations(300, cols));
    let by_block = CholeskyFactor::new(&h, ColumnOrder::Descending { block: 64 }, Damping::default());
    let freely = CholeskyFactor::new(&h, ColumnOrder::Descending { block: 1 }, Damping::default());
    let energy = h.diagonal();
    assert!(freely.perm().is_sorted_by(|&i, &j| energy[i] >= energy[j]));
    let sum = |block: &[usize]| block.iter().map(|&i| energy[i]).sum::<f64>();
    let sums: Vec<f64> = by_block.perm().chunks(64).map(sum).collect();
    assert!(sums.is_sorted_by(|a, b| a >= b));
    for block in by_block.perm().chunks(64) {
        assert!(block.iter().all(|c| c / 64 == block[0] / 64));
        assert!(block.is_sorted_by(|&i, &j| energy[i] >= energy[j]));
    }
}

#[test]
fn a_singular_hessian_is_damped_until_it_is_not() {
    let mut numbers = Numbers::new(6);
    let (tokens, cols) = (20, 150);
    let h = hessian(cols, &numbers.activations(tokens, cols));
    let factor = CholeskyFactor::new(&h, ColumnOrder::Natural, Damping { mean: 0.0, diagonal: 0.0 });
    let Damped::Raised(share) = factor.damped() else { panic!("{:?}", factor.damped()) };
    assert!((1e-6..1e-2).contains(&share), "{share}");
    assert!(factor.diag().iter().all(|p| *p > 0.0 && p.is_finite()));
    let silent = CholeskyFactor::new(&Hessian::new(cols), ColumnOrder::Natural, Damping::default());
    assert_eq!(silent.damped(), Damped::NoInput);
    assert_eq!((silent.at(0, 1), silent.at(3, 3), silent.diag()[0]), (0.0, 1.0, 0.0));
}

#[test]
fn the_factor_does_not_depend_on_threads() {
    let cols = 323;
    let h = hessian(cols, &Numbers::new(7).activations(400, cols));
    on_any_threads("the factor", || {
        let factor = CholeskyFactor::new(&h, ColumnOrder::Descending { block: 1 }, Damping::default());
        (0..cols)
            .flat_map(|i| (0..cols).map(move |j| (i, j)))
            .map(|(i, j)| factor.at(i, j).to_bits())
            .collect::<Vec<_>>()
    });
}
