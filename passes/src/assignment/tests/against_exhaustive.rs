//! Plans, bounds and shadow prices of small problems, against trying every plan.

use super::drawn::{Draws, close, least, problem, request};
use crate::assignment::{Outcome, Problem, Quantity, Request, Solution, solve};

#[test]
fn finds_what_trying_everything_finds() {
    let (mut draws, mut solved, mut infeasible) = (Draws(1), 0, 0);
    for _ in 0..3000 {
        let problem = problem(&mut draws);
        let request = request(&problem, &mut draws);
        match (solve(&problem, &request).unwrap(), least(&problem, request.objective, &request.limits)) {
            (Outcome::Solved(solution), Some(best)) => {
                check(&problem, &request, &solution, best);
                solved += 1;
            }
            (Outcome::Infeasible(_), None) => infeasible += 1,
            (outcome, best) => panic!("{request:#?}: expected {best:?}, found {outcome:?}"),
        }
    }
    assert!(solved > 1000 && infeasible > 300, "{solved} solved, {infeasible} infeasible: the draws are lopsided");
}

fn check(problem: &Problem, request: &Request, solution: &Solution, best: f64) {
    let scale = largest(problem, request.objective);
    assert!(close(solution.objective, best, scale), "expected {best}, found {solution:#?}");
    assert!(solution.bound <= best + 1e-12 * scale, "a bound above the best plan {best}: {solution:#?}");
    assert!(close(solution.bound, best, 10.0 * scale), "an open gap: {solution:#?}");
    assert_eq!(solution.objective, problem.total(request.objective, &solution.choices));
    for row in &solution.rows {
        assert!(row.slack >= -1e-12 * (row.limit.abs() + largest(problem, row.quantity)), "{row:?}");
        assert!(row.price <= 0.0);
    }
    assert!(dual(problem, request, solution) <= best + 1e-9 * scale.max(best.abs()));
}

/// `min over all plans of objective + Σ −priceᵢ · (valueᵢ − limitᵢ)`: what the shadow prices prove by themselves.
fn dual(problem: &Problem, request: &Request, solution: &Solution) -> f64 {
    let limits: f64 = solution.rows.iter().map(|r| r.price * r.limit).sum();
    let least = |g: usize| {
        let values = (0..problem.groups[g].candidates.len()).map(|c| {
            let of = |quantity| problem.share(quantity).of(&problem.groups[g], &problem.groups[g].candidates[c]);
            of(request.objective) - solution.rows.iter().map(|r| r.price * of(r.quantity)).sum::<f64>()
        });
        values.fold(f64::INFINITY, f64::min)
    };
    (0..problem.groups.len()).map(least).sum::<f64>() + limits
}

fn largest(problem: &Problem, quantity: Quantity) -> f64 {
    let share = problem.share(quantity);
    let values = problem.groups.iter().flat_map(|g| g.candidates.iter().map(|c| share.of(g, c).abs()));
    values.fold(0.0, f64::max)
}
