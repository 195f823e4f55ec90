//! The compile for one target: by a recipe or by measurements, as far as is asked.

use std::path::PathBuf;

use anyhow::Context;
use samp_abi::TargetName;
use samp_compiler::{
    compile::{CompileRequest, Loaded, Planned, Precision, refuse_warnings},
    lower::{predict, size::SizeTable},
    output_file::refuse_inside,
};
use samp_ir::Phase;

use super::{
    args::Args,
    render,
    report::{Cost, Decisions, Explained, Graph, Report, audited},
};
use crate::{
    commands::ending::is_closed_pipe,
    failure::{self, Failure},
    interruption::{self, Work},
    output::{print, say},
    progress_bar::Bar,
};

/// A compile for one target.
pub(super) struct Compilation<'a> {
    args: &'a Args,
    request: CompileRequest,
    /// Where the plan goes, or would go.
    pub(super) output: Option<PathBuf>,
    /// Where the kernels' machine code goes, if it alone is asked for.
    kernels: Option<PathBuf>,
}

impl<'a> Compilation<'a> {
    pub(super) fn new(args: &'a Args, target: TargetName) -> anyhow::Result<Compilation<'a>> {
        let several = args.targets.len() > 1;
        let place = |folder: &PathBuf| if several { folder.join(target.name()) } else { folder.clone() };
        let output = args.output.as_ref().map(place);
        // What only says what would be made does not mind what is there.
        let request = args.request(target, output.clone().filter(|_| !args.only_says()))?;
        args.kernels.as_ref().map_or(Ok(()), |folder| refuse_inside(folder, &args.model))?;
        Ok(Compilation { args, request, output, kernels: args.kernels.as_ref().map(place) })
    }

    /// Opens the model; of several, checks all that can be checked.
    pub(super) fn open(&self) -> anyhow::Result<Loaded<'_>> {
        let opened = Loaded::open(&self.request).and_then(|opened| {
            let several = self.args.targets.len() > 1 && !self.args.only_says();
            if several { opened.check().map(|()| opened) } else { Ok(opened) }
        });
        opened.map_err(|error| self.named(error.into(), &[]))
    }

    /// Makes what is asked for. An error says what is kept for the next attempt.
    pub(super) fn run(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        self.make(loaded).map_err(|error| match is_closed_pipe(&error) {
            true => error,
            false => {
                let kept = self.request.emission.unfinished();
                interruption::with_what_is_kept(Failure::of(&error), &kept).into()
            }
        })
    }

    fn make(&self, loaded: Loaded<'_>) -> anyhow::Result<Report<'_>> {
        match self.request.precision {
            Precision::Calibrated(_) if self.args.stop_after.is_none() && self.args.dry_run => {
                self.forecast_calibration(loaded)
            }
            Precision::Calibrated(_) if self.args.stop_after.is_none() => self.by_measurement(loaded),
            _ => self.by_recipe(loaded),
        }
    }

    /// Has Ctrl-C say how this goes on, beside the plans that are finished.
    pub(super) fn explain_interruption(&self, finished: Vec<PathBuf>) -> anyhow::Result<()> {
        if self.args.only_says() || self.kernels.is_some() {
            return Ok(());
        }
        let emission = self.request.emission.clone();
        let unfinished = Box::new(move || emission.unfinished());
        let wanted = self.args.targets.len();
        interruption::explain(Work { unfinished, finished, wanted, json: self.args.json })
    }

    /// Of several targets, the error of this one, with those that are done.
    pub(super) fn named(&self, error: anyhow::Error, done: &[&Compilation<'_>]) -> anyhow::Error {
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
