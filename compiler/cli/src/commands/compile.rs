//! `samp compile`: a checkpoint becomes a plan.

mod demands;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use samp_abi::{Format, ScaleAxis, TargetName};
use samp_ir::{Diagnostic, Phase};
use samp_runtime::plan::code::CODE_FOLDER;

use self::{
    demands::{DemandArgs, routed, work_folder},
    report::{Cost, Decided, Explained, Graph, Report, audited},
};
use super::calibration::{DataArgs, MeasureArgs};
use crate::{
    output::{Outcome, print, print_json},
    progress_bar::Bar,
};
use samp_compiler::{
    certificate::{Certificate, QualityEvidence},
    compile::{CompileOptions, Lowered, Source, check_budget, lower_model, probe},
    emit::{DEFAULT_BUDGET, EmitOptions, Emitted, EncodedWeights, Forecast, MachineCode, emit, forecast},
    lower::{
        PlanSpec,
        pipeline::typical_context,
        predict::{self, DecodeStep},
        recipe,
        size::{Bytes, SizeTable},
    },
    quantize::RoundedStore,
};

/// Compile a checkpoint into a plan for each target
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint directory; a config.json alone serves --dry-run, --kernels, --stop-after and --print-after
    model: PathBuf,
    /// Machine that the plan is for; of several, with commas between, each has a plan of its name in the folder PLAN
    #[arg(long = "target", value_name = "TARGET", value_delimiter = ',', default_values_t = [TargetName::Cpu])]
    targets: Vec<TargetName>,
    /// The one of them that is compiled for.
    #[arg(skip = TargetName::Cpu)]
    target: TargetName,
    /// `samp`, `uniform:FORMAT`, or a TOML file of patterns and formats [default: samp]
    ///
    /// With --calib measurements decide the formats: a recipe is then a TOML file of `quality` and `kv` without rules.
    #[arg(long)]
    recipe: Option<String>,
    /// Plan directory to make
    #[arg(short, long, value_name = "PLAN", required_unless_present_any = ["dry_run", "stop_after", "kernels"])]
    output: Option<PathBuf>,
    /// Write only the kernels' machine code, into this folder, for a target that is a GPU; a config.json serves
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["output", "dry_run", "stop_after"])]
    kernels: Option<PathBuf>,
    /// Replace the plan if it exists
    #[arg(long)]
    force: bool,
    /// Refuse a plan whose weights take more than this; warn if they and one sequence's cache do
    ///
    /// Weights alone count: the KV cache depends on how the plan is served. The refusal and --dry-run also say the
    /// least that running takes: weights, activation arena, and the cache of one sequence at its longest.
    #[arg(long, value_name = "BYTES")]
    budget: Option<Bytes>,
    /// Format of the KV cache: auto (the recipe's, or f32 on CPUs and f16 on GPUs), f32, f16 or fp8
    #[arg(long, value_name = "DTYPE", default_value = "auto", value_parser = kv_format)]
    kv_cache_dtype: KvDtype,
    /// Positions of one sequence [default: what the model was trained for]
    #[arg(long, value_name = "N")]
    max_model_len: Option<u64>,
    /// Sequences alive at once [default: 16, or 1 with --optimize-for edge]
    #[arg(long, value_name = "N")]
    max_num_seqs: Option<u64>,
    /// Tokens of one step [default: 256 on CPUs, 1024 on GPUs]
    #[arg(long, value_name = "N")]
    max_num_batched_tokens: Option<u64>,
    /// Threads that encode weights; no byte of the plan depends on it [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Memory for tensors in flight
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(DEFAULT_BUDGET))]
    memory: Bytes,
    /// Say what would be made and what it takes, then stop
    #[arg(long)]
    dry_run: bool,
    /// Lower the graph to this phase, print it, then stop: model, fused, annotated, typed, selected, planned
    #[arg(long, value_name = "PHASE")]
    stop_after: Option<Phase>,
    /// Print the graph after this phase; may be given several times
    #[arg(long, value_name = "PHASE")]
    print_after: Vec<Phase>,
    /// Say for each op which kernels were candidates and what each would cost; with --calib, for each weight why it
    /// has its format, what higher limits would buy, and what each quality pass did to the error of outputs
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    demands: DemandArgs,
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

