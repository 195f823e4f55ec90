//! A model of 40 layers: limits held, gap closed, prices that say what a limit is worth.

use super::drawn::{Draws, solved};
use crate::assignment::{
    Candidate, Costs, Effort, Group, Limit, Outcome, Problem, Quantity, Request, Role, Stratum, solve,
};

/// Name, bits per weight, relative error, decode nanoseconds per byte.
const FORMATS: [(&str, f64, f64, f64); 6] = [
    ("nf4", 4.127, 1.0, 2.4e-4),
    ("fp4", 4.5, 0.9, 2.1e-4),
    ("int6", 6.25, 0.09, 2.3e-4),
    ("int8", 8.05, 0.006, 2.1e-4),
    ("fp8", 8.1, 0.03, 2.0e-4),
    ("f16", 16.0, 1e-7, 2.0e-4),
];

fn problem() -> Problem {
    let mut draws = Draws(5);
    let mut groups = vec![];
    for layer in 0..40 {
        for (name, class, weights) in
            [("qkv_proj", "attention", 42e6), ("o_proj", "attention", 33e6), ("gate_up_proj", "mlp", 235e6), ("down_proj", "mlp", 117e6)]
        {
            let sensitivity = 10f64.powf(-6.0 + 2.0 * draws.unit());
            let candidates = FORMATS.iter().map(|&(format, bits, error, decode)| {
                let bytes = (bits * weights / 8.0).round();
                let loss = [0.7, 1.3].map(|s| s * sensitivity * error * (0.7 + 0.6 * draws.unit()));
                let costs = Costs {
                    bytes,
                    loss: loss.to_vec(),
                    decode_nanos: vec![2e3 + bytes * decode],
                    prefill_nanos: weights * 2e-3,
                };
                Candidate { formats: vec![format.into()], costs }
            });
            let role = Role::Decoder { weights: weights as u64 };
            groups.push(Group { name: format!("layers.{layer}.{name}"), class: class.into(), role, candidates: candidates.collect() });
        }
    }
    groups.push(cache());
    let strata = vec![Stratum { name: "code".into(), weight: 3.0 }, Stratum { name: "prose".into(), weight: 1.0 }];
    Problem { strata, batches: vec![1], groups, bars: vec![] }
}

/// The KV cache is one more group: half the bytes for some loss.
fn cache() -> Group {
    let candidate = |format: &str, bytes: f64, loss: f64| Candidate {
        formats: vec![format.into()],
        costs: Costs { bytes, loss: vec![loss, loss], decode_nanos: vec![bytes * 1e-4], prefill_nanos: 0.0 },
    };
    let candidates = vec![candidate("f16", 4e9, 0.0), candidate("fp8", 2e9, 1e-5)];
    Group { name: "kv_cache".into(), class: "kv_cache".into(), role: Role::Resident, candidates }
}

fn request(problem: &Problem) -> Request {
    let small = vec![0; problem.groups.len()];
    let limit = |quantity, factor| Limit { quantity, at_most: problem.total(quantity, &small) * factor };
    let limits = vec![
        limit(Quantity::DeviceBytes, 1.02),
        limit(Quantity::AverageBits, 1.2),
        limit(Quantity::Decode(0), 1.03),
        limit(Quantity::StratumLoss(1), 0.35),
    ];
    Request { objective: Quantity::Loss, limits, effort: Effort::default() }
}

#[test]
fn forty_layers_are_solved_to_the_gap_within_the_limits() {
    let problem = problem();
    let request = request(&problem);
    let start = std::time::Instant::now();
    let solution = solved(&problem, &request);
    println!("161 groups, 4 limits: gap {:.1e}, {} nodes, {:?}", solution.gap, solution.nodes, start.elapsed());
    assert!(solution.gap <= 1e-5, "{solution:?}");
    for row in &solution.rows {
        println!("{row}");
        assert!(row.value <= row.limit && row.slack >= 0.0, "{row}");
    }
    assert_eq!(problem.groups[160].candidates[solution.choices[160]].formats, ["fp8"], "the cache pays for weights");
}

#[test]
fn a_price_bounds_what_a_higher_limit_can_buy() {
    let problem = problem();
    let request = request(&problem);
    let before = solved(&problem, &request);
    let priced = before.rows.iter().position(|r| r.price < 0.0).expect("some limit binds");
    for factor in [1.001, 1.01, 1.05] {
        let mut wider = request.clone();
        let more = wider.limits[priced].at_most * (factor - 1.0);
        wider.limits[priced].at_most += more;
        let after = solved(&problem, &wider);
        let (bought, price) = (before.objective - after.objective, -before.rows[priced].price * more);
        // The loss falls ever more slowly, so a price is the most that a wider limit can buy; rounding to whole choices
        // adds the gap.
        assert!(bought >= 0.0 && bought <= price + 1e-3 * before.objective, "{bought} against {price}");
        assert!(factor > 1.01 || bought >= 0.5 * price, "{bought} against {price}");
    }
}

#[test]
fn few_nodes_still_give_an_honest_bound() {
    let problem = problem();
    let request = request(&problem);
    let best = solved(&problem, &request);
    match solve(&problem, &Request { effort: Effort { gap: 0.0, nodes: 1 }, ..request }).unwrap() {
        Outcome::Solved(s) => assert!(s.bound <= best.objective && s.objective >= best.bound && s.gap < 0.05, "{s:?}"),
        other => panic!("{other:?}"),
    }
}
