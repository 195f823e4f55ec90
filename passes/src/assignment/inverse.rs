//! The inverse of a small dense matrix.

/// Inverts an `n × n` matrix given by rows, by Gauss–Jordan elimination with row exchanges. `None` where it is singular.
pub(super) fn inverse(mut matrix: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    let mut inverse = vec![0.0; n * n];
    (0..n).for_each(|i| inverse[i * n + i] = 1.0);
    let size = matrix.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for column in 0..n {
        let by_size = |&a: &usize, &b: &usize| matrix[a * n + column].abs().total_cmp(&matrix[b * n + column].abs());
        let pivot = (column..n).max_by(by_size)?;
        // A column of a group of small layers is legitimately tiny; only what rounding could have made is singular.
        if matrix[pivot * n + column].abs() <= 1e-30 * size {
            return None;
        }
        for m in [&mut matrix, &mut inverse] {
            (0..n).for_each(|j| m.swap(pivot * n + j, column * n + j));
        }
        let scale = 1.0 / matrix[column * n + column];
        for m in [&mut matrix, &mut inverse] {
            m[column * n..][..n].iter_mut().for_each(|x| *x *= scale);
        }
        for row in (0..n).filter(|&row| row != column) {
            let factor = matrix[row * n + column];
            for m in [&mut matrix, &mut inverse] {
                (0..n).for_each(|j| m[row * n + j] -= factor * m[column * n + j]);
            }
        }
    }
    inverse.iter().all(|x| x.is_finite()).then_some(inverse)
}
