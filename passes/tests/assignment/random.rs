//! Small random problems, and their exact answers by trying every plan.

use proptest::{collection::vec, prelude::*, sample::Index};
use samp_abi::Format;
use samp_passes::assignment::{
    Choice, Costs, Group, GroupChoice, Limit, Member, Problem, Resource, SolveRequest, StopCriteria,
};

/// Everything the solver can prove.
pub const EXACT: StopCriteria = StopCriteria { gap: 0.0, nodes: 100_000 };

/// The time of a step over one token.
pub const TIME: Resource = Resource::StepTime { tokens: 1 };

pub fn resources() -> Vec<Resource> {
    vec![Resource::WeightBytes, TIME, Resource::Loss, Resource::stratum_loss("prose")]
}

/// Costs of one of several kinds: a few distinct values (many ties), the same beside a large constant, ordinary ones,
/// bytes, eight decades, negative.
fn cost() -> impl Strategy<Value = BoxedStrategy<f64>> {
    prop_oneof![
        Just((0..4u8).prop_map(f64::from).boxed()),
        Just((0..4u8).prop_map(|n| 1e9 + f64::from(n)).boxed()),
        Just((0.0..1.0).boxed()),
        Just((0..100_000_000_000u64).prop_map(|b| b as f64).boxed()),
        Just((-8.0..0.0f64).prop_map(|e| 10f64.powf(e)).boxed()),
        Just((-0.5..0.5).boxed()),
    ]
}

fn choices(kinds: Vec<BoxedStrategy<f64>>) -> impl Strategy<Value = Vec<Choice>> {
    let choice =
        |costs: Vec<f64>| Choice { format: Format::Nf4, costs: resources().into_iter().zip(costs).collect() };
    vec(kinds.prop_map(choice), 1..=3)
}

fn group(kinds: Vec<BoxedStrategy<f64>>) -> impl Strategy<Value = Group> {
    let member = choices(kinds.clone()).prop_map(|choices| Member { name: "member".into(), choices });
    let split = prop::option::of(vec(member, 2));
    (choices(kinds), split).prop_map(|(choices, split)| {
        let group = Group::new("group", choices);
        if let Some(members) = split { group.or_split(members) } else { group }
    })
}

pub fn problem() -> impl Strategy<Value = Problem> {
    [cost(), cost(), cost(), cost()].prop_flat_map(|kinds| {
        vec(group(kinds.to_vec()), 1..=4).prop_map(|groups| Problem { resources: resources(), groups })
    })
}

/// A problem and a request with up to four limits, each exactly what some plan spends, a bit more, or too little.
pub fn asked() -> impl Strategy<Value = (Problem, SolveRequest)> {
    let factor = prop::sample::select(vec![0.0, 0.0, 0.1, -0.1]);
    let resource = || prop::sample::select(resources());
    let limits = vec((resource(), any::<Index>(), factor), 0..=4);
    (problem(), resource(), limits).prop_map(|(problem, minimise, limits)| {
        let plans = plans(&problem);
        let limit = |(resource, plan, more): (Resource, Index, f64)| {
            let spent = problem.totals(&plans[plan.index(plans.len())])[&resource];
            Limit::new(resource, spent + more * spent.abs())
        };
        let limits = limits.into_iter().map(limit).collect();
        let request = SolveRequest { stop: EXACT, ..SolveRequest::new(minimise, limits) };
        (problem, request)
    })
}

/// Every plan, in the order of the tables.
pub fn plans(problem: &Problem) -> Vec<Vec<GroupChoice>> {
    let mut plans = vec![vec![]];
    for group in &problem.groups {
        let ways: Vec<GroupChoice> = (0..group.alternatives.len()).flat_map(|a| ways(group, a)).collect();
        let extended = |plan: &Vec<GroupChoice>| -> Vec<Vec<GroupChoice>> {
            ways.iter().map(|way| [plan.as_slice(), std::slice::from_ref(way)].concat()).collect()
        };
        plans = plans.iter().flat_map(extended).collect();
    }
    plans
}

fn ways(group: &Group, alternative: usize) -> Vec<GroupChoice> {
    let mut ways = vec![vec![]];
    for member in &group.alternatives[alternative].members {
        let choices = 0..member.choices.len();
        ways = ways.iter().flat_map(|way| choices.clone().map(|c| [way.as_slice(), &[c]].concat())).collect();
    }
    ways.into_iter().map(|choices| GroupChoice { alternative, choices }).collect()
}

pub fn fits(limits: &[Limit], totals: &Costs) -> bool {
    limits.iter().all(|limit| totals[&limit.resource] <= limit.most)
}

/// The least of a resource within the limits, by trying every plan.
pub fn least(problem: &Problem, resource: &Resource, limits: &[Limit]) -> Option<f64> {
    let totals = plans(problem).into_iter().map(|plan| problem.totals(&plan));
    totals.filter(|t| fits(limits, t)).map(|t| t[resource]).reduce(f64::min)
}

/// The largest cost of a resource: sums are as good as the rounding of this.
pub fn largest(problem: &Problem, resource: &Resource) -> f64 {
    let alternatives = problem.groups.iter().flat_map(|g| &g.alternatives);
    let choices = alternatives.flat_map(|a| &a.members).flat_map(|p| &p.choices);
    choices.map(|c| c.costs[resource].abs()).fold(0.0, f64::max)
}
