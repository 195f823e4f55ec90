//! Compiles a checkpoint by a recipe, tells of the progress, and says what came of it.
//!
//! `cargo run --release -p samp-compiler --example compile -- testdata/models/tiny-llama samp tiny.plan`

use std::{error::Error, io::Write, ops::ControlFlow, sync::Mutex};

use samp_abi::TargetName;
use samp_compiler::{CompileRequest, Precision, compile, lower::recipe};
use samp_runtime::Progress;

/// A checkpoint, a recipe (its name or its file), and the plan to make.
pub fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, recipe, plan] = &arguments[..] else { return Err("usage: compile MODEL RECIPE PLAN".into()) };
    run(model, recipe, plan, &mut std::io::stdout())
}

/// Compiles for the CPU, and writes each stage, then the result.
pub fn run(
    model: &str,
    recipe: &str,
    plan: &str,
    out: &mut (dyn Write + Send),
) -> Result<(), Box<dyn Error>> {
    let precision = Precision::Recipe(recipe::load(recipe)?);
    let request = CompileRequest::new(model, TargetName::Cpu, precision).into_plan(plan);
    // A fault of the input is an error that names the file, the key or the tensor; nothing is left half made.
    let compiled = compile(&request, &Told(Mutex::new(&mut *out)))?;
    for warning in &compiled.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "{plan}: {} bytes, digest {}", compiled.bytes, compiled.plan.digest)?;
    Ok(())
}

/// Hears of the work from whichever thread does it.
struct Told<'w>(Mutex<&'w mut (dyn Write + Send)>);

impl Progress for Told<'_> {
    fn begin(&self, stage: &str, units: u64) {
        if let Ok(mut out) = self.0.lock() {
            let _ = writeln!(out, "{stage}: {units} units");
        }
    }

    /// `Break` stops a compile; the same request goes on from there.
    fn advance(&self, _item: &str, _units: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
