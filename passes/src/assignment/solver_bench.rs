//! Time and gap of the assignment solver on synthetic profiles of the largest models.
//!
//! `cargo bench -p samp-passes --bench solver`

use std::time::Instant;

use samp_passes::assignment::{
    Axis, Candidate, Costs, Effort, Group, Limit, Outcome, Problem, Quantity, Request, Role, Stratum, front,
    solve,
};

/// Name, bits per weight, relative error, decode nanoseconds per byte, prefill nanoseconds per weight.
const FORMATS: [(&str, f64, f64, f64, f64); 8] = [
    ("nf4", 4.127, 1.0, 2.4e-4, 2.1e-5),
    ("int4", 4.25, 1.3, 2.2e-4, 2.0e-5),
    ("fp4", 4.5, 0.9, 2.1e-4, 1.0e-5),
    ("int6", 6.25, 0.09, 2.3e-4, 2.4e-5),
    ("int8", 8.05, 0.006, 2.1e-4, 1.2e-5),
    ("fp8", 8.1, 0.03, 2.0e-4, 1.1e-5),
    ("int8_outliers", 8.4, 0.004, 2.6e-4, 2.6e-5),
    ("f16", 16.0, 1e-7, 2.0e-4, 2.0e-5),
];

/// Projections of a Llama of hidden size 16384: name, class, millions of weights.
const PROJECTIONS: [(&str, &str, f64); 7] = [
    ("q_proj", "attention", 268.4),
    ("k_proj", "attention", 16.8),
    ("v_proj", "attention", 16.8),
    ("o_proj", "attention", 268.4),
    ("gate_proj", "mlp", 872.4),
    ("up_proj", "mlp", 872.4),
    ("down_proj", "mlp", 872.4),
];

const STRATA: [(&str, f64); 3] = [("code", 0.7), ("json", 0.2), ("prose", 0.1)];

/// Knuth's MMIX generator.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Positive, spread over the given number of powers of ten.
    fn spread(&mut self, decades: f64) -> f64 {
        10f64.powf(decades * (self.unit() - 0.5))
    }
}

fn main() {
    for (layers, decades) in [(32, 2.0), (126, 0.0), (126, 1.0), (126, 2.0), (126, 4.0)] {
        let problem = profile(layers, decades);
        let request = request(&problem);
        let start = Instant::now();
        let outcome = solve(&problem, &request).expect("a well-formed problem");
        let seconds = start.elapsed().as_secs_f64();
        println!("{layers} layers x 7 x 8, sensitivities over {decades} decades, 4 limits: {seconds:.3} s");
        report(&outcome);
    }
    sweep();
}

fn report(outcome: &Outcome) {
    match outcome {
        Outcome::Solved(s) => {
            println!(
                "  loss {:.6e}, bound {:.6e}, gap {:.1e}, {} nodes",
                s.objective, s.bound, s.gap, s.nodes
            );
            s.rows.iter().for_each(|row| println!("  {row}"));
        }
        Outcome::Infeasible(why) => println!("  {why}"),
        Outcome::Undecided { bound, nodes } => println!("  undecided: bound {bound:e} after {nodes} nodes"),
    }
}

fn sweep() {
    let problem = profile(126, 2.0);
    let request = Request { limits: vec![], effort: Effort { gap: 1e-3, nodes: 200 }, ..request(&problem) };
    let axes = [(Quantity::WeightBytes, 32), (Quantity::Decode(0), 6)]
        .map(|(quantity, steps)| Axis { quantity, steps });
    for axes in [&axes[..1], &axes[..]] {
        let start = Instant::now();
        let points = front(&problem, &request, axes).expect("a well-formed problem");
        println!(
            "front over {} axes: {} points in {:.3} s",
            axes.len(),
            points.len(),
            start.elapsed().as_secs_f64()
        );
    }
}

/// Loss under 4.9 average bits' worth of bytes, and limits on latency and on one stratum that bind as well.
fn request(problem: &Problem) -> Request {
    let all = |c: usize| vec![c; problem.groups.len()];
    let of = |q: Quantity, c: usize| problem.total(q, &all(c));
    let limits = [
        (Quantity::WeightBytes, of(Quantity::WeightBytes, 0) * 4.9 / 4.127),
        (Quantity::Decode(0), of(Quantity::Decode(0), 0) * 1.05),
        (Quantity::Prefill, of(Quantity::Prefill, 0) * 0.9),
        (Quantity::StratumLoss(2), of(Quantity::StratumLoss(2), 0) * 0.25),
    ];
    Request {
        objective: Quantity::Loss,
        limits: limits.map(|(quantity, at_most)| Limit { quantity, at_most }).to_vec(),
        effort: Effort::default(),
    }
}

fn profile(layers: usize, decades: f64) -> Problem {
    let mut draws = Draws(7);
    let mut groups = vec![];
    for layer in 0..layers {
        for (name, class, millions) in PROJECTIONS {
            let name = format!("layers.{layer}.{name}");
            groups.push(group(name, class, millions * 1e6, decades, &mut draws));
        }
    }
    let strata = STRATA.map(|(name, weight)| Stratum { name: name.into(), weight }).to_vec();
    Problem { strata, batches: vec![1], groups, bars: vec![] }
}

fn group(name: String, class: &str, weights: f64, decades: f64, draws: &mut Draws) -> Group {
    let sensitivity = 1e-5 * draws.spread(decades);
    let candidates = FORMATS.iter().map(|&(format, bits, error, decode, prefill)| {
        let bytes = (bits * weights / 8.0).round();
        let own = if decades == 0.0 { 1.0 } else { draws.spread(0.5) };
        let loss =
            STRATA.map(|_| sensitivity * error * own * if decades == 0.0 { 1.0 } else { draws.spread(0.3) });
        let costs = Costs {
            bytes,
            loss: loss.to_vec(),
            decode_nanos: vec![2e3 + bytes * decode],
            prefill_nanos: weights * prefill * 100.0,
        };
        Candidate { formats: vec![format.into()], costs }
    });
    let role = Role::Decoder { weights: weights as u64 };
    Group { name, class: class.into(), role, candidates: candidates.collect() }
}
