//! `samp compile`: a checkpoint becomes a plan.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use samp_abi::{Format, ScaleAxis, TargetName};
use samp_ir::{Diagnostic, Phase};
use samp_passes::Changed;
use serde::Serialize;

use super::{Outcome, print, print_json};
use crate::{
    compile::{
        CompileOptions, DEFAULT_MAX_SEQUENCES, DEFAULT_MAX_TOKENS, Lowered, Source, check_budget,
        lower_model, probe,
    },
    emit::{Bar, DEFAULT_BUDGET, EmitOptions, Emitted, Forecast, PlanSpec, emit, forecast},
    pipeline::Trace,
    recipe,
    size::{Bytes, SizeTable},
};

/// Compile a checkpoint into a plan for one target
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint directory; a config.json alone serves --dry-run, --stop-after and --print-after
    model: PathBuf,
    /// Machine that the plan is for
    #[arg(long, default_value_t = TargetName::Cpu)]
    target: TargetName,
    /// `samp`, `uniform:FORMAT`, or a TOML file of patterns and formats
    #[arg(long, default_value = "samp")]
    recipe: String,
    /// Plan directory to make
    #[arg(short, long, value_name = "PLAN", required_unless_present_any = ["dry_run", "stop_after"])]
    output: Option<PathBuf>,
    /// Replace the plan if it exists
    #[arg(long)]
    force: bool,
    /// Refuse a plan whose weights take more than this
    #[arg(long, value_name = "BYTES")]
    budget: Option<Bytes>,
    /// Format of the KV cache: auto (the recipe's, or what the target computes in), f32, f16 or fp8
    #[arg(long, value_name = "DTYPE", default_value = "auto", value_parser = kv_format)]
    kv_cache_dtype: KvDtype,
    /// Positions of one sequence [default: what the model was trained for]
    #[arg(long, value_name = "N")]
    max_model_len: Option<u64>,
    /// Sequences alive at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_SEQUENCES)]
    max_num_seqs: u64,
    /// Tokens of one step
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_TOKENS)]
    max_num_batched_tokens: u64,
    /// Threads that encode weights; no byte of the plan depends on it [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Memory for tensors in flight
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(DEFAULT_BUDGET))]
    memory: Bytes,
    /// Say what would be made and what it takes, then stop
    #[arg(long)]
    dry_run: bool,
    /// Lower the graph to this phase, print it, then stop: model, fused, typed, selected, planned
    #[arg(long, value_name = "PHASE")]
    stop_after: Option<Phase>,
    /// Print the graph after this phase; may be given several times
    #[arg(long, value_name = "PHASE")]
    print_after: Vec<Phase>,
    /// Say for each op which kernels were candidates and what each would cost
    #[arg(long)]
    explain: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// What `--kv-cache-dtype` says; `None` is auto.
#[derive(Clone, Copy)]
struct KvDtype(Option<Format>);

fn kv_format(text: &str) -> Result<KvDtype, String> {
    Ok(KvDtype(match text {
        "auto" => None,
        "f32" => Some(Format::F32),
        "f16" => Some(Format::F16),
        "fp8" => Some(Format::Fp8E4m3(ScaleAxis::Tensor)),
        _ => return Err("expected auto, f32, f16 or fp8".into()),
    }))
}

/// Result of a compile, or of a dry run.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a PathBuf>,
    target: TargetName,
    sizes: &'a SizeTable,
    disk_bytes: u64,
    peak_memory_bytes: u64,
    warnings: &'a [Diagnostic],
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors_resumed: Option<usize>,
}

/// Compiles and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let source = Source::open(&args.model)?;
    let until = args.stop_after.unwrap_or(Phase::Planned);
    let mut printed = String::new();
    let lowered = lower_model(&source, &options(args)?, until, &mut |phase, module| {
        if args.print_after.contains(&phase) || args.stop_after == Some(phase) {
            printed += &format!("// {phase}\n{module}\n");
        }
    })?;
    let warnings: Vec<Diagnostic> = source.warnings().iter().chain(&lowered.warnings).cloned().collect();
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    if args.explain {
        printed += &explain(&lowered.trace);
    }
    print(&printed)?;
    let Lowered { spec: Some(spec), .. } = lowered else { return Ok(Outcome::Clean) };
    if args.stop_after.is_some() {
        return Ok(Outcome::Clean);
    }
    if let Some(budget) = args.budget {
        check_budget(&spec, budget.0)?;
    }
    finish(args, &source, &spec, &warnings)
}

