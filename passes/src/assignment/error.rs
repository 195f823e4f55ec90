//! Why there is no solution.

use super::{Infeasibility, Resource};

/// A malformed problem or request, or one without a plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A cost or a limit is NaN, infinite or absurdly large.
    #[error("{place}: expected a number of magnitude below 1e30, found {found}; measure it again")]
    NotANumber {
        /// Where, e.g. ``loss of `nf4` for `layers.0.mlp.down_proj` ``.
        place: String,
        /// The number as it prints.
        found: String,
    },
    /// A choice has no cost of a resource that the problem counts.
    #[error("{place}: expected a cost of {resource}, found none; the profile and its header disagree")]
    MissingCost {
        /// The choice, e.g. ``` `nf4` for `layers.0.mlp.down_proj` ```.
        place: String,
        /// What it has no cost of.
        resource: Resource,
    },
    /// A group, an alternative or a member has nothing to choose from.
    #[error("`{place}`: expected at least one choice, found none; measure a format for it or allow one")]
    NoChoice {
        /// The name of the group or member.
        place: String,
    },
    /// A limit, an objective or an axis is of a resource that the problem does not count.
    #[error(
        "expected one of the resources {}, found `{resource}`; name one of them or declare it",
        names(known)
    )]
    UnknownResource {
        /// The resource in the request.
        resource: Resource,
        /// The resources that the problem counts.
        known: Vec<Resource>,
    },
    /// Proved: no plan satisfies the limits.
    #[error("{0}")]
    Infeasible(Box<Infeasibility>),
    /// The nodes ran out before a plan was found or excluded.
    #[error(
        "no plan found within the limits in {nodes} nodes, and none excluded; widen a limit or allow more nodes"
    )]
    Undecided {
        /// How many nodes were searched.
        nodes: usize,
    },
}

fn names(resources: &[Resource]) -> String {
    resources.iter().map(Resource::to_string).collect::<Vec<_>>().join(", ")
}
