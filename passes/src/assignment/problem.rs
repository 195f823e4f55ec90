//! The problem, the request, and what makes them well formed.

use samp_abi::Format;

use super::{Costs, Error, Resource};

/// Numbers from here on are refused: they are sentinels, and sums with them lose every other digit.
pub(crate) const ABSURD: f64 = 1e30;

/// What a plan spends, and the groups it decides.
///
/// Whatever adds up over groups can be a resource: the KV cache and the workspace are groups of their own, and average
/// bits count as bits × the matrix's share of the weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// The resources; every choice has a cost of each.
    pub resources: Vec<Resource>,
    /// The groups, decided independently except for the limits.
    pub groups: Vec<Group>,
}

/// Weights that are decided together. A plan takes exactly one alternative.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name, e.g. `layers.0.self_attn.qkv_proj` or `KV cache`.
    pub name: String,
    /// E.g. first the fused matrix with one format for all members, then the members split.
    pub alternatives: Vec<Alternative>,
}

/// A way to hold a group, fused or split: a plan that takes it takes exactly one choice for each member.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// What is decided by itself: one for a plain matrix or a fused one, one per member of a split one.
    pub members: Vec<Member>,
}

/// One decision: a matrix that takes one format.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name, e.g. `layers.0.self_attn.q_proj`.
    pub name: String,
    /// What it can be. Of choices with equal costs the first is taken.
    pub choices: Vec<Choice>,
}

/// A format, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What the member is stored in.
    pub format: Format,
    /// A finite amount of each of the problem's resources.
    pub costs: Costs,
}

/// What a plan does with one group: an index into [`Group::alternatives`], and one into [`Member::choices`] per member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupChoice {
    /// The alternative taken.
    pub alternative: usize,
    /// The choice taken for each of its members.
    pub choices: Vec<usize>,
}

/// The most that a plan may spend of a resource, inclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What is limited.
    pub resource: Resource,
    /// The most of it, in the resource's unit.
    pub most: f64,
}

/// What to find.
#[derive(Clone, Debug, PartialEq)]
pub struct SolveRequest {
    /// The objective: the resource of which to spend the least.
    pub minimise: Resource,
    /// All of these hold in the plan found.
    pub limits: Vec<Limit>,
    /// When the search may stop.
    pub stop: StopCriteria,
}

/// When a search may stop before it has proved its plan the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopCriteria {
    /// The relative distance between plan and bound that is close enough; 0 searches to the end.
    pub gap: f64,
    /// The most nodes of the search tree.
    pub nodes: usize,
}

impl Default for StopCriteria {
    fn default() -> Self {
        StopCriteria { gap: 1e-4, nodes: 5_000 }
    }
}

impl Group {
    /// A group that is one decision.
    pub fn new(name: impl Into<String>, choices: Vec<Choice>) -> Group {
        let name = name.into();
        let only = Member { name: name.clone(), choices };
        Group { name, alternatives: vec![Alternative { members: vec![only] }] }
    }

    /// The same group, which can also be split into members that choose by themselves. What running several kernels
    /// costs more than one belongs into the members' costs.
    #[must_use]
    pub fn or_split(mut self, members: Vec<Member>) -> Group {
        self.alternatives.push(Alternative { members });
        self
    }
}

impl Limit {
    /// At most so much of the resource, in its unit.
    pub fn new(resource: Resource, most: f64) -> Limit {
        Limit { resource, most }
    }
}

impl SolveRequest {
    /// The least of the resource within the limits, with the usual criteria to stop by.
    pub fn new(minimise: Resource, limits: Vec<Limit>) -> SolveRequest {
        SolveRequest { minimise, limits, stop: StopCriteria::default() }
    }
}

impl Problem {
    /// What a plan spends of each resource: the sum over its choices, in the groups' order.
    ///
    /// # Panics
    /// When the plan does not fit the problem.
    pub fn totals(&self, plan: &[GroupChoice]) -> Costs {
        assert_eq!(plan.len(), self.groups.len(), "a plan decides every group");
        let mut totals = Costs::zero(&self.resources);
        for (group, chosen) in self.groups.iter().zip(plan) {
            let members = &group.alternatives[chosen.alternative].members;
            assert_eq!(
                members.len(),
                chosen.choices.len(),
                "a plan decides every member of `{}`",
                group.name
            );
            for (member, &choice) in members.iter().zip(&chosen.choices) {
                totals.add(&member.choices[choice].costs);
            }
        }
        totals
    }

    /// Refuses a resource that the problem does not count.
    pub(super) fn declares(&self, resource: &Resource) -> Result<(), Error> {
        if self.resources.contains(resource) {
            return Ok(());
        }
        Err(Error::UnknownResource { resource: resource.clone(), known: self.resources.clone() })
    }

    /// Refuses a problem or a request that has no meaning.
    pub(super) fn check(&self, request: &SolveRequest) -> Result<(), Error> {
        for group in &self.groups {
            if group.alternatives.is_empty() {
                return Err(Error::NoChoice { place: group.name.clone() });
            }
            for alternative in &group.alternatives {
                match alternative.members.as_slice() {
                    [] => return Err(Error::NoChoice { place: group.name.clone() }),
                    members => members.iter().try_for_each(|member| self.check_member(member))?,
                }
            }
        }
        self.declares(&request.minimise)?;
        for limit in &request.limits {
            self.declares(&limit.resource)?;
            limit.check()?;
        }
        Ok(())
    }

    fn check_member(&self, member: &Member) -> Result<(), Error> {
        if member.choices.is_empty() {
            return Err(Error::NoChoice { place: member.name.clone() });
        }
        for choice in &member.choices {
            let place = || format!("`{}` for `{}`", choice.format, member.name);
            for resource in &self.resources {
                let cost = choice.costs.get(resource);
                let missing = || Error::MissingCost { place: place(), resource: resource.clone() };
                number(cost.ok_or_else(missing)?, || format!("{resource} of {}", place()))?;
            }
        }
        Ok(())
    }
}

impl Limit {
    /// Refuses a limit that is no number.
    fn check(&self) -> Result<(), Error> {
        number(self.most, || format!("limit on {}", self.resource))
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
