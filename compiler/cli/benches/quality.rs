//! Quality at size: `samp compile --calib --max-bits` on real checkpoints, measured on texts that calibration did not see.
//!
//! Takes a folder with `calib.jsonl` and `eval.jsonl` from `SAMP_EVAL_DIR`, the checkpoints from beside it, and says that
//! it is skipped when there is none. SmolLM2 joins them once the tests have made it (`compiler/cli/tests/samp/smollm2.rs`). Each row is
//! one compile: the divergence from the unquantized model over the first tokens of every text, and the time from checkpoint to
//! plan. The bars are what is to be reached on each model, well below what the best of the other tools loses at so many bits.
//! Arguments choose the sizes, such as `-- 4.13 6.00`, and the models by name, such as `-- smollm2`; `--exact` measures so.
//!
//! `-- --ablation` shows what each quality pass does instead: every decoder linear in nf4, each pass left out or added, and
//! the audited divergence on the same texts, from few calibration tokens.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use serde_json::Value;

/// What is compiled and judged.
struct Subject {
    name: &'static str,
    /// Tokens of each text that count.
    tokens: &'static str,
    /// Most bits per decoder weight, and the bar in nats per token.
    sizes: &'static [(&'static str, f64)],
}

const TINY: &[(&str, f64)] = &[("4.13", 0.0020), ("4.35", 0.0013), ("4.80", 0.00068), ("6.00", 0.00028)];
const REAL: &[(&str, f64)] =
    &[("4.13", 0.085), ("4.35", 0.065), ("4.80", 0.043), ("5.28", 0.027), ("6.00", 0.015)];
