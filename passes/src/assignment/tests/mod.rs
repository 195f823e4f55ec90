//! The solver against exhaustive search and a dynamic programme, and at its edges.

mod against_dynamic;
mod against_exhaustive;
mod drawn;
mod edges;
mod fronts;
mod infeasible;
mod sized;
