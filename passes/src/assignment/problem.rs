//! What can be chosen, what it costs, and what is asked.

use std::collections::BTreeSet;

use super::Error;

/// Numbers of this magnitude or above are taken for mistakes; sums of them would lose all digits.
const LARGEST: f64 = 1e30;

/// Everything that was measured: the groups, and what each of their candidates costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// The parts of the calibration data that losses are given for.
    pub strata: Vec<Stratum>,
    /// Batch sizes that decode latencies are given for.
    pub batches: Vec<u32>,
    /// The groups. Every plan chooses exactly one candidate of each.
    pub groups: Vec<Group>,
    /// Candidates that may not be chosen although they were measured.
    pub bars: Vec<Bar>,
}

/// One part of the data, e.g. `code`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stratum {
    /// Its name.
    pub name: String,
    /// Its share of production traffic; only the ratio to the other strata matters.
    pub weight: f64,
}

/// Weights (or other device memory) that get one decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Stable name, e.g. `layers.3.mlp.gate_up_proj`.
    pub name: String,
    /// What kind of group it is to a person, e.g. `attention`; bars and explanations speak of classes.
    pub class: String,
    /// Which byte counts it enters.
    pub role: Role,
    /// What can be chosen.
    pub candidates: Vec<Candidate>,
}

/// Which byte counts a group enters. All roles count as device bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Linears of the decoder: weight bytes and average bits.
    Decoder {
        /// How many weights the group has.
        weights: u64,
    },
    /// Embedding, head, norms: weight bytes, but not average bits.
    Table,
    /// KV cache, workspace: device bytes only.
    Resident,
}

/// One way to store a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its format; for a fusion group stored apart, the format of each member in order.
    pub formats: Vec<String>,
    /// What choosing it costs.
    pub costs: Costs,
}

/// What one candidate adds to every quantity of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// Bytes, scales included.
    pub bytes: f64,
    /// Nats per token on each stratum. Measured differences may be below zero.
    pub loss: Vec<f64>,
    /// Nanoseconds of a decode step at each declared batch.
    pub decode_nanos: Vec<f64>,
    /// Nanoseconds of the declared prefill.
    pub prefill_nanos: f64,
}

/// Forbids a format to a class of groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bar {
    /// The class.
    pub class: String,
    /// The format.
    pub format: String,
}

/// A number that a plan has: the sum over the groups of what the chosen candidates cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Bytes of all weights.
    WeightBytes,
    /// Bytes of weights, KV cache and workspace.
    DeviceBytes,
    /// Bits per weight over the decoder's linears.
    AverageBits,
    /// Nats per token over the strata in their declared proportion.
    Loss,
    /// Nats per token on one stratum, by index.
    StratumLoss(usize),
    /// Nanoseconds of a decode step at one declared batch, by index.
    Decode(usize),
    /// Nanoseconds of the declared prefill.
    Prefill,
}

/// A quantity and what it may at most be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The quantity.
    pub quantity: Quantity,
    /// The most that is allowed, in the quantity's unit.
    pub at_most: f64,
}

/// What to minimise, under which limits, and how hard to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to minimise.
    pub objective: Quantity,
    /// What to stay under.
    pub limits: Vec<Limit>,
    /// When to stop.
    pub effort: Effort,
}

/// When the search may stop. It counts nodes, not seconds, so the answer does not depend on the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Relative gap between the plan and the bound that is good enough. Below 1e-9 it is taken as 1e-9.
    pub gap: f64,
    /// Most nodes of the search tree.
    pub nodes: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { gap: 1e-5, nodes: 20_000 }
    }
}

impl Group {
    /// Whether a bar forbids this candidate of the group.
    pub(super) fn bars(&self, candidate: &Candidate, bars: &[Bar]) -> bool {
        bars.iter().any(|bar| bar.class == self.class && candidate.formats.contains(&bar.format))
    }
}

impl Problem {
    /// The value of a quantity for a plan that chooses `choices[g]` of group `g`.
    ///
    /// # Panics
    /// When a choice is out of range.
    pub fn total(&self, quantity: Quantity, choices: &[usize]) -> f64 {
        let share = self.share(quantity);
        self.groups.iter().zip(choices).map(|(g, &c)| share.of(g, &g.candidates[c])).sum()
    }

