//! `samp eval`: what a plan's formats cost in quality.

use std::path::PathBuf;

use clap::value_parser;

use crate::{
    device_args::{DeviceArgs, ThreadArgs},
    error_code,
    failure::Failure,
    logits_file::save_logits,
    output::{Outcome, print, print_json},
    plan_model::PlanModel,
    progress_bar::Bar,
    table::Table,
};
use samp_compiler::{
    eval::{Estimate, Evaluation, LanguageModel, Scores, evaluate, read_records},
    output_file::refuse_inside,
};

/// Measure a plan on data: perplexity, divergence from a baseline, agreement, choice accuracy
///
/// With --ids and --save-logits, write the logits of given tokens instead.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    /// Records as of `samp compile --calib`, or JSON lines with `prompt`, `choices` and `answer`; - is stdin
    ///
    /// JSON lines have `text` or `messages` each, and optionally `stratum`. A file named .txt holds documents that end at
    /// blank lines.
    #[arg(long, value_name = "FILE", required_unless_present = "ids")]
    data: Option<PathBuf>,
    /// Compare with this plan, or with this checkpoint, unquantized
    #[arg(long, value_name = "MODEL_OR_PLAN", requires = "data", conflicts_with = "ids")]
    against: Option<PathBuf>,
    /// Use the first N tokens of each text, the start token counted; 2 or more, since the first is not predicted
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "ids", value_parser = value_parser!(u64).range(2..))]
    max_tokens: Option<u64>,
    /// safetensors file with `input_ids`, i64 [batch, len]
    #[arg(long, value_name = "FILE", requires = "save_logits", conflicts_with = "data")]
    ids: Option<PathBuf>,
    /// Where to write `input_ids` and `logits`, f32 [batch, len, vocab]
    #[arg(long, value_name = "FILE", requires = "ids", conflicts_with = "data")]
    save_logits: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Evaluates and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut model = PlanModel::open(&args.plan, args.device)?;
    if let (Some(ids), Some(out)) = (&args.ids, &args.save_logits) {
        refuse_inside(out, &args.plan)?;
        let saved = save_logits(&mut model, ids, out)?;
        if args.json {
            print_json(&saved)?;
        }
        return Ok(Outcome::Clean);
    }
    let records = read_records(args.data.as_deref().expect("clap requires --data without --ids"))?;
    let max_context = model.max_context() as u64;
    let open = |path: &PathBuf| PlanModel::open_plan_or_checkpoint(path, args.device, max_context);
    let mut baseline = args.against.as_ref().map(open).transpose()?;
    if let Some(baseline) = &baseline {
        let (expected, found) = (model.vocab_size(), baseline.vocab_size());
        if expected != found {
            let message =
                format!("the baseline has another vocabulary: expected {expected} tokens, found {found}");
            return Err(Failure::new(error_code::VOCABULARY, message).into());
        }
    }
    let max_tokens = args.max_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX));
    let baseline = baseline.as_mut().map(|b| b as &mut dyn LanguageModel);
    let evaluation = evaluate(&mut model, baseline, &records, max_tokens, &Bar::of_records())?;
    if args.json {
        print_json(&evaluation)?
    } else {
        print(&render(&evaluation))?
    }
    Ok(Outcome::Clean)
}

fn render(evaluation: &Evaluation) -> String {
    let mut table = Table::new([
        "stratum",
        "records",
        "tokens",
        "perplexity",
        "baseline",
        "KL (nats)",
        "top-1",
        "choices",
    ]);
    let mut row = |name: &str, s: &Scores| {
        table.row([
            name.into(),
            s.records.to_string(),
            s.tokens.to_string(),
            cell(s.perplexity, 3),
            cell(s.baseline_perplexity, 3),
            cell(s.kl_nats, 6),
            percent(s.top1_agreement),
            percent(s.choice_accuracy),
        ]);
    };
    for (name, scores) in &evaluation.strata {
        row(name, scores);
    }
    row("overall", &evaluation.overall);
    let doubt = "± is one standard error, over records.";
    format!("{table}{doubt}{}\n{}", without_error(evaluation), left_out(evaluation))
}

/// Which rows have no standard error, for want of records.
fn without_error(evaluation: &Evaluation) -> String {
    let one = |scores: &Scores| {
        let estimates = [scores.perplexity, scores.choice_accuracy];
        estimates.into_iter().flatten().any(|estimate| estimate.standard_error.is_none())
    };
    let strata = evaluation.strata.iter().map(|(name, scores)| (name.as_str(), scores));
    let rows = strata.chain([("overall", &evaluation.overall)]);
    let names: Vec<&str> = rows.filter(|(_, scores)| one(scores)).map(|(name, _)| name).collect();
    if names.is_empty() { String::new() } else { format!(" One record gives none: {}.", names.join(", ")) }
}

/// What of the data was not measured, a line each.
fn left_out(evaluation: &Evaluation) -> String {
    let Scores { truncated, skipped, .. } = evaluation.overall;
    let mut lines = String::new();
    if truncated > 0 {
        lines += &format!("Texts cut to their first {} tokens: {truncated}.\n", evaluation.max_tokens);
    }
    if skipped > 0 {
        lines += &format!("Questions left out, a choice being longer than the plan's context: {skipped}.\n");
    }
    lines
}

fn cell(estimate: Option<Estimate>, digits: usize) -> String {
    match estimate {
        None => "–".into(),
        Some(Estimate { mean, standard_error: None, .. }) => format!("{mean:.digits$}"),
        Some(Estimate { mean, standard_error: Some(se), .. }) => format!("{mean:.digits$} ± {se:.digits$}"),
    }
}

fn percent(estimate: Option<Estimate>) -> String {
    let hundredfold = estimate.map(|e| e.map(|x| 100.0 * x, |_| 100.0));
    hundredfold.map_or("–".into(), |e| cell(Some(e), 1) + " %")
}
