//! `samp export`: a plan's effective weights for other tools.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    error_code,
    failure::Failure,
    identity::IdentityArgs,
    named_values::one_of,
    output::{Outcome, in_line, print, print_json, say},
    progress_bar::Bar,
    table::Table,
};
use samp_compiler::{
    emit::EmitError,
    export::{ExportOptions, Exported, ExportedTensor, FloatType, Stack, export_plan, grouped},
};

/// Write the weights that a plan really computes with as a checkpoint for other tools
///
/// Every weight keeps its codes and scales where the other tool has a format for them. A plan with weights of which it has none
/// is refused, with the reasons.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Whose checkpoint to write
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// What --format hf stores every weight in; 16 bits round, and the table says by how much [default: f32]
    #[arg(long, value_name = "TYPE", value_parser = one_of::<FloatType>(FloatType::ALL.map(|to| to.name())))]
    dtype: Option<FloatType>,
    /// Round weights that the other tool cannot hold as they are, and say by how much
    #[arg(long)]
    allow_rounding: bool,
    /// Where to write it
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
    /// Print what was written, weight by weight, as JSON
    #[arg(long)]
    json: bool,
}

/// Forms that a plan can be exported to.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Format {
    /// A Hugging Face checkpoint of plain values
    Hf,
    /// compressed-tensors: for vLLM and transformers
    CompressedTensors,
    /// bitsandbytes: for transformers
    Bitsandbytes,
    /// GGUF: for llama.cpp
    Gguf,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Report<'a> {
    folder: &'a PathBuf,
    #[serde(flatten)]
    exported: Exported,
}

/// Exports the plan and says where to.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let stack = args.stack()?;
    let plan = samp_runtime::open(&args.plan).map_err(EmitError::from)?;
    args.identity.require(&plan)?;
    let bar = Bar::of_bytes(args.quiet);
    let options = ExportOptions {
        stack,
        allow_rounding: args.allow_rounding,
        ..ExportOptions::new(&args.output, args.force, &bar)
    };
    let exported = export_plan(&plan, &options)?;
    if args.json {
        print_json(&Report { folder: &args.output, exported })?;
        return Ok(Outcome::Clean);
    }
    for note in &exported.notes {
        say(format!("note: {note}"));
    }
    // Of plain f32 there is nothing to say: it holds every value.
    if stack != Stack::HuggingFace(FloatType::F32) {
        print(&table(&exported.tensors))?;
    }
    print(&format!("{}\n", in_line(&args.output)))?;
    Ok(Outcome::Clean)
}

impl Args {
    fn stack(&self) -> Result<Stack, Failure> {
        match (self.format, self.dtype) {
            (Format::Hf, dtype) => Ok(Stack::HuggingFace(dtype.unwrap_or_default())),
            (_, Some(_)) => {
                let message = "expected --dtype with --format hf alone, which stores plain values; found another format";
                Err(Failure::new(error_code::USAGE, message))
            }
            (Format::CompressedTensors, None) => Ok(Stack::CompressedTensors),
            (Format::Bitsandbytes, None) => Ok(Stack::Bitsandbytes),
            (Format::Gguf, None) => Ok(Stack::Gguf),
        }
    }
}

/// What became of the weights, those of several layers that came out alike in one line.
fn table(tensors: &[ExportedTensor]) -> String {
    let mut table = Table::new(["weight", "plan", "written as", "values", "why"]);
    for group in grouped(tensors) {
        let ExportedTensor { formats, encoding, largest_relative_error, rounded, .. } = group.tensor;
        let formats: Vec<&str> = formats.iter().map(|format| format.name()).collect();
        let values = match largest_relative_error {
            0.0 => "exact".into(),
            error => format!("within {error:.1e}"),
        };
        table.row([group.name, formats.join(", "), encoding, values, rounded.unwrap_or_default()]);
    }
    table.to_string()
}
