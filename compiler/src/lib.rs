//! `samp-compiler`: a checkpoint becomes a plan. Import, the pass pipeline, emission, and the `samp` command.
//!
//! [`compile`] is the way from end to end; [`import`] reads checkpoints, [`pipeline`] orders the passes, [`emit`] writes plans,
//! [`mod@export`] turns them back into checkpoints, [`mod@eval`] judges them, [`report`] explains them, [`cli`] is the command line.
//!
//! Never: a decision about precision, kernels or memory outside a pass; a number of the hardware.

pub mod calibrate;
pub mod cli;
pub mod compile;
pub mod emit;
pub mod eval;
pub mod export;
pub mod import;
pub mod jsonl;
pub mod pipeline;
pub mod predict;
pub mod quality;
pub mod random;
pub mod recipe;
pub mod report;
pub mod route;
pub mod size;
