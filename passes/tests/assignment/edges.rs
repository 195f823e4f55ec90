//! Degenerate and malformed input.

use samp_abi::Format;
use samp_passes::assignment::{
    Alternative, Axis, Choice, Costs, Error, Group, Limit, Member, Problem, Resource, SolveRequest,
    explain_infeasible, pareto, solve,
};

use super::random::{EXACT, TIME, resources};

fn choice(format: Format, bytes: f64, loss: f64) -> Choice {
    Choice { format, costs: resources().into_iter().zip([bytes, bytes, loss, loss]).collect() }
}

fn of(groups: Vec<Group>) -> Problem {
    Problem { resources: resources(), groups }
}

fn within(bytes: f64) -> SolveRequest {
    SolveRequest {
        stop: EXACT,
        ..SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::WeightBytes, bytes)])
    }
}

fn taken(problem: &Problem, request: &SolveRequest) -> Vec<usize> {
    solve(problem, request).unwrap().chosen.iter().map(|c| c.choices[0]).collect()
}

#[test]
fn no_groups_have_the_empty_plan() {
    let solution = solve(&of(vec![]), &within(0.0)).unwrap();
    assert_eq!((solution.chosen.len(), solution.objective, solution.gap), (0, 0.0, 0.0));
    assert!(matches!(solve(&of(vec![]), &within(-1.0)), Err(Error::Infeasible(_))));
    let axes = [Axis { resource: Resource::WeightBytes, steps: 3 }];
    assert_eq!(pareto(&of(vec![]), &within(0.0), &axes).unwrap().len(), 1);
}

#[test]
fn a_group_with_one_choice_takes_it_or_nothing_fits() {
    let only = of(vec![Group::new("a", vec![choice(Format::Nf4, 10.0, 0.5)])]);
    assert_eq!(taken(&only, &within(10.0)), [0]);
    let Err(Error::Infeasible(why)) = solve(&only, &within(9.0)) else { panic!("10 bytes do not fit in 9") };
    assert_eq!(why.relaxations[0].alone, Some(10.0));
}

#[test]
fn where_nothing_is_lost_the_objective_is_zero_and_so_is_the_gap() {
    let lossless = vec![choice(Format::Nf4, 10.0, 0.0), choice(Format::F16, 40.0, 0.0)];
    let problem = of((0..50).map(|g| Group::new(g.to_string(), lossless.clone())).collect());
    let solution = solve(&problem, &within(1000.0)).unwrap();
    assert_eq!((solution.objective, solution.bound, solution.gap), (0.0, 0.0, 0.0));
}

#[test]
fn of_equal_choices_the_first_is_taken() {
    let equal = Group::new("a", vec![choice(Format::Nf4, 1e10, 1e-8); 8]);
    assert_eq!(taken(&of(vec![equal; 50]), &within(5e11)), [0; 50]);
    let fused = Group::new("qkv", vec![choice(Format::Nf4, 8.0, 1.0)]);
    let member = Member { name: "q".into(), choices: vec![choice(Format::Nf4, 4.0, 0.5)] };
    let problem = of(vec![fused.or_split(vec![member.clone(), member])]);
    assert_eq!(solve(&problem, &within(8.0)).unwrap().chosen[0].alternative, 0);
}

#[test]
fn equal_groups_do_not_send_the_search_in_circles() {
    let choices = [
        (Format::Nf4, 4.0, 1.0),
        (Format::Fp4, 6.0, 0.3),
        (Format::INT8, 8.0, 0.1),
        (Format::F16, 16.0, 0.0),
    ];
    let choices: Vec<Choice> =
        choices.iter().map(|&(format, bytes, loss)| choice(format, bytes, loss)).collect();
    let problem = of((0..200).map(|g| Group::new(g.to_string(), choices.clone())).collect());
    let mut request = within(1101.0);
    request.stop.nodes = 300;
    let solution = solve(&problem, &request).unwrap();
    // 150 of fp4 and 50 of nf4 take 1100 and lose 95; the odd byte buys nothing, but no relaxation knows that.
    assert!((solution.objective - 95.0).abs() < 1e-9 && solution.gap < 4e-3, "{solution:?}");
}

