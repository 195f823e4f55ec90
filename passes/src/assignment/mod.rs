//! Precision assignment: which format every group of weights gets, decided exactly from measurements.
//!
//! A [`Problem`] lists groups, and for each group candidates with their size, loss and latency. A [`Request`] names
//! what to minimise and what to stay under. [`solve`] answers with a [`Solution`] that carries its own proof (bound,
//! gap, slack, shadow prices), or with an [`Infeasibility`] that says what would have to give. [`front`] lists the
//! plans that trade one quantity for another.
//!
//! This is the multiple-choice knapsack problem with several constraints (Kellerer, Pferschy, Pisinger, *Knapsack
//! Problems*, 2004, chapters 9 and 11), solved by branch and bound over its linear relaxation.
//!
//! Never: files, clocks, randomness, the graph, or an approximation that does not say how far off it can be.

mod dominance;
mod error;
mod front;
mod fusion;
mod infeasible;
mod inverse;
mod problem;
mod program;
mod ratio;
mod round;
mod search;
mod simplex;
mod solution;
mod units;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use front::{Axis, Point, front};
pub use fusion::fused_or_apart;
pub use infeasible::{Infeasibility, Need, Relaxation};
pub use problem::{Bar, Candidate, Costs, Effort, Group, Limit, Problem, Quantity, Request, Role, Stratum};
pub use solution::{Outcome, RowReport, Solution, solve};
