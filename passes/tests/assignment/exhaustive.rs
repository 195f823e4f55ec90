//! Plans, bounds, shadow prices and fronts of small problems, against trying every plan.

use proptest::prelude::*;
use samp_passes::assignment::{Axis, Costs, Error, Problem, Resource, Solution, SolveRequest, pareto, solve};

use super::random::{EXACT, TIME, asked, fits, largest, least, plans, problem};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_trying_everything_finds((problem, request) in asked()) {
        match (solve(&problem, &request), least(&problem, &request.minimise, &request.limits)) {
            (Ok(solution), Some(best)) => check(&problem, &request, &solution, best)?,
            (Err(Error::Infeasible(_)), None) => {}
            (found, expected) => prop_assert!(false, "expected {expected:?}, found {found:?}"),
        }
        prop_assert_eq!(solve(&problem, &request), solve(&problem, &request));
    }

    #[test]
    fn a_fine_sweep_finds_only_and_nearly_all_of_the_front(problem in problem(), two in any::<bool>()) {
        let swept = if two { vec![Resource::WeightBytes, TIME] } else { vec![Resource::WeightBytes] };
        let axes: Vec<Axis> = swept.iter().cloned().map(|resource| Axis { resource, steps: 12 }).collect();
        let request = SolveRequest { stop: EXACT, ..SolveRequest::new(Resource::Loss, vec![]) };
        let front = pareto(&problem, &request, &axes).unwrap();
        let traded = [swept, vec![Resource::Loss]].concat();
        let tolerance = |resource: &Resource| 1e-8 * largest(&problem, resource);
        for plan in &front {
            for other in plans(&problem) {
                let other = problem.totals(&other);
                let better = traded.iter().all(|r| other[r] < plan.totals[r] - tolerance(r));
                prop_assert!(!better, "{:?} is beaten by {other:?}", plan.totals);
            }
        }
        let spent = |s: &Solution| s.totals[&Resource::WeightBytes];
        prop_assert!(front.windows(2).all(|p| spent(&p[0]) <= spent(&p[1])));
        let cheapest = least(&problem, &Resource::WeightBytes, &[]).unwrap();
        prop_assert!((spent(&front[0]) - cheapest).abs() <= tolerance(&Resource::WeightBytes));
        let best = front.iter().map(|s| s.objective).fold(f64::INFINITY, f64::min);
        prop_assert!((best - least(&problem, &Resource::Loss, &[]).unwrap()).abs() <= tolerance(&Resource::Loss));
    }
}

fn check(
    problem: &Problem,
    request: &SolveRequest,
    found: &Solution,
    best: f64,
) -> Result<(), TestCaseError> {
    let scale = largest(problem, &request.minimise);
    prop_assert!(
        (found.objective - best).abs() <= 1e-8 * best.abs() + 1e-14 * scale,
        "not {best}: {found:#?}"
    );
    prop_assert!(found.bound <= best + 1e-12 * scale, "a bound above {best}: {found:#?}");
    prop_assert!(found.bound >= best - 1e-8 * scale, "an open gap below {best}: {found:#?}");
    prop_assert_eq!(&found.totals, &problem.totals(&found.chosen));
    prop_assert_eq!(found.objective, found.totals[&request.minimise]);
    prop_assert!(fits(&request.limits, &found.totals));
    for (limit, report) in request.limits.iter().zip(&found.limits) {
        prop_assert_eq!(report.spent, found.totals[&limit.resource]);
        prop_assert!(report.price <= 0.0);
    }
    // What the shadow prices prove by themselves must not exceed the best.
    let priced = |totals: &Costs| {
        let limits = found.limits.iter().map(|l| -l.price * (totals[&l.resource] - l.most));
        totals[&request.minimise] + limits.sum::<f64>()
    };
    let dual = plans(problem).iter().map(|p| priced(&problem.totals(p))).fold(f64::INFINITY, f64::min);
    let size = found.limits.iter().map(|l| -l.price * l.most.abs()).fold(best.abs(), f64::max);
    prop_assert!(dual <= best + 1e-9 * size.max(scale), "{dual} above {best}: {found:#?}");
    Ok(())
}