    /// How much a candidate adds to a quantity.
    pub(super) fn share(&self, quantity: Quantity) -> Share {
        let strata: f64 = self.strata.iter().map(|s| s.weight).sum();
        Share {
            quantity,
            strata: self.strata.iter().map(|s| s.weight / strata).collect(),
            weights: self.decoder_weights() as f64,
        }
    }

    fn decoder_weights(&self) -> u64 {
        let weights = |g: &Group| if let Role::Decoder { weights } = g.role { weights } else { 0 };
        self.groups.iter().map(weights).sum()
    }

    /// Checks the problem by itself.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let weights: Vec<f64> = self.strata.iter().map(|s| s.weight).collect();
        let unusable = weights.iter().any(|w| !w.is_finite() || *w < 0.0 || *w >= LARGEST);
        if !weights.is_empty() && (unusable || weights.iter().sum::<f64>() == 0.0) {
            return Err(Error::StratumWeights { found: weights });
        }
        let mut names = BTreeSet::new();
        for group in &self.groups {
            if !names.insert(&group.name) {
                return Err(Error::Duplicate { group: group.name.clone() });
            }
            let barred = group.candidates.iter().filter(|c| group.bars(c, &self.bars)).count();
            if barred == group.candidates.len() {
                return Err(Error::NoCandidate { group: group.name.clone(), barred });
            }
            for candidate in &group.candidates {
                let place = |what: &str| format!("{what} of `{}` in `{}`", candidate.formats.join(", "), group.name);
                candidate.costs.validate(self, place)?;
            }
        }
        Ok(())
    }

    /// Checks that a request can be asked of this problem.
    pub(super) fn validate_quantity(&self, quantity: Quantity) -> Result<(), Error> {
        let (what, index, declared) = match quantity {
            Quantity::AverageBits if self.decoder_weights() == 0 => return Err(Error::NoDecoderWeights),
            Quantity::StratumLoss(index) => ("stratum", index, self.strata.len()),
            Quantity::Decode(index) => ("batch", index, self.batches.len()),
            _ => return Ok(()),
        };
        if index < declared { Ok(()) } else { Err(Error::Undeclared { what, index, declared }) }
    }
}

impl Costs {
    fn validate(&self, problem: &Problem, place: impl Fn(&str) -> String) -> Result<(), Error> {
        let lengths =
            [("loss", self.loss.len(), problem.strata.len()), ("decode latency", self.decode_nanos.len(), problem.batches.len())];
        for (what, found, expected) in lengths {
            if found != expected {
                return Err(Error::Length { place: place(what), expected, found });
            }
        }
        let numbers = self.loss.iter().map(|x| ("loss", x)).chain(self.decode_nanos.iter().map(|x| ("decode latency", x)));
        numbers
            .chain([("bytes", &self.bytes), ("prefill latency", &self.prefill_nanos)])
            .try_for_each(|(what, &x)| number(x, || place(what)))
    }
}

/// Refuses what cannot be computed with.
pub(super) fn number(x: f64, place: impl Fn() -> String) -> Result<(), Error> {
    // NaN compares as not below, so it is refused too.
    if x.abs() < LARGEST { Ok(()) } else { Err(Error::NotANumber { place: place(), found: x.to_string() }) }
}

/// How much candidates add to one quantity of one problem.
pub(super) struct Share {
    quantity: Quantity,
    strata: Vec<f64>,
    weights: f64,
}

impl Share {
    /// In the quantity's unit.
    pub(super) fn of(&self, group: &Group, candidate: &Candidate) -> f64 {
        let costs = &candidate.costs;
        match (self.quantity, group.role) {
            (Quantity::WeightBytes, Role::Resident) => 0.0,
            (Quantity::WeightBytes | Quantity::DeviceBytes, _) => costs.bytes,
            (Quantity::AverageBits, Role::Decoder { .. }) => 8.0 * costs.bytes / self.weights,
            (Quantity::AverageBits, _) => 0.0,
            (Quantity::Loss, _) => costs.loss.iter().zip(&self.strata).map(|(x, w)| x * w).sum(),
            (Quantity::StratumLoss(s), _) => costs.loss[s],
            (Quantity::Decode(b), _) => costs.decode_nanos[b],
            (Quantity::Prefill, _) => costs.prefill_nanos,
        }
    }
}