#[test]
fn a_limit_may_be_met_exactly_and_given_twice() {
    let group = Group::new("a", vec![choice(Format::Nf4, 0.1, 1.0), choice(Format::F16, 0.2, 0.0)]);
    let problem = of(vec![group; 7]);
    let spent: f64 = [0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1].iter().sum();
    let mut request = within(spent);
    request.limits.push(Limit::new(Resource::WeightBytes, 100.0));
    assert!((solve(&problem, &request).unwrap().objective - 5.0).abs() < 1e-12);
}

#[test]
fn few_nodes_give_an_honest_answer() {
    let choices = |g: usize| {
        (0..4).map(move |c| choice(Format::Nf4, (3 + c * (g % 7 + 2)) as f64, 1.0 / (1 + c * (g % 5)) as f64))
    };
    let problem = of((0..60).map(|g| Group::new(g.to_string(), choices(g).collect())).collect());
    let best = solve(&problem, &within(333.0)).unwrap();
    let mut hasty = within(333.0);
    hasty.stop.nodes = 1;
    let hasty = solve(&problem, &hasty).unwrap();
    assert!(hasty.bound <= best.objective && best.bound <= hasty.objective && hasty.gap < 0.05, "{hasty:?}");
}

#[test]
fn numbers_that_are_none_are_refused_with_their_place() {
    for bad in [f64::NAN, f64::INFINITY, -1e30] {
        let problem = of(vec![Group::new("a", vec![choice(Format::Nf4, 1.0, bad)])]);
        let error = solve(&problem, &within(1.0)).unwrap_err();
        assert!(
            matches!(&error, Error::NotANumber { place, .. } if place == "loss of `nf4` for `a`"),
            "{error}"
        );
        let error = solve(&of(vec![]), &within(bad)).unwrap_err();
        assert!(
            matches!(&error, Error::NotANumber { place, .. } if place == "limit on weight bytes"),
            "{error}"
        );
    }
}

#[test]
fn what_has_nothing_to_choose_is_refused() {
    let nothing = Error::NoChoice { place: "a".into() };
    let empty = Alternative { members: vec![] };
    for alternatives in [
        vec![],
        vec![empty],
        vec![Alternative { members: vec![Member { name: "a".into(), choices: vec![] }] }],
    ] {
        let problem = of(vec![Group { name: "a".into(), alternatives }]);
        assert_eq!(solve(&problem, &within(1.0)), Err(nothing.clone()));
        assert_eq!(explain_infeasible(&problem, &within(1.0)), Err(nothing.clone()));
    }
}

#[test]
fn limits_and_costs_must_agree_with_the_declared_resources() {
    let mut problem = of(vec![Group::new("a", vec![choice(Format::Nf4, 1.0, 1.0)])]);
    let error = solve(&problem, &SolveRequest::new(Resource::BitsPerWeight, vec![])).unwrap_err();
    assert!(matches!(&error, Error::UnknownResource { resource: Resource::BitsPerWeight, .. }), "{error}");
    let axis = [Axis { resource: Resource::BitsPerWeight, steps: 3 }];
    assert!(matches!(pareto(&problem, &within(1.0), &axis), Err(Error::UnknownResource { .. })));
    let costs = &mut problem.groups[0].alternatives[0].members[0].choices[0].costs;
    *costs = Costs::from_iter([(Resource::WeightBytes, 1.0), (TIME, 1.0), (Resource::Loss, 1.0)]);
    let (place, resource) = ("`nf4` for `a`".into(), Resource::stratum_loss("prose"));
    assert_eq!(solve(&problem, &within(1.0)), Err(Error::MissingCost { place, resource }));
}
