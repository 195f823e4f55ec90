//! Time and gap of the assignment solver on synthetic profiles of the largest models.
//!
//! `cargo bench -p samp-passes --bench assignment`

use std::time::Instant;

use samp_passes::assignment::{
    Axis, Choice, Effort, Error, Group, Limit, Part, Problem, Request, Resource, Solution, Unit, pareto,
    solve,
};

/// Name, bits per weight, relative error, decode nanoseconds per byte, prefill nanoseconds per weight.
const FORMATS: [(&str, f64, f64, f64, f64); 8] = [
    ("nf4", 4.127, 1.0, 2.4e-4, 2.1e-3),
    ("int4", 4.25, 1.3, 2.2e-4, 2.0e-3),
    ("fp4", 4.5, 0.9, 2.1e-4, 1.0e-3),
    ("int6", 6.25, 0.09, 2.3e-4, 2.4e-3),
    ("int8", 8.05, 0.006, 2.1e-4, 1.2e-3),
    ("fp8", 8.1, 0.03, 2.0e-4, 1.1e-3),
    ("int8_outliers", 8.4, 0.004, 2.6e-4, 2.6e-3),
    ("f16", 16.0, 1e-7, 2.0e-4, 2.0e-3),
];

/// Projections of a Llama of hidden size 16384, with millions of weights.
const PROJECTIONS: [(&str, f64); 7] = [
    ("q_proj", 268.4),
    ("k_proj", 16.8),
    ("v_proj", 16.8),
    ("o_proj", 268.4),
    ("gate_proj", 872.4),
    ("up_proj", 872.4),
    ("down_proj", 872.4),
];

const RESOURCES: [(&str, Unit); 6] = [
    ("weights", Unit::Bytes),
    ("decode latency at batch 1", Unit::Nanos),
    ("prefill latency", Unit::Nanos),
    ("loss", Unit::Nats),
    ("loss on code", Unit::Nats),
    ("loss on prose", Unit::Nats),
];

fn main() {
    // With 0 decades all layers are alike: the hardest case, because everything is a tie.
    for (layers, decades, prose) in [
        (32, 2.0, 0.25),
        (126, 0.0, 0.5),
        (126, 0.5, 0.5),
        (126, 0.5, 0.25),
        (126, 1.0, 0.25),
        (126, 2.0, 0.25),
        (126, 4.0, 0.25),
    ] {
        let problem = profile(layers, decades, false);
        let what = format!("{layers} layers × 7 × 8, sensitivities over {decades} decades, prose × {prose}");
        timed(&what, || solve(&problem, &request(&problem, prose)));
    }
    let problem = profile(126, 2.0, true);
    timed("126 layers of fused or apart q/k/v and gate/up", || solve(&problem, &request(&problem, 0.25)));
    front();
}

fn timed(what: &str, solve: impl Fn() -> Result<Solution, Error>) {
    let start = Instant::now();
    let outcome = solve();
    println!("{what}: {:.3} s", start.elapsed().as_secs_f64());
    match outcome {
        Ok(s) => {
            println!(
                "  loss {:.6e}, bound {:.6e}, gap {:.1e}, {} nodes",
                s.objective, s.bound, s.gap, s.nodes
            );
            s.limits.iter().for_each(|limit| println!("  {limit}"));
        }
        Err(why) => println!("  {why}"),
    }
}

fn front() {
    let problem = profile(126, 2.0, false);
    let axes = [("weights", 32), ("decode latency at batch 1", 6)]
        .map(|(resource, steps)| Axis { resource: resource.into(), steps });
    let request = Request { effort: Effort { gap: 1e-3, nodes: 200 }, ..Request::new("loss", vec![]) };
    for axes in [&axes[..1], &axes[..]] {
        let start = Instant::now();
        let plans = pareto(&problem, &request, axes).expect("nothing is limited");
        let worst = plans.iter().map(|p| p.gap).fold(0.0, f64::max);
        println!(
            "front over {} axes: {} plans, worst gap {worst:.1e}, {:.3} s",
            axes.len(),
            plans.len(),
            start.elapsed().as_secs_f64()
        );
    }
}

/// The least loss under 4.9 average bits' worth of bytes, and limits on latency and on one stratum: `prose` is the share
/// of its loss in the smallest plan.
fn request(problem: &Problem, prose: f64) -> Request {
    let smallest = problem.groups.iter().map(|g| &g.alternatives[0].parts[0].choices[0].costs);
    let of = |r: usize| smallest.clone().map(|c| c[r]).sum::<f64>();
    let limit = |r: usize, factor: f64| Limit::new(RESOURCES[r].0, of(r) * factor);
    Request::new("loss", vec![limit(0, 4.9 / 4.127), limit(1, 1.09), limit(2, 0.9), limit(5, prose)])
}

/// Knuth's MMIX generator.
struct Draws(u64);

impl Draws {
    /// Spread over a number of powers of ten around 1.
    fn spread(&mut self, decades: f64) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        10f64.powf(decades * (unit - 0.5))
    }
}

fn profile(layers: usize, decades: f64, fused: bool) -> Problem {
    let mut draws = Draws(7);
    let mut groups = vec![];
    for layer in 0..layers {
        let parts = PROJECTIONS.map(|(name, millions)| Part {
            name: format!("layers.{layer}.{name}"),
            choices: choices(millions * 1e6, decades, &mut draws),
        });
        if fused {
            groups.extend([&parts[..3], &parts[3..4], &parts[4..6], &parts[6..]].map(together));
        } else {
            groups.extend(parts.into_iter().map(|part| Group::new(part.name, part.choices)));
        }
    }
    let resources = RESOURCES.map(|(name, unit)| Resource { name: name.into(), unit }).to_vec();
    Problem { resources, groups }
}

/// One format for all members, or each its own; one launch of a kernel costs 2 µs.
fn together(members: &[Part]) -> Group {
    let fused = (0..FORMATS.len()).map(|f| {
        let mut costs = vec![0.0; RESOURCES.len()];
        members.iter().for_each(|m| costs.iter_mut().zip(&m.choices[f].costs).for_each(|(t, c)| *t += c));
        costs[1] -= 2e3 * (members.len() - 1) as f64;
        Choice { name: FORMATS[f].0.into(), costs }
    });
    let group = Group::new(&members[0].name, fused.collect());
    if members.len() == 1 { group } else { group.or_apart(members.to_vec()) }
}

fn choices(weights: f64, decades: f64, draws: &mut Draws) -> Vec<Choice> {
    let sensitivity = 1e-5 * draws.spread(decades);
    let choice = |&(format, bits, error, decode, prefill): &(&str, f64, f64, f64, f64)| {
        let bytes = (bits * weights / 8.0).round();
        let own = sensitivity * error * draws.spread(decades.min(0.5));
        let [code, prose] = [own * draws.spread(decades.min(0.3)), own * draws.spread(decades.min(0.3))];
        let costs =
            vec![bytes, 2e3 + bytes * decode, weights * prefill, 0.8 * code + 0.2 * prose, code, prose];
        Choice { name: format.into(), costs }
    };
    FORMATS.iter().map(choice).collect()
}
