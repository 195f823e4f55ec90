//! `samp compile`: a checkpoint becomes a plan.

mod constraints;
mod render;
mod report;
mod targets;

use std::path::PathBuf;

use anyhow::Context;
use samp_abi::{Format, ScaleAxis, TargetName};
use samp_ir::Phase;

pub use self::report::Document;
use self::{
    constraints::ConstraintArgs,
    report::{Cost, Decisions, Explained, Graph, Report, audited},
    targets::PlansFolder,
};
use crate::{
    calibration_args::{DataArgs, MeasureArgs},
    failure,
    interruption::{self, Work},
    named_values::one_of,
    output::{Outcome, print, print_json, say},
    progress_bar::Bar,
};
use samp_compiler::{
    compile::{
        CalibrationRequest, CompileRequest, EmissionRequest, Loaded, Planned, Precision, refuse_warnings,
    },
    emit::DEFAULT_BUDGET,
    lower::{
        pipeline::default_max_tokens,
        predict, recipe,
        size::{Bytes, SizeTable},
    },
};

/// Compile a checkpoint into a plan for each target
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint directory; a config.json alone serves --dry-run, --kernels, --stop-after and --print-after
    model: PathBuf,
    /// Machine that the plan is for; of several, with commas between, each has a plan of its name in the folder PLAN
    #[arg(long = "target", value_name = "TARGET", value_delimiter = ',', default_values_t = [TargetName::Cpu],
        value_parser = one_of::<TargetName>(TargetName::ALL.map(TargetName::name)))]
    targets: Vec<TargetName>,
    /// `samp`, `uniform:FORMAT`, or a TOML file of patterns and formats [default: samp]
    #[arg(long, value_name = "RECIPE", long_help = recipe_help())]
    recipe: Option<String>,
    /// Plan directory to make, in a folder that is there
    #[arg(short, long, value_name = "PLAN", required_unless_present_any = ["dry_run", "stop_after", "kernels"])]
    output: Option<PathBuf>,
    /// Write only the kernels' machine code, into this folder, for a target that is a GPU; a config.json serves
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["output", "dry_run", "stop_after"], help_heading = INSTEAD)]
    kernels: Option<PathBuf>,
    /// What the plan calls the checkpoint [default: its folder's name, or ORG/NAME of a hub's cache]
    #[arg(long)]
    name: Option<String>,
    /// Replace the plan if it exists
    #[arg(long)]
    force: bool,
    /// Refuse a plan whose weights take more than this; warn if they and one sequence's cache do
    ///
    /// Weights alone count: the KV cache depends on how the plan is served. The refusal and --dry-run also say the
    /// least that running takes: weights, activation arena, and the cache of one sequence at its longest.
    #[arg(long, value_name = "BYTES", help_heading = LIMITS)]
    budget: Option<Bytes>,
    /// Format of the KV cache: auto (the recipe's, or f32 on CPUs and f16 on GPUs), f32, f16 or fp8
    #[arg(long, value_name = "DTYPE", default_value = "auto", value_parser = kv_format, help_heading = LIMITS)]
    kv_cache_dtype: KvDtype,
    /// Positions of one sequence [default: what the model was trained for]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    max_model_len: Option<u64>,
    /// Maximum concurrent sequences [default: 16, or 1 with --optimize-for edge]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    max_num_seqs: Option<u64>,
    /// Tokens of one step [default: 256 on CPUs, 1024 on GPUs]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    max_num_batched_tokens: Option<u64>,
    /// Refuse what there are warnings of; nothing is written
    #[arg(long)]
    strict: bool,
    /// Threads that encode weights; no byte of the plan depends on it [default: all]
    #[arg(long, value_name = "N", help_heading = MACHINE)]
    threads: Option<usize>,
    /// Memory for tensors in flight
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(DEFAULT_BUDGET), help_heading = MACHINE)]
    memory: Bytes,
    /// Say what would be made and what it takes, then stop; with --calib, what measuring would take, and measure nothing
    #[arg(long, help_heading = INSTEAD)]
    dry_run: bool,
    /// Lower the graph to this phase, print it, then stop
    #[arg(long, value_name = "PHASE", value_parser = one_of::<Phase>(Phase::ALL.map(Phase::name)), help_heading = INSTEAD)]
    stop_after: Option<Phase>,
    /// Print the graph after this phase; may be given several times
    #[arg(long, value_name = "PHASE", value_parser = one_of::<Phase>(Phase::ALL.map(Phase::name)), help_heading = INSTEAD)]
    print_after: Vec<Phase>,
    /// Say for each op which kernels were candidates and what each would cost; with --calib, for each weight why it
    /// has its format, what higher limits would buy, and what each quality pass did to the error of outputs
    #[arg(long, help_heading = INSTEAD)]
    explain: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    constraints: ConstraintArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Say nothing of progress
    #[arg(long)]
    quiet: bool,
}