/// Compiles for each target and reports, for one after the other.
pub fn run(mut args: Args) -> anyhow::Result<Outcome> {
    let targets = std::mem::take(&mut args.targets);
    let (output, kernels) = (args.output.take(), args.kernels.take());
    let several = targets.len() > 1;
    let writes = !args.dry_run && args.stop_after.is_none();
    if let Some(folder) = output.as_ref().filter(|_| several && writes) {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    for target in targets {
        let place = |folder: &PathBuf| if several { folder.join(target.name()) } else { folder.clone() };
        (args.output, args.kernels) = (output.as_ref().map(place), kernels.as_ref().map(place));
        args.target = target;
        run_for_target(&args)?;
    }
    Ok(Outcome::Clean)
}

fn run_for_target(args: &Args) -> anyhow::Result<()> {
    let source = Source::open(&args.model)?;
    let mut options = options(args)?;
    let calibrated = args.data.calib.is_some();
    if calibrated {
        let recipe = args.recipe.as_deref().map(recipe::load_measured).transpose()?.unwrap_or_default();
        options.kv = options.kv.or(recipe.kv);
        options.quality = args.measure.quality(args.data.seed, recipe.quality.as_deref())?;
        return run_calibrated(args, &source, &options);
    }
    let mut graphs = vec![];
    let lowered =
        lower_model(&source, &options, args.stop_after.unwrap_or(Phase::Planned), &mut |phase, module| {
            if args.print_after.contains(&phase) || args.stop_after == Some(phase) {
                graphs.push(Graph { phase: phase.to_string(), mlir: module.to_string() });
            }
        })?;
    let mut warnings: Vec<Diagnostic> = source.warnings().iter().chain(&lowered.warnings).cloned().collect();
    warnings.extend(over_budget(args, &source, &options, &lowered)?);
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let trace = args.explain.then(|| Explained::of(&lowered.trace, &[]));
    if !args.json {
        let printed = graphs.iter().map(Graph::to_string).chain(trace.iter().map(Explained::to_string));
        print(&printed.collect::<String>())?;
    }
    let mut report = Report { graphs, trace, warnings: &warnings, ..Report::new(args) };
    let made = match &lowered.spec {
        Some(spec) => finish(args, &source, spec, None, &mut report)?,
        None => String::new(),
    };
    if args.json {
        print_json(&report)?;
    } else if args.stop_after.is_none() {
        print(&made)?;
    }
    Ok(())
}

/// Decides the formats from measurements, compiles and reports.
fn run_calibrated(args: &Args, source: &Source, options: &CompileOptions) -> anyhow::Result<()> {
    let data = args.data.load(source, args.max_model_len)?;
    let known = data.warnings.clone();
    source.warnings().iter().chain(&known).for_each(|warning| eprintln!("{warning}"));
    let routed = routed(args, source, options, data)?;
    routed.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let warnings: Vec<Diagnostic> =
        source.warnings().iter().chain(&known).chain(&routed.warnings).cloned().collect();
    let decided = args.explain.then(|| Decided::of(&routed));
    if let (Some(decided), false) = (&decided, args.json) {
        print(&decided.to_string())?;
    }
    let held_out = Some(&routed.quality.held_out);
    let trace = args.explain.then(|| Explained::of(&routed.trace, &routed.quality.effects));
    if let Some(trace) = trace.as_ref().filter(|_| !args.json) {
        print(&trace.to_string())?;
    }
    let mut report = Report { warnings: &warnings, held_out, decided, trace, ..Report::new(args) };
    let rounded = Some((&routed.rounded, &routed.quality));
    let made = finish(args, source, &routed.spec, rounded, &mut report)?;
    if let Some(work) = work_folder(args) {
        std::fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        print(&format!("{made}\n{}", audited(&routed.quality)))?;
    }
    Ok(())
}

/// Checks the budget, whatever phase the graph was lowered to: what does not fit is refused before any result.
fn over_budget(
    args: &Args,
    source: &Source,
    options: &CompileOptions,
    lowered: &Lowered,
) -> anyhow::Result<Option<Diagnostic>> {
    let Some(budget) = args.budget else { return Ok(None) };
    if let Some(spec) = &lowered.spec {
        return Ok(check_budget(spec, budget.0)?);
    }
    let whole = lower_model(source, options, Phase::Planned, &mut |_, _| {})?;
    let spec = whole.spec.context("expected a plan at the end of lowering, found none")?;
    Ok(check_budget(&spec, budget.0)?)
}

fn options(args: &Args) -> anyhow::Result<CompileOptions> {
    let fixed = args.recipe.as_deref().filter(|_| args.data.calib.is_none());
    let defaults = CompileOptions::new(args.target, recipe::load(fixed.unwrap_or("samp"))?);
    Ok(CompileOptions {
        kv: args.kv_cache_dtype.0,
        max_context: args.max_model_len,
        max_sequences: args.max_num_seqs.unwrap_or(args.demands.optimize_for.sequences()),
        max_tokens: args.max_num_batched_tokens.unwrap_or(defaults.max_tokens),
        ..defaults
    })
}

/// Emits the plan, or says what that would take: in the report, and as text.
fn finish(
    args: &Args,
    source: &Source,
    spec: &PlanSpec,
    measured: Option<(&RoundedStore, &QualityEvidence)>,
    report: &mut Report<'_>,
) -> anyhow::Result<String> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    ensure!(threads > 0, "--threads: expected at least 1, found 0");
    let forecast = forecast(spec, threads, args.memory.0);
    if let Some(folder) = &args.kernels {
        let code = MachineCode::compile(spec, threads)?;
        ensure!(!code.0.is_empty(), "--kernels: {} runs the host's own code; choose a GPU", args.target);
        code.write(folder)?;
        return Ok(render_code(folder, &code));
    }
    let only_said = args.dry_run || args.stop_after.is_some();
    let emitted = if only_said { None } else { Some(write(args, source, (spec, measured), threads)?) };
    let sizes = SizeTable::of(spec);
    let predicted = predict::decode_steps(spec, &sizes);
    let made = match &emitted {
        Some(emitted) => render_emitted(args, emitted),
        None => render_forecast(&forecast) + &render_prediction(spec, &predicted),
    };
    let text = format!("{sizes}\n{made}");
    report.tensors_resumed = emitted.map(|emitted| emitted.resumed);
    let Forecast { disk_bytes, memory, .. } = forecast;
    report.cost = Some(Cost { sizes, disk_bytes, peak_memory_bytes: memory.bytes(), predicted });
    Ok(text)
}

