//! Why there is no solution.

use super::Infeasibility;

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
    /// A choice has not one cost per resource.
    #[error(
        "{place}: expected {expected} costs, one per resource, found {found}; the profile and its header disagree"
    )]
    Costs {
        /// Which choice.
        place: String,
        /// How many resources the problem declares.
        expected: usize,
        /// How many costs there are.
        found: usize,
    },
    /// A group, an alternative or a part has nothing to choose from.
    #[error("`{place}`: expected at least one choice, found none; measure a format for it or allow one")]
    NoChoice {
        /// Its name.
        place: String,
    },
    /// A limit, an objective or an axis names a resource that the problem does not declare.
    #[error("expected one of the resources {}, found `{name}`; name one of them or declare it", known.join(", "))]
    UnknownResource {
        /// The name in the request.
        name: String,
        /// The names that the problem declares.
        known: Vec<String>,
    },
    /// Proved: no plan satisfies the limits.
    #[error("{0}")]
    Infeasible(Box<Infeasibility>),
    /// The nodes ran out before a plan was found or excluded.
    #[error(
        "no plan found within the limits in {nodes} nodes, and none excluded; widen a limit or allow more nodes"
    )]
    Undecided {
        /// Nodes searched.
        nodes: usize,
    },
}