/// Headings of the help.
const LIMITS: &str = "Limits of the plan";
const INSTEAD: &str = "Looking inside";
const MACHINE: &str = "This machine";

/// The help of `--recipe`, with the formats that it can name.
fn recipe_help() -> String {
    let formats = Format::ALL.map(|format| format.name()).join(", ");
    format!(
        "`samp`, `uniform:FORMAT`, or a TOML file of patterns and formats [default: samp]\n\n\
         With --calib measurements decide the formats: a recipe is then a TOML file of `quality` and `kv` without rules.\n\n\
         Formats: {formats}"
    )
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

/// Compiles for each target and reports, for one after the other. What can be refused of any is refused before the first.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    targets::check(&args.targets)?;
    let several = args.targets.len() > 1;
    let folder = args.output.as_ref().filter(|_| several && !args.only_says());
    let _folder = folder.map(|folder| PlansFolder::make(folder)).transpose()?;
    let compilations =
        args.targets.iter().map(|&target| Compilation::new(args, target)).collect::<Result<Vec<_>, _>>()?;
    let loaded = compilations.iter().map(Compilation::open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut done: Vec<&Compilation<'_>> = vec![];
    let mut plans = vec![];
    for (compilation, loaded) in compilations.iter().zip(loaded) {
        let finished = done.iter().filter_map(|done| done.output.clone()).collect();
        compilation.explain_interruption(finished)?;
        plans.push(compilation.run(loaded).map_err(|error| compilation.named(error, &done))?);
        done.push(compilation);
    }
    if args.json {
        print_json(&Document { plans })?;
    }
    Ok(Outcome::Clean)
}

impl Args {
    /// Whether nothing is written.
    fn only_says(&self) -> bool {
        self.dry_run || self.stop_after.is_some()
    }

    /// What the flags ask of a compile for one target.
    fn request(&self, target: TargetName, output: Option<PathBuf>) -> anyhow::Result<CompileRequest> {
        let max_sequences = self.max_num_seqs.unwrap_or(self.constraints.optimize_for.sequences());
        let max_tokens = self.max_num_batched_tokens.unwrap_or(default_max_tokens(target));
        let (precision, recipe_kv) = match self.data.request() {
            None => {
                let recipe = recipe::load(self.recipe.as_deref().unwrap_or("samp"))?;
                (Precision::Recipe(recipe), None)
            }
            Some(data) => {
                let recipe = self.recipe.as_deref().map(recipe::load_measured).transpose()?;
                let recipe = recipe.unwrap_or_default();
                let quality = self.measure.quality(data.seed, recipe.quality.as_deref())?;
                let calibration = CalibrationRequest {
                    measure: self.measure.options(quality.rounding),
                    quality,
                    constraints: self.constraints.constraints(max_sequences.min(max_tokens)),
                    loss_limits: self.constraints.loss_limits(),
                    profile: self.constraints.profile.clone(),
                    additivity_samples: self.constraints.trials,
                    data,
                };
                (Precision::Calibrated(Box::new(calibration)), recipe.kv)
            }
        };
        Ok(CompileRequest {
            name: self.name.clone(),
            kv: self.kv_cache_dtype.0.or(recipe_kv),
            max_context: self.max_model_len,
            max_sequences,
            max_tokens: Some(max_tokens),
            weight_budget: self.budget.map(|bytes| bytes.0),
            emission: EmissionRequest {
                output,
                force: self.force,
                threads: self.threads,
                memory_budget: self.memory.0,
                strict: self.strict,
            },
            ..CompileRequest::new(&self.model, target, precision)
        })
    }
}

/// A compile for one target.
struct Compilation<'a> {
    args: &'a Args,
    request: CompileRequest,
    /// Where the plan goes, or would go.
    output: Option<PathBuf>,
    /// Where the kernels' machine code goes, if it alone is asked for.
    kernels: Option<PathBuf>,
}

