//! Which points are beaten by another in every coordinate.

use std::cmp::Ordering;

/// Indices, ascending, of the points that no other point dominates: none is at most as large in every coordinate.
/// Of equal points the first stays.
pub(super) fn undominated<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    undominated_where(points, |_, _| true)
}

/// The same where `a` can dominate `b` only if `comparable(a, b)`, which must be transitive.
pub(super) fn undominated_where<P: AsRef<[f64]>>(
    points: &[P],
    comparable: impl Fn(usize, usize) -> bool,
) -> Vec<usize> {
    let point = |i: usize| points[i].as_ref();
    let mut order: Vec<usize> = (0..points.len()).collect();
    // A dominating point never comes after the one it dominates in this order, because the sort is stable.
    order.sort_by(|&a, &b| lexicographic(point(a), point(b)));
    let mut kept: Vec<usize> = vec![];
    for b in order {
        let dominates = |&a: &usize| comparable(a, b) && point(a).iter().zip(point(b)).all(|(x, y)| x <= y);
        if !kept.iter().any(dominates) {
            kept.push(b);
        }
    }
    kept.sort_unstable();
    kept
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}