const SUBJECTS: [Subject; 3] = [
    Subject { name: "tiny-llama", tokens: TOKENS, sizes: TINY },
    Subject { name: "tiny-llama-outliers", tokens: TOKENS, sizes: TINY },
    Subject { name: "smollm2", tokens: "96", sizes: REAL },
];
/// The models of the ablation.
const MODELS: [&str; 2] = ["tiny-llama", "tiny-llama-outliers"];
/// Tokens of each text of these.
const TOKENS: &str = "144";
/// Where the tests keep SmolLM2.
const SMOLLM2: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/smollm2/model");
/// Calibration tokens behind each row of the ablation.
const ABLATION_TOKENS: &str = "8192";
/// Lists of quality passes to compare, the default first.
const ABLATION: [(&str, &str); 10] = [
    ("as by default", "fold,equalize,correct,gptq"),
    ("norms not folded", "equalize,correct,gptq"),
    ("not equalized", "fold,correct,gptq"),
    ("rotated instead", "fold,rotate,correct,gptq"),
    ("equalized and rotated", "fold,equalize,rotate,correct,gptq"),
    ("not corrected", "fold,equalize,gptq"),
    ("best scales for GPTQ", "fold,equalize,correct,refine"),
    ("nearest for GPTQ", "fold,equalize,correct,nearest"),
    ("GPTQ alone", "gptq"),
    ("nothing", "nearest"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(data) = std::env::var_os("SAMP_EVAL_DIR").map(PathBuf::from) else {
        println!("skipped: SAMP_EVAL_DIR names no folder with calib.jsonl and eval.jsonl");
        return ExitCode::SUCCESS;
    };
    if !data.join("calib.jsonl").is_file() || !data.join("eval.jsonl").is_file() {
        println!("skipped: no calib.jsonl and eval.jsonl in {}, which SAMP_EVAL_DIR names", data.display());
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--ablation") {
        ablate(&data);
        return ExitCode::SUCCESS;
    }
    let exact = args.iter().any(|arg| arg == "--exact");
    let numbers: Vec<&String> = args.iter().filter(|arg| arg.parse::<f64>().is_ok()).collect();
    let asked = |bits: &str| numbers.is_empty() || numbers.iter().any(|number| *number == bits);
    let names: Vec<&String> = args.iter().filter(|arg| SUBJECTS.iter().any(|s| s.name == *arg)).collect();
    let named = |name: &str| names.is_empty() || names.iter().any(|asked| *asked == name);
    println!(
        "{:22} {:>6} {:>7} {:>9} {:>9} {:>8} {:>7}",
        "checkpoint", "asked", "bits", "KL", "± se", "bar", "time"
    );
    let mut met = true;
    for subject in SUBJECTS.iter().filter(|subject| named(subject.name)) {
        if !checkpoint(&data, subject.name).exists() {
            println!(
                "{:22} skipped: {} is not there",
                subject.name,
                checkpoint(&data, subject.name).display()
            );
            continue;
        }
        for &(bits, bar) in subject.sizes.iter().filter(|(bits, _)| asked(bits)) {
            let row = measured(&data, subject, bits, exact);
            println!(
                "{:22} {bits:>6} {:7.3} {:9.6} {:9.6} {bar:8.5} {:5.0} s{}",
                subject.name,
                row.bits,
                row.kl,
                row.standard_error,
                row.seconds,
                if row.kl <= bar { "" } else { "  MISSED" }
            );
            met &= row.kl <= bar;
        }
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Row {
    bits: f64,
    kl: f64,
    standard_error: f64,
    seconds: f64,
}

fn checkpoint(data: &Path, name: &str) -> PathBuf {
    if name == "smollm2" { SMOLLM2.into() } else { data.join("..").join(name) }
}

fn measured(data: &Path, subject: &Subject, bits: &str, exact: bool) -> Row {
    let (folder, model) = (tempfile::tempdir().expect("a temporary folder"), checkpoint(data, subject.name));
    let plan = folder.path().join("plan");
    let begun = Instant::now();
    samp(|command| {
        command.args(["compile", "--quiet", "--max-bits", bits, "--calib"]).arg(data.join("calib.jsonl"));
        command
            .args(["--sensitivity", if exact { "exact" } else { "fast" }])
            .arg(&model)
            .arg("-o")
            .arg(&plan);
    });
    let seconds = begun.elapsed().as_secs_f64();
    let evaluation = samp(|command| {
        command
            .args(["eval", "--json", "--max-tokens", subject.tokens, "--data"])
            .arg(data.join("eval.jsonl"));
        command.arg("--against").arg(&model).arg(&plan);
    });
    let evaluation: Value = serde_json::from_str(&evaluation).expect("a report in JSON");
    let certificate = std::fs::read_to_string(plan.join("certificate.json")).expect("a certificate");
    let certificate: Value = serde_json::from_str(&certificate).expect("a certificate in JSON");
    let number = |value: &Value| value.as_f64().expect("a number");
    let kl = &evaluation["overall"]["kl_nats"];
    Row {
        bits: number(&certificate["decoder_linears"]["bits_per_weight"]),
        kl: number(&kl["mean"]),
        standard_error: number(&kl["standard_error"]),
        seconds,
    }
}

/// One table: a row for each list of passes, a column for each checkpoint.
fn ablate(data: &Path) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("{:24} {:34} {:>20} {:>20}", "nats per token in nf4", "--quality", MODELS[0], MODELS[1]);
    for model in MODELS {
        measure(data, model, &folder.path().join(model));
    }
    for (name, passes) in ABLATION {
        let [plain, hostile] = MODELS.map(|model| audited(data, model, passes, &folder.path().join(model)));
        println!("{name:24} {passes:34} {plain:20.6} {hostile:20.6}");
    }
}

/// A profile from next to nothing: where nf4 is all that fits, no measurement decides.
fn measure(data: &Path, model: &str, profile: &Path) {
    samp(|command| {
        command.args(["measure", "--quiet", "--formats", "nf4,f16", "--calib-tokens", "1000", "--calib"]);
        command.arg(data.join("calib.jsonl")).args(["--record-tokens", TOKENS]);
        command.arg(data.join("..").join(model)).arg("-o").arg(profile);
    });
}

/// What all linears in nf4 lose after these passes, in nats per token.
fn audited(data: &Path, model: &str, passes: &str, profile: &Path) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = samp(|command| {
        command.args(["compile", "--json", "--quiet", "--max-bits", "4.13", "--formats", "nf4,f16"]);
        command.args(["--quality", passes, "--record-tokens", TOKENS, "--calib-tokens", ABLATION_TOKENS]);
        command.arg("--calib").arg(data.join("calib.jsonl")).arg("--audit").arg(data.join("eval.jsonl"));
        command.arg("--profile").arg(profile).arg(data.join("..").join(model));
        command.arg("-o").arg(folder.path().join("plan"));
    });
    let report: Value = serde_json::from_str(&report).expect("a report in JSON");
    report["held_out"]["overall"]["kl_nats"].as_f64().expect("a number")
}

/// Runs the command to its end and gives what it printed.
fn samp(args: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_samp"));
    args(&mut command);
    let out = command.output().expect("samp starts");
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
