//! Time and gap of the assignment solver on synthetic profiles of the largest models.
//!
//! `cargo bench -p samp-passes --bench assignment`

use std::time::Instant;

use samp_abi::{Format, Group as GroupSize, ScaleAxis};
use samp_passes::assignment::{
    Axis, Choice, Costs, Error, Group, Limit, Member, Problem, Resource, Solution, SolveRequest,
    StopCriteria, pareto, solve,
};

/// Format, bits per weight, relative error, decode nanoseconds per byte, prefill nanoseconds per weight.
const FORMATS: [(Format, f64, f64, f64, f64); 8] = [
    (Format::Nf4, 4.127, 1.0, 2.4e-4, 2.1e-3),
    (Format::Int4 { group: GroupSize::G128, zero_point: false }, 4.25, 1.3, 2.2e-4, 2.0e-3),
    (Format::Fp4, 4.5, 0.9, 2.1e-4, 1.0e-3),
    (Format::Int6 { group: GroupSize::G128 }, 6.25, 0.09, 2.3e-4, 2.4e-3),
    (Format::INT8, 8.05, 0.006, 2.1e-4, 1.2e-3),
    (Format::Fp8E4m3(ScaleAxis::Channel), 8.1, 0.03, 2.0e-4, 1.1e-3),
    (Format::INT8_OUTLIERS, 8.4, 0.004, 2.6e-4, 2.6e-3),
    (Format::F16, 16.0, 1e-7, 2.0e-4, 2.0e-3),
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

const DECODE: Resource = Resource::StepTime { tokens: 1 };
const PREFILL: Resource = Resource::StepTime { tokens: 4096 };

fn resources() -> [Resource; 6] {
    let [code, prose] = ["code", "prose"].map(Resource::stratum_loss);
    [Resource::WeightBytes, DECODE, PREFILL, Resource::Loss, code, prose]
}

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
    timed("126 layers of fused or split q/k/v and gate/up", || solve(&problem, &request(&problem, 0.25)));
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
    let axes = [(Resource::WeightBytes, 32), (DECODE, 6)].map(|(resource, steps)| Axis { resource, steps });
    let request = SolveRequest {
        stop: StopCriteria { gap: 1e-3, nodes: 200 },
        ..SolveRequest::new(Resource::Loss, vec![])
    };
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
fn request(problem: &Problem, prose: f64) -> SolveRequest {
    let smallest = problem.groups.iter().map(|g| &g.alternatives[0].members[0].choices[0].costs);
    let spent = |resource: &Resource| smallest.clone().map(|costs| costs[resource]).sum::<f64>();
    let limit = |(resource, factor)| Limit { most: spent(&resource) * factor, resource };
    let factors = [
        (Resource::WeightBytes, 4.9 / 4.127),
        (DECODE, 1.09),
        (PREFILL, 0.9),
        (Resource::stratum_loss("prose"), prose),
    ];
    SolveRequest::new(Resource::Loss, factors.map(limit).to_vec())
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
        let members = PROJECTIONS.map(|(name, millions)| Member {
            name: format!("layers.{layer}.{name}"),
            choices: choices(millions * 1e6, decades, &mut draws),
        });
        if fused {
            groups.extend([&members[..3], &members[3..4], &members[4..6], &members[6..]].map(together));
        } else {
            groups.extend(members.into_iter().map(|member| Group::new(member.name, member.choices)));
        }
    }
    Problem { resources: resources().to_vec(), groups }
}

/// One format for all members, or each its own; one launch of a kernel costs 2 µs.
fn together(members: &[Member]) -> Group {
    let saved = -2e3 * (members.len() - 1) as f64;
    let fused = (0..FORMATS.len()).map(|f| {
        let mut costs = Costs::zero(&resources());
        members.iter().for_each(|m| costs.add(&m.choices[f].costs));
        costs
            .add(&resources().map(|r| if r == DECODE { (r, saved) } else { (r, 0.0) }).into_iter().collect());
        Choice { format: FORMATS[f].0, costs }
    });
    let group = Group::new(&members[0].name, fused.collect());
    if members.len() == 1 { group } else { group.or_split(members.to_vec()) }
}

fn choices(weights: f64, decades: f64, draws: &mut Draws) -> Vec<Choice> {
    let sensitivity = 1e-5 * draws.spread(decades);
    let choice = |&(format, bits, error, decode, prefill): &(Format, f64, f64, f64, f64)| {
        let bytes = (bits * weights / 8.0).round();
        let own = sensitivity * error * draws.spread(decades.min(0.5));
        let [code, prose] = [own * draws.spread(decades.min(0.3)), own * draws.spread(decades.min(0.3))];
        let costs = [bytes, 2e3 + bytes * decode, weights * prefill, 0.8 * code + 0.2 * prose, code, prose];
        Choice { format, costs: resources().into_iter().zip(costs).collect() }
    };
    FORMATS.iter().map(choice).collect()
}
