//! Calibration: what the model's inputs look like, what each format costs in each place, and weights rounded with that
//! knowledge.
//!
//! [`BaselineWeights`] are the weights in f32 after the function-preserving transforms; [`Forward`] runs the f32 program
//! over calibration tokens, resuming between any two steps; [`measure`] fills a [`Profile`]; [`round`] makes the final
//! weights, layer after layer on the inputs that the rounded layers before them give.
//!
//! Never: a choice of formats (that is the passes' work), or a file format of plans (that is emission's).

mod baseline;
pub mod data;
mod divergence;
mod equalization;
mod error;
mod forward;
pub mod passes;
mod round;
pub mod search;
mod sensitivity;
mod spill;
mod values;

pub use baseline::BaselineWeights;
pub use divergence::{Baseline, RecordDivergence, mean};
pub use equalization::EqualizationScales;
pub use error::CalibrationError;
pub use forward::{Forward, LinearStep, Member, State, TokenBatch};
pub use round::{
    Change, EFFECT_TOKENS, ErrorFactor, PassEffect, ProgramPair, RoundedStore, Shape, round, rounded,
};
pub use sensitivity::{
    Divergence, HeadRange, InputStatistics, LinearInputs, MeasureOptions, MemberProfile, PROFILE_VERSION,
    Profile, Sensitivity, SensitivityMode, TableWeight, Tokens, Wanted, WeightProfile, at_least, by_stratum,
    layer_of, measure, tried,
};
pub use spill::SpilledTensor;