fn options(args: &Args) -> anyhow::Result<CompileOptions> {
    Ok(CompileOptions {
        kv: args.kv_cache_dtype.0,
        max_context: args.max_model_len,
        max_sequences: args.max_num_seqs,
        max_tokens: args.max_num_batched_tokens,
        ..CompileOptions::new(args.target, recipe::load(&args.recipe)?)
    })
}

/// Emits the plan, or says what that would take.
fn finish(args: &Args, source: &Source, spec: &PlanSpec, warnings: &[Diagnostic]) -> anyhow::Result<Outcome> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    ensure!(threads > 0, "--threads: expected at least 1, found 0");
    let forecast = forecast(spec, threads, args.memory.0);
    let emitted = if args.dry_run { None } else { Some(write(args, source, spec, threads)?) };
    let sizes = SizeTable::of(spec);
    if args.json {
        print_json(&Report {
            plan: args.output.as_ref(),
            target: args.target,
            sizes: &sizes,
            disk_bytes: forecast.disk_bytes,
            peak_memory_bytes: forecast.memory.bytes(),
            warnings,
            tensors_resumed: emitted.as_ref().map(|e| e.resumed),
        })?;
    } else {
        let made =
            emitted.map_or_else(|| render_forecast(&forecast), |emitted| render_emitted(args, &emitted));
        print(&format!("{sizes}\n{made}"))?;
    }
    Ok(Outcome::Clean)
}

fn write(args: &Args, source: &Source, spec: &PlanSpec, threads: usize) -> anyhow::Result<Emitted> {
    let Source::Checkpoint(import) = source else {
        bail!("{} has no weights: give the checkpoint's directory, or --dry-run", args.model.display());
    };
    let out = args.output.as_ref().context("expected -o PLAN")?;
    let bar = Bar::new(args.quiet || args.json);
    let options = EmitOptions {
        out,
        force: args.force,
        threads,
        memory_budget: args.memory.0,
        progress: &bar,
        probe: &probe,
    };
    Ok(emit(spec, &import.checkpoint, &options)?)
}

fn render_forecast(forecast: &Forecast) -> String {
    format!(
        "plan on disk       {}\npeak memory        {} packing, {} probing (its weights mapped)\n",
        Bytes(forecast.disk_bytes),
        Bytes(forecast.memory.packing),
        Bytes(forecast.memory.probe)
    )
}

fn render_emitted(args: &Args, emitted: &Emitted) -> String {
    let out = args.output.as_ref().map_or_else(String::new, |out| out.display().to_string());
    let resumed = match emitted.resumed {
        0 => String::new(),
        n => format!(", {n} tensors taken over from an interrupted run"),
    };
    let bits = emitted.plan.decoder_bits_per_weight().map_or("–".into(), |b| format!("{b:.3}"));
    format!("{out}: {} in all, {bits} bits per decoder weight{resumed}\n", Bytes(emitted.bytes))
}

/// What each pass changed, then a paragraph for each op: every bucket's choice before what lost against it.
fn explain(trace: &Trace) -> String {
    let passes = trace.passes.iter().map(|(name, Changed(places))| format!("{name}: {places} places\n"));
    let mut out: String = passes.collect();
    let mut label = "";
    for e in &trace.explanations {
        if e.label != label {
            label = &e.label;
            out += &format!("{label}\n");
        }
        let candidates: Vec<String> =
            e.candidates.iter().map(|(name, time)| format!("{name} {time}")).collect();
        out += &format!("  up to {:>6} tokens: {}\n", e.max_tokens, candidates.join("  >  "));
    }
    out
}