impl<'a> Compilation<'a> {
    fn new(args: &'a Args, target: TargetName) -> anyhow::Result<Compilation<'a>> {
        let several = args.targets.len() > 1;
        let place = |folder: &PathBuf| if several { folder.join(target.name()) } else { folder.clone() };
        let output = args.output.as_ref().map(place);
        // What only says what would be made does not mind what is there.
        let request = args.request(target, output.clone().filter(|_| !args.only_says()))?;
        Ok(Compilation { args, request, output, kernels: args.kernels.as_ref().map(place) })
    }

    /// Opens the model; of several, checks all that can be checked.
    fn open(&self) -> anyhow::Result<Loaded<'_>> {
        let opened = Loaded::open(&self.request).and_then(|opened| {
            let several = self.args.targets.len() > 1 && !self.args.only_says();
            if several { opened.check().map(|()| opened) } else { Ok(opened) }
        });
        opened.map_err(|error| self.named(error.into(), &[]))
    }

    fn run(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        match self.request.precision {
            Precision::Calibrated(_) if self.args.stop_after.is_none() && self.args.dry_run => {
                self.forecast_calibration(loaded)
            }
            Precision::Calibrated(_) if self.args.stop_after.is_none() => self.by_measurement(loaded),
            _ => self.by_recipe(loaded),
        }
    }

    /// Has Ctrl-C say how this goes on, beside the plans that are finished.
    fn explain_interruption(&self, finished: Vec<PathBuf>) -> anyhow::Result<()> {
        if self.args.only_says() || self.kernels.is_some() {
            return Ok(());
        }
        let emission = self.request.emission.clone();
        let unfinished = Box::new(move || emission.unfinished());
        interruption::explain(Work { unfinished, finished, json: self.args.json })
    }

