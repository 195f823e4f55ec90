//! The problem, the request, and what makes them well formed.

use super::{Error, Unit};

/// Numbers from here on are refused: they are sentinels, and sums with them lose every other digit.
const ABSURD: f64 = 1e30;

/// What a plan spends, and the groups it decides.
///
/// Whatever adds up over groups can be a resource: weight bytes, device bytes (the KV cache and the workspace are
/// groups of their own), average bits (a choice costs its bits × its share of the weights), decode latency at one
/// batch size, prefill latency, the loss overall, the loss of one stratum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// The resources; every [`Choice::costs`] follows this order.
    pub resources: Vec<Resource>,
    /// The groups, decided independently except for the limits.
    pub groups: Vec<Group>,
}

/// Something that a plan spends.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its name, e.g. `decode latency at batch 8`; limits and objectives name it by this.
    pub name: String,
    /// What its numbers count.
    pub unit: Unit,
}

/// Weights that are decided together. A plan takes exactly one alternative.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name, e.g. `layers.0.self_attn.qkv_proj` or `kv_cache`.
    pub name: String,
    /// E.g. first the fused kernel with one format for all members, then the members apart.
    pub alternatives: Vec<Alternative>,
}

/// A way to hold a group: a plan that takes it takes exactly one choice in each part.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// One part for a fused or plain group, one per member when apart.
    pub parts: Vec<Part>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name, e.g. `layers.0.self_attn.q_proj`.
    pub name: String,
    /// What it can be. Of choices with equal costs the first is taken.
    pub choices: Vec<Choice>,
}

/// A format, with the quantizer that makes it, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its name, e.g. `nf4 gptq`.
    pub name: String,
    /// One finite number per resource, in the resource's unit and the problem's order.
    pub costs: Vec<f64>,
}

/// What a plan does with one group: an index into [`Group::alternatives`], and one into [`Part::choices`] per part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// The alternative taken.
    pub alternative: usize,
    /// The choice taken in each of its parts.
    pub choices: Vec<usize>,
}

/// The most that a plan may spend of a resource, inclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The resource's name.
    pub resource: String,
    /// In the resource's unit.
    pub at_most: f64,
}

/// What to find.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The name of the resource of which to spend the least.
    pub minimise: String,
    /// All of these hold in the plan found.
    pub limits: Vec<Limit>,
    /// When to stop.
    pub effort: Effort,
}

/// When a search may stop before it has proved its plan the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// The relative distance between plan and bound that is close enough; 0 searches to the end.
    pub gap: f64,
    /// The most nodes of the search tree.
    pub nodes: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { gap: 1e-4, nodes: 5_000 }
    }
}

impl Group {
    /// A group that is one decision.
    pub fn new(name: impl Into<String>, choices: Vec<Choice>) -> Group {
        let name = name.into();
        let whole = Part { name: name.clone(), choices };
        Group { name, alternatives: vec![Alternative { parts: vec![whole] }] }
    }

    /// The same group, which can also come apart into members that choose by themselves. What running several kernels
    /// costs more than one belongs into the members' costs.
    #[must_use]
    pub fn or_apart(mut self, members: Vec<Part>) -> Group {
        self.alternatives.push(Alternative { parts: members });
        self
    }
}

impl Limit {
    /// At most so much of the named resource, in its unit.
    pub fn new(resource: impl Into<String>, at_most: f64) -> Limit {
        Limit { resource: resource.into(), at_most }
    }
}

impl Request {
    /// The least of the named resource within the limits, with the usual effort.
    pub fn new(minimise: impl Into<String>, limits: Vec<Limit>) -> Request {
        Request { minimise: minimise.into(), limits, effort: Effort::default() }
    }
}

impl Problem {
    /// What a plan spends of each resource: the sum over its choices, in the groups' order.
    ///
    /// # Panics
    /// When the plan does not fit the problem.
    pub fn totals(&self, plan: &[Chosen]) -> Vec<f64> {
        assert_eq!(plan.len(), self.groups.len(), "a plan decides every group");
        let mut totals = vec![0.0; self.resources.len()];
        for (group, chosen) in self.groups.iter().zip(plan) {
            let parts = &group.alternatives[chosen.alternative].parts;
            assert_eq!(parts.len(), chosen.choices.len(), "a plan decides every part of `{}`", group.name);
            for (part, &choice) in parts.iter().zip(&chosen.choices) {
                totals.iter_mut().zip(&part.choices[choice].costs).for_each(|(t, c)| *t += c);
            }
        }
        totals
    }

    /// The index of a resource.
    pub(super) fn resource(&self, name: &str) -> Result<usize, Error> {
        let known = || self.resources.iter().map(|r| r.name.clone()).collect();
        self.resources
            .iter()
            .position(|r| r.name == name)
            .ok_or_else(|| Error::UnknownResource { name: name.into(), known: known() })
    }

    /// Refuses a problem or a request that has no meaning.
    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        for group in &self.groups {
            if group.alternatives.is_empty() {
                return Err(Error::NoChoice { place: group.name.clone() });
            }
            for alternative in &group.alternatives {
                match alternative.parts.as_slice() {
                    [] => return Err(Error::NoChoice { place: group.name.clone() }),
                    parts => parts.iter().try_for_each(|part| self.check_part(part))?,
                }
            }
        }
        self.resource(&request.minimise)?;
        for limit in &request.limits {
            self.resource(&limit.resource)?;
            number(limit.at_most, || format!("limit on {}", limit.resource))?;
        }
        Ok(())
    }

    fn check_part(&self, part: &Part) -> Result<(), Error> {
        if part.choices.is_empty() {
            return Err(Error::NoChoice { place: part.name.clone() });
        }
        for choice in &part.choices {
            let place = || format!("`{}` for `{}`", choice.name, part.name);
            if choice.costs.len() != self.resources.len() {
                let (expected, found) = (self.resources.len(), choice.costs.len());
                return Err(Error::Costs { place: place(), expected, found });
            }
            for (resource, &cost) in self.resources.iter().zip(&choice.costs) {
                number(cost, || format!("{} of {}", resource.name, place()))?;
            }
        }
        Ok(())
    }
}

fn number(value: f64, place: impl Fn() -> String) -> Result<(), Error> {
    // NaN compares false, too.
    if value.abs() < ABSURD {
        Ok(())
    } else {
        Err(Error::NotANumber { place: place(), found: value.to_string() })
    }
}
