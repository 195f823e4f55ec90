//! Plans that trade one quantity for another, none of them beaten in all.

use super::{
    Error, Limit, Problem, Quantity, Request, dominance::undominated, program::Program, search::search,
    solution::validate,
};

/// A quantity to trade the objective against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The quantity.
    pub quantity: Quantity,
    /// How many limits, evenly spaced from the most to the least that makes sense, are tried on it.
    pub steps: usize,
}

/// One plan of a front.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The chosen candidate of each group.
    pub choices: Vec<usize>,
    /// The objective, then each axis.
    pub values: Vec<f64>,
    /// No plan within the same limits has a lower objective.
    pub bound: f64,
}

/// The Pareto front of the objective over the axes, within the request's limits, in ascending order of the axes.
///
/// The ε-constraint method (Haimes, Lasdon and Wismer, 1971): the objective is minimised under a falling limit on each
/// axis. Limits that the last plan already meets are passed over. Every point is as good as [`Point::bound`] says; the
/// front is complete where the steps are finer than the distance between plans.
///
/// # Errors
/// [`Error`] as for [`solve`](super::solve). No plan at all makes an empty front.
pub fn front(problem: &Problem, request: &Request, axes: &[Axis]) -> Result<Vec<Point>, Error> {
    validate(problem, request)?;
    axes.iter().try_for_each(|axis| problem.validate_quantity(axis.quantity))?;
    let sweep = Sweep { problem, request, axes };
    let mut points = sweep.from(0, &mut request.limits.clone());
    let values: Vec<&[f64]> = points.iter().map(|p| p.values.as_slice()).collect();
    let mut kept = undominated(&values).into_iter();
    let mut next = kept.next();
    let mut index = 0;
    points.retain(|_| {
        let keep = next == Some(index);
        next = if keep { kept.next() } else { next };
        index += 1;
        keep
    });
    points.sort_by(|a, b| {
        let axes = a.values[1..].iter().zip(&b.values[1..]).map(|(x, y)| x.total_cmp(y));
        axes.fold(std::cmp::Ordering::Equal, |so_far, next| so_far.then(next))
    });
    Ok(points)
}

struct Sweep<'a> {
    problem: &'a Problem,
    request: &'a Request,
    axes: &'a [Axis],
}

impl Sweep<'_> {
    /// All points found by lowering the axes from `depth` on, under the limits so far.
    fn from(&self, depth: usize, limits: &mut Vec<Limit>) -> Vec<Point> {
        let Some(&Axis { quantity, steps }) = self.axes.get(depth) else {
            return self.point(self.request.objective, limits).into_iter().collect();
        };
        let mut points = self.from(depth + 1, limits);
        let Some(extreme) = self.point(quantity, limits) else { return points };
        let least = extreme.values[depth + 1];
        let most = |points: &[Point]| points.iter().map(|p| p.values[depth + 1]).fold(f64::NEG_INFINITY, f64::max);
        let (top, mut met) = (most(&points), most(&points));
        for step in 1..steps {
            let at_most = least + (top - least) * (steps - 1 - step) as f64 / (steps - 1) as f64;
            if at_most >= met && step + 1 < steps {
                continue;
            }
            limits.push(Limit { quantity, at_most });
            let found = self.from(depth + 1, limits);
            limits.pop();
            met = most(&found);
            points.extend(found);
        }
        points.push(extreme);
        points
    }

    /// The plan with the least of a quantity.
    fn point(&self, minimised: Quantity, limits: &[Limit]) -> Option<Point> {
        let found = search(&Program::new(self.problem, &[(minimised, 1.0)], limits), self.request.effort);
        let (choices, _) = found.plan?;
        let value = |q| self.problem.total(q, &choices);
        let values = [self.request.objective].into_iter().chain(self.axes.iter().map(|a| a.quantity)).map(value);
        let values = values.collect();
        Some(Point { choices, values, bound: found.bound })
    }
}
