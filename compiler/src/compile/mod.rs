//! Compiling, from end to end: [`compile`] does what a [`CompileRequest`] says.
//!
//! ```text
//! Loaded ──measure──▶ Measured ──decide──▶ Decided ──quantize──▶ Quantized ──audit──▶ Audited ──certify──▶ CertifiedPlan ─┐
//!    │                    ◀── judge: lower the loss budget, decide again ──────────────┘                              │
//!    └──plan──────────────────────────────────────────────────────────────────────────────────────────▶ Planned ◀─────┘
//!                                                                                                             └─emit──▶ Compiled
//! ```
//!
//! Each stage owns what the next needs. Those between `Loaded` and `Planned` belong to [`crate::quantize::search`], whose
//! `Measured::search` is the loop over them; a recipe skips them.
//!
//! Never: a printed line. Progress goes to a [`Progress`], warnings into the result.

mod error;
mod kept;
mod measure;
mod probe;
mod request;
mod stages;
mod strict;

use std::path::Path;

use samp_abi::{Format, TargetName};
use samp_passes::recipe::Recipe;
use samp_runtime::{Progress, Silent};

pub use error::CompileError;
pub use measure::{MeasureRequest, MeasureTask};
pub use probe::device_on_cpu;
pub use request::{CalibrationRequest, CompileRequest, EmissionRequest, Precision};
pub use stages::{Calibrated, Compiled, Loaded, Planned};
pub use strict::refuse_warnings;

use crate::lower::recipe::LoadedRecipe;

/// Compiles a checkpoint into a plan on disk.
///
/// # Errors
/// Whatever the stages refuse; the output is then what it was before.
pub fn compile(request: &CompileRequest, progress: &dyn Progress) -> Result<Compiled, CompileError> {
    request.emission.output()?;
    let loaded = Loaded::open(request)?;
    let planned = match &request.precision {
        Precision::Default | Precision::Recipe(_) => loaded.plan()?,
        Precision::Calibrated(_) => loaded.search(progress)?,
    };
    planned.emit(&request.emission, progress)
}

/// Compiles a checkpoint without quantization, as the baseline of an evaluation of a plan with contexts of up to
/// `max_context` positions: under dynamic rotary scaling another context would be another model.
pub fn compile_unquantized(model: &Path, output: &Path, max_context: u64) -> Result<Compiled, CompileError> {
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let request = CompileRequest {
        max_context: Some(max_context),
        requantize: true,
        ..CompileRequest::new(model, TargetName::Cpu, Precision::Recipe(recipe))
    };
    compile(&request.into_plan(output), &Silent)
}