    /// Of several targets, the error of this one, with those that are done.
    fn named(&self, error: anyhow::Error, done: &[&Compilation<'_>]) -> anyhow::Error {
        if self.args.targets.len() == 1 {
            return error;
        }
        let name = |done: &&Compilation<'_>| done.request.target.to_string();
        let done = match done {
            [] => "none is made".into(),
            _ => format!("made: {}", done.iter().map(name).collect::<Vec<_>>().join(", ")),
        };
        error.context(format!("target {} ({done})", self.request.target))
    }

    /// Says what measuring would take, and measures nothing.
    fn forecast_calibration(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        let warnings: Vec<_> = loaded.warnings().cloned().collect();
        warnings.iter().for_each(say);
        let forecast = loaded.forecast()?;
        if !self.args.json {
            print(&render::calibration(&forecast))?;
        }
        let warnings = failure::warnings(&warnings);
        Ok(Report { warnings, calibration: Some(forecast), ..self.report() })
    }

    /// Lowers by the recipe as far as is asked, emits and reports.
    fn by_recipe(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        let args = self.args;
        let keep: Vec<Phase> = args.print_after.iter().copied().chain(args.stop_after).collect();
        let mut lowered = loaded.lower(args.stop_after.unwrap_or(Phase::Planned), &keep)?;
        let warnings: Vec<_> = loaded.warnings().chain(&lowered.warnings).cloned().collect();
        warnings.iter().for_each(say);
        if args.strict {
            refuse_warnings(&warnings)?;
        }
        let graphs: Vec<Graph> =
            std::mem::take(&mut lowered.trace.graphs).into_iter().map(Graph::from).collect();
        let trace = args.explain.then(|| Explained::new(&lowered.trace, &[]));
        if !args.json {
            let printed = graphs.iter().map(Graph::to_string).chain(trace.iter().map(Explained::to_string));
            print(&printed.collect::<String>())?;
        }
        let warnings = failure::warnings(&warnings);
        let mut report = Report { graphs, trace, warnings, ..self.report() };
        let made = match loaded.into_planned(lowered) {
            Some(planned) => self.finish(planned, &mut report)?,
            None => String::new(),
        };
        if !args.json && args.stop_after.is_none() {
            print(&made)?;
        }
        Ok(report)
    }

    /// Decides the formats from measurements, emits and reports.
    fn by_measurement(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        let args = self.args;
        let known = loaded.warnings().inspect(|warning| say(warning)).count();
        let planned = loaded.search(&Bar::of_stages(args.quiet))?;
        planned.warnings[known..].iter().for_each(say);
        planned.check_warnings(&self.request.emission)?;
        let calibrated = planned.calibrated.as_ref().context("expected measurements, found none")?;
        let evidence = calibrated.evidence.clone();
        let decided = args.explain.then(|| Decisions::new(calibrated));
        let trace = args.explain.then(|| Explained::new(&planned.trace, &evidence.effects));
        if !args.json {
            let explained = decided.iter().map(Decisions::to_string);
            let mut explained = explained.chain(trace.iter().map(Explained::to_string));
            explained.try_for_each(|text| print(&text))?;
        }
        let warnings = failure::warnings(&planned.warnings);
        let audit = audited(&evidence);
        let held_out = Some(evidence.held_out);
        let mut report = Report { warnings, held_out, decided, trace, ..self.report() };
        let made = self.finish(planned, &mut report)?;
        if !args.json {
            print(&format!("{made}\n{audit}"))?;
        }
        Ok(report)
    }

    fn report(&self) -> Report<'_> {
        let output = self.output.as_deref();
        Report::new(self.request.target, output.filter(|_| self.args.stop_after.is_none()))
    }

    /// Emits the plan, or says what that would take: in the report, and as text.
    fn finish(&self, planned: Planned, report: &mut Report<'_>) -> anyhow::Result<String> {
        let (args, emission) = (self.args, &self.request.emission);
        let forecast = planned.forecast(emission)?;
        if let Some(folder) = &self.kernels {
            let code = planned.compile_kernels(emission)?;
            code.write(folder)?;
            return Ok(render::code(folder, &code));
        }
        let sizes = SizeTable::new(&planned.spec);
        let predicted = predict::decode_steps(&planned.spec, &sizes);
        let made = if args.only_says() {
            render::forecast(&forecast) + &render::prediction(&planned.spec, &predicted)
        } else {
            let compiled = planned.emit(emission, &Bar::of_bytes(args.quiet))?;
            report.tensors_resumed = Some(compiled.resumed);
            report.digest = Some(compiled.plan.digest.clone());
            report.bytes = Some(compiled.bytes);
            report.decoder_bits_per_weight = compiled.plan.decoder_bits_per_weight();
            emission.output.as_ref().map_or(String::new(), |output| render::compiled(output, &compiled))
        };
        let text = format!("{sizes}\n{made}");
        let peak_memory_bytes = forecast.memory.bytes();
        report.cost = Some(Cost { sizes, disk_bytes: forecast.disk_bytes, peak_memory_bytes, predicted });
        Ok(text)
    }
}
