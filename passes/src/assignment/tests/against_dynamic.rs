//! One byte limit, many groups: against the dynamic programme of the multiple-choice knapsack (Dudzinski and Walukiewicz,
//! 1987).

use super::drawn::{Draws, EXACT, solved};
use crate::assignment::{Candidate, Costs, Effort, Group, Limit, Problem, Quantity, Request, Role, Stratum};

#[test]
fn finds_what_the_dynamic_programme_finds() {
    let mut draws = Draws(2);
    for _ in 0..20 {
        let problem = problem(&mut draws);
        let capacity = 200 + draws.below(700);
        let limits = vec![Limit { quantity: Quantity::WeightBytes, at_most: capacity as f64 }];
        let request = Request { objective: Quantity::Loss, limits, effort: EXACT };
        let (solution, best) = (solved(&problem, &request), dynamic(&problem, capacity));
        assert!((solution.objective - best).abs() <= 1e-9 * best, "expected {best}, found {solution:?}");
        assert!(solution.gap <= 1e-8, "{solution:?}");
        let rough = solved(&problem, &Request { effort: Effort { gap: 1e-2, nodes: 50 }, ..request });
        assert!(rough.bound <= best * (1.0 + 1e-12) && rough.objective >= best * (1.0 - 1e-12), "{rough:?}");
    }
}

fn problem(draws: &mut Draws) -> Problem {
    let group = |g: usize| {
        let sensitivity = 10f64.powf(-3.0 * draws.unit());
        let candidates = (0..6).map(|c| Candidate {
            formats: vec![format!("format {c}")],
            costs: Costs {
                bytes: (1 + c * 4 + draws.below(4)) as f64,
                loss: vec![sensitivity * draws.unit() * 0.3f64.powi(c as i32)],
                decode_nanos: vec![],
                prefill_nanos: 0.0,
            },
        });
        let role = Role::Decoder { weights: 1 };
        Group { name: format!("group {g}"), class: "mlp".into(), role, candidates: candidates.collect() }
    };
    let groups = (0..50).map(group).collect();
    Problem { strata: vec![Stratum { name: "all".into(), weight: 1.0 }], batches: vec![], groups, bars: vec![] }
}

/// `best[b]` is the least loss of the groups so far in at most `b` bytes.
fn dynamic(problem: &Problem, capacity: usize) -> f64 {
    let mut best = vec![0.0; capacity + 1];
    for group in &problem.groups {
        let with = |b: usize| {
            let fitting = group.candidates.iter().filter(|c| c.costs.bytes as usize <= b);
            fitting.map(|c| c.costs.loss[0] + best[b - c.costs.bytes as usize]).fold(f64::INFINITY, f64::min)
        };
        best = (0..=capacity).map(with).collect();
    }
    best[capacity]
}
