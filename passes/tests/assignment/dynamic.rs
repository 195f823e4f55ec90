//! One byte limit and many groups, against the dynamic programme of the multiple-choice knapsack (Dudzinski and
//! Walukiewicz, 1987).

use proptest::{collection::vec, prelude::*};
use samp_abi::Format;
use samp_passes::assignment::{Choice, Group, Limit, Problem, Resource, SolveRequest, StopCriteria, solve};

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_the_dynamic_programme_finds(problem in problem(), capacity in 400..1100usize) {
        let limits = vec![Limit::new(Resource::WeightBytes, capacity as f64)];
        let exact = SolveRequest { stop: StopCriteria { gap: 0.0, nodes: 100_000 }, ..SolveRequest::new(Resource::Loss, limits) };
        let (found, best) = (solve(&problem, &exact).unwrap(), dynamic(&problem, capacity));
        prop_assert!((found.objective - best).abs() <= 1e-8 * best, "expected {best}, found {found:?}");
        prop_assert!(found.gap <= 1e-7, "{found:?}");
        let rough = SolveRequest { stop: StopCriteria { gap: 1e-2, nodes: 50 }, ..exact };
        let rough = solve(&problem, &rough).unwrap();
        prop_assert!(rough.bound <= best * (1.0 + 1e-12) && rough.objective >= best * (1.0 - 1e-12), "{rough:?}");
    }
}

fn problem() -> impl Strategy<Value = Problem> {
    let choices = vec((0..4usize, 0.0..1.0f64), 6);
    let group = (choices, -3.0..0.0f64).prop_map(|(choices, decades)| {
        let choice = |(c, (more, loss)): (usize, (usize, f64))| {
            let (bytes, nats) =
                ((1 + c * 4 + more) as f64, 10f64.powf(decades) * loss * 0.3f64.powi(c as i32));
            let costs = [(Resource::WeightBytes, bytes), (Resource::Loss, nats)].into_iter().collect();
            Choice { format: Format::Nf4, costs }
        };
        Group::new("group", choices.into_iter().enumerate().map(choice).collect())
    });
    let resources = || vec![Resource::WeightBytes, Resource::Loss];
    vec(group, 60).prop_map(move |groups| Problem { resources: resources(), groups })
}

/// `best[b]` is the least loss of the groups so far in at most `b` bytes.
fn dynamic(problem: &Problem, capacity: usize) -> f64 {
    let mut best = vec![0.0; capacity + 1];
    for group in &problem.groups {
        let choices = &group.alternatives[0].members[0].choices;
        let bytes = |choice: &Choice| choice.costs[&Resource::WeightBytes] as usize;
        let with = |b: usize| {
            let fitting = choices.iter().filter(|c| bytes(c) <= b);
            fitting.map(|c| c.costs[&Resource::Loss] + best[b - bytes(c)]).fold(f64::INFINITY, f64::min)
        };
        best = (0..=capacity).map(with).collect();
    }
    best[capacity]
}