fn write(
    args: &Args,
    source: &Source,
    (spec, measured): (&PlanSpec, Option<(&RoundedStore, &QualityEvidence)>),
    threads: usize,
) -> anyhow::Result<Emitted> {
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
        encoded_weights: measured.map(|m| m.0 as &dyn EncodedWeights),
        certificate: &Certificate::new(spec, measured.map(|m| m.1)).to_text(),
    };
    Ok(emit(spec, &import.checkpoint, &options)?)
}

fn render_code(folder: &Path, code: &MachineCode) -> String {
    let most = code.report().iter().map(|report| report.registers).max().unwrap_or(0);
    format!(
        "{}: {} kernels, {} in all, at most {most} registers, no spills\n",
        folder.join(CODE_FOLDER).display(),
        code.0.len(),
        Bytes(code.bytes())
    )
}

fn render_forecast(forecast: &Forecast) -> String {
    format!(
        "plan on disk       {}\npeak memory        {} packing, {} probing (its weights mapped)\n",
        Bytes(forecast.disk_bytes),
        Bytes(forecast.memory.packing),
        Bytes(forecast.memory.probe)
    )
}

/// Steps that decode one token of each sequence, by the cost model.
fn render_prediction(spec: &PlanSpec, steps: &[DecodeStep]) -> String {
    let mut text = format!(
        "predicted          a token of each sequence, {} positions read; device memory for their longest\n",
        typical_context(&spec.limits)
    );
    for &DecodeStep { sequences, milliseconds, tokens_per_second, device_bytes } in steps {
        let memory = Bytes(device_bytes).to_string();
        let of = if sequences == 1 { "sequence" } else { "sequences" };
        text += &format!(
            "{sequences:>6} {of:<11} {milliseconds:>9.2} ms  {tokens_per_second:>9.1} tok/s  {memory:>10}\n"
        );
    }
    text
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
