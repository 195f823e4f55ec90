//! Calibration: what the model's inputs look like, what each format costs in each place, and weights rounded with that
//! knowledge.
//!
//! [`MasterWeights`] are the weights in f32 after the function-preserving transforms; [`Forward`] runs the f32 program
//! over calibration tokens, resuming between any two steps; [`measure`] fills a [`Profile`]; [`round`] makes the final
//! weights, layer after layer on the inputs that the rounded layers before them give.
//!
//! Never: a choice of formats (that is the passes' work), or a file format of plans (that is emission's).

pub mod data;
mod divergence;
mod effects;
mod error;
mod evening;
mod forward;
mod inputs;
mod master;
mod measure;
mod members;
mod pieces;
mod profile;
mod reuse;
mod round;
mod spill;
mod store;
mod values;

pub use divergence::{Baseline, RecordDivergence, mean};
pub use effects::{Change, EFFECT_TOKENS, ErrorFactor, PassEffect, Shape};
pub use error::CalibrationError;
pub use evening::Evenings;
pub use forward::{Forward, LinearStep, Member, State, TokenBatch};
pub use inputs::LinearInputs;
pub use master::MasterWeights;
pub use measure::{MeasureOptions, TableWeight, Thoroughness, Tokens, Wanted, at_least, by_stratum, measure};
pub use profile::{
    Divergence, HeadRange, InputStatistics, PROFILE, PROFILE_VERSION, PartProfile, Profile, Sensitivity,
    WeightProfile, layer_of, tried,
};
pub use reuse::OTHER_DATA;
pub use round::{Programs, round, rounded};
pub use spill::Held;
pub use store::RoundedStore;
