//! Which format each group of weights gets: an exact multiple-choice knapsack, free of any IR.
//!
//! A [`Problem`] declares resources (bytes, nanoseconds, nats, …) and groups; each choice of a group costs some of
//! every [`Resource`] and the costs of a plan add up. A [`SolveRequest`] minimises one resource under limits on any others.
//!
//! - [`solve`] finds the plan and proves how far from the best it can be at most.
//! - [`pareto`] trades the objective against other resources.
//! - [`explain_infeasible`] says what the limits would have to be; [`solve`] says so by itself when nothing fits.
//!
//! How: a Lagrangian relaxation of the limits, solved to optimality by column generation over a basis of one row per
//! limit, bounds a branch and bound over the choices. Nothing is random and nothing is timed: the same problem has
//! the same answer, bit for bit.
//!
//! Never: an operation of the IR, a file, or knowledge of any format beyond its costs.

mod branch;
mod error;
mod explain;
mod infeasibility;
mod pareto;
mod polish;
mod problem;
mod program;
mod relaxation;
mod resource;
mod search;
mod solution;
mod unit;

pub use error::Error;
pub use explain::explain_infeasible;
pub use infeasibility::{Infeasibility, Relaxation};
pub use pareto::{Axis, pareto};
pub(crate) use problem::ABSURD;
pub use problem::{
    Alternative, Choice, Group, GroupChoice, Limit, Member, Problem, SolveRequest, StopCriteria,
};
pub use resource::{Costs, Resource, Stratum};
pub use solution::{LimitReport, Solution, solve};
pub use unit::Unit;
