//! Small problems by chance, with a fixed seed, and their exact answers by trying everything.

use crate::assignment::{
    Bar, Candidate, Costs, Effort, Group, Limit, Outcome, Problem, Quantity, Request, Role, Solution, Stratum, solve,
};

pub const FORMATS: [&str; 5] = ["nf4", "fp4", "int8", "fp8", "f16"];

/// Everything the solver can prove.
pub const EXACT: Effort = Effort { gap: 0.0, nodes: 100_000 };

/// Knuth's MMIX generator.
pub struct Draws(pub u64);

impl Draws {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// A problem of one of several kinds: ordinary sizes, a few distinct values (many ties), losses over eight decades,
/// and losses below zero.
pub fn problem(draws: &mut Draws) -> Problem {
    let kind = draws.below(4);
    let groups = (0..1 + draws.below(6)).map(|g| group(g, kind, draws)).collect();
    Problem {
        strata: vec![Stratum { name: "code".into(), weight: 3.0 }, Stratum { name: "prose".into(), weight: 1.0 }],
        batches: vec![1, 8],
        groups,
        bars: vec![],
    }
}

fn group(index: usize, kind: usize, draws: &mut Draws) -> Group {
    let role = draws.one_of(&[Role::Decoder { weights: 1000 }, Role::Table, Role::Resident]);
    let candidates = (0..1 + draws.below(FORMATS.len())).map(|c| Candidate {
        formats: vec![FORMATS[c].into()],
        costs: Costs {
            bytes: [1e11 * draws.unit(), 1e9 * draws.below(4) as f64][usize::from(kind == 1)].round(),
            loss: vec![loss(kind, draws), loss(kind, draws)],
            decode_nanos: vec![1e6 * draws.unit(), 1e3 * draws.below(3) as f64],
            prefill_nanos: 1e8 * draws.unit(),
        },
    });
    // One decoder group at least, so that average bits mean something.
    let role = if index == 0 { Role::Decoder { weights: 1000 } } else { role };
    let class = ["attention", "mlp"][index % 2].into();
    Group { name: format!("group {index}"), class, role, candidates: candidates.collect() }
}

fn loss(kind: usize, draws: &mut Draws) -> f64 {
    match kind {
        0 => draws.unit(),
        1 => draws.below(3) as f64 * 0.25,
        2 => 10f64.powf(-8.0 * draws.unit()),
        _ => draws.unit() - 0.5,
    }
}

pub const QUANTITIES: [Quantity; 9] = [
    Quantity::WeightBytes,
    Quantity::DeviceBytes,
    Quantity::AverageBits,
    Quantity::Loss,
    Quantity::StratumLoss(0),
    Quantity::StratumLoss(1),
    Quantity::Decode(0),
    Quantity::Decode(1),
    Quantity::Prefill,
];

/// A request with up to five limits, each exactly what some plan takes, a bit more, or too little.
pub fn request(problem: &Problem, draws: &mut Draws) -> Request {
    let mut limits = vec![];
    for _ in 0..draws.below(6) {
        let quantity = draws.one_of(&QUANTITIES);
        let some: Vec<usize> = problem.groups.iter().map(|g| draws.below(g.candidates.len())).collect();
        let value = problem.total(quantity, &some);
        limits.push(Limit { quantity, at_most: value + value.abs() * draws.one_of(&[0.0, 0.0, 0.1, -0.1]) });
    }
    Request { objective: draws.one_of(&QUANTITIES), limits, effort: EXACT }
}

/// All plans without a barred candidate.
pub fn all_plans(problem: &Problem) -> Vec<Vec<usize>> {
    let allowed = |g: &Group, c: &usize| {
        let formats = &g.candidates[*c].formats;
        !problem.bars.iter().any(|Bar { class, format }| *class == g.class && formats.contains(format))
    };
    problem.groups.iter().fold(vec![vec![]], |plans, group| {
        let choices: Vec<usize> = (0..group.candidates.len()).filter(|c| allowed(group, c)).collect();
        plans.iter().flat_map(|p| choices.iter().map(|&c| [p.as_slice(), &[c]].concat())).collect()
    })
}

pub fn fits(problem: &Problem, limits: &[Limit], plan: &[usize]) -> bool {
    limits.iter().all(|l| problem.total(l.quantity, plan) <= l.at_most)
}

/// The least objective within the limits, by trying every plan.
pub fn least(problem: &Problem, objective: Quantity, limits: &[Limit]) -> Option<f64> {
    let plans = all_plans(problem);
    let values = plans.iter().filter(|p| fits(problem, limits, p)).map(|p| problem.total(objective, p));
    values.reduce(f64::min)
}

pub fn solved(problem: &Problem, request: &Request) -> Solution {
    match solve(problem, request) {
        Ok(Outcome::Solved(solution)) => solution,
        other => panic!("expected a plan, found {other:?}"),
    }
}

/// Equal up to the rounding of sums, at the scale of all the terms.
pub fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-13 * scale
}
