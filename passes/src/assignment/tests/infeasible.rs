//! What is said about requests that no plan satisfies.

use super::drawn::{Draws, EXACT, FORMATS, all_plans, close, fits, least, problem, request};
use crate::assignment::{
    Bar, Candidate, Costs, Group, Infeasibility, Limit, Outcome, Problem, Quantity, Relaxation, Request, Role,
    Stratum, solve,
};

#[test]
fn explanations_hold_when_tried() {
    let (mut draws, mut seen, mut lifted, mut helpless) = (Draws(3), 0, 0, 0);
    while seen < 300 {
        let mut problem = problem(&mut draws);
        let class = draws.one_of(&["attention", "mlp"]).into();
        problem.bars = vec![Bar { class, format: FORMATS[1 + draws.below(4)].into() }];
        let request = request(&problem, &mut draws);
        if let Ok(Outcome::Infeasible(why)) = solve(&problem, &request) {
            check(&problem, &request, &why);
            seen += 1;
            lifted += usize::from(why.relaxations.iter().any(|r| matches!(r, Relaxation::Lift(_))));
            helpless += usize::from(why.relaxations.is_empty());
        }
    }
    assert!(lifted > 10 && helpless > 10, "{lifted} lifts, {helpless} without a single remedy: the draws are lopsided");
}

fn check(problem: &Problem, request: &Request, why: &Infeasibility) {
    let limits = &request.limits;
    let feasible = |limits: &[Limit]| all_plans(problem).iter().any(|p| fits(problem, limits, p));
    for need in &why.needs {
        let exact = least(problem, need.quantity, &[]).unwrap();
        assert!(close(need.least, exact, 1e3 * exact.abs()), "expected {exact}, found {need:?}");
    }
    let conflict: Vec<Limit> = why.conflict.iter().map(|&i| limits[i]).collect();
    assert!(!feasible(&conflict), "{why:?} of {limits:?}");
    for leave_out in 0..conflict.len() {
        let mut fewer = conflict.clone();
        fewer.remove(leave_out);
        assert!(feasible(&fewer), "{why:?} is not minimal");
    }
    check_raises(problem, limits, why);
    for relaxation in &why.relaxations {
        if let Relaxation::Lift(bar) = relaxation {
            let lifted = Problem { bars: problem.bars.iter().filter(|b| *b != bar).cloned().collect(), ..problem.clone() };
            assert!(all_plans(&lifted).iter().any(|p| fits(&lifted, limits, p)), "{bar:?} does not help");
        }
    }
    let together: Vec<Limit> =
        limits.iter().zip(&why.together).map(|(l, &at_most)| Limit { at_most, ..*l }).collect();
    assert!(matches!(solve(problem, &Request { limits: together, ..request.clone() }), Ok(Outcome::Solved(_))), "{why:?}");
}

fn check_raises(problem: &Problem, limits: &[Limit], why: &Infeasibility) {
    for (i, limit) in limits.iter().enumerate() {
        let others = [&limits[..i], &limits[i + 1..]].concat();
        let found = why.relaxations.iter().find_map(|r| match r {
            Relaxation::Raise { limit, to } if *limit == i => Some(*to),
            _ => None,
        });
        match (least(problem, limit.quantity, &others), found) {
            (Some(exact), Some(to)) => assert!((to - exact).abs() <= 2e-4 * exact.abs() + 1e-12, "{to}, not {exact}"),
            (exact, found) => assert!(exact.is_none() && found.is_none(), "expected {exact:?}, found {found:?}"),
        }
    }
}

#[test]
fn says_what_70b_needs_in_38_gb() {
    let group = |name: &str, class: &str, role: Role, sizes: &[(&str, f64, f64)]| {
        let candidate = |&(format, bytes, loss): &(&str, f64, f64)| Candidate {
            formats: vec![format.into()],
            costs: Costs { bytes: bytes * 1e9, loss: vec![loss], decode_nanos: vec![], prefill_nanos: 0.0 },
        };
        Group { name: name.into(), class: class.into(), role, candidates: sizes.iter().map(candidate).collect() }
    };
    let problem = Problem {
        strata: vec![Stratum { name: "all".into(), weight: 1.0 }],
        batches: vec![],
        groups: vec![
            group("attention", "attention", Role::Decoder { weights: 1 }, &[("fp8", 12.08, 2e-4), ("nf4", 4.6, 2e-3)]),
            group("mlp", "mlp", Role::Decoder { weights: 1 }, &[("nf4", 29.09, 2e-3)]),
            group("ends", "ends", Role::Table, &[("f16", 4.2, 0.0)]),
        ],
        bars: vec![Bar { class: "attention".into(), format: "nf4".into() }],
    };
    let limits = vec![Limit { quantity: Quantity::WeightBytes, at_most: 38e9 }];
    let Ok(Outcome::Infeasible(why)) = solve(&problem, &Request { objective: Quantity::Loss, limits, effort: EXACT })
    else {
        panic!("38 GB cannot hold this")
    };
    assert_eq!(
        why.to_string(),
        "weights: at least 45.37 GB in any plan, the limit is 38 GB. Any one of these is enough: weights of 45.37 GB \
         (7.37 GB more)."
    );
    let limits = vec![Limit { quantity: Quantity::WeightBytes, at_most: 37.9e9 }];
    let roomier = Request { objective: Quantity::Loss, limits, effort: EXACT };
    let mut problem = problem;
    problem.groups[0].candidates[1].costs.bytes = 4.5e9;
    let Ok(Outcome::Infeasible(why)) = solve(&problem, &roomier) else { panic!("nf4 attention is barred") };
    assert!(why.to_string().ends_with("allow nf4 for attention."), "{why}");
}
