//! What few records, records calibrated on and unfit data promise: nothing, and that is said.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    harness::{Harness, fails, ok, output, samp, text, tiny_llama},
    routing::{certificate, data, routing},
};

/// A file of the shipped records that a test keeps.
fn records(harness: &Harness, name: &str, keep: impl Fn(usize, &str) -> bool) -> PathBuf {
    let all = fs::read_to_string(data()).unwrap();
    let kept: Vec<&str> =
        all.lines().enumerate().filter(|(index, line)| keep(*index, line)).map(|(_, line)| line).collect();
    let path = harness.path(name);
    fs::write(&path, kept.join("\n")).unwrap();
    path
}

fn is_prose(line: &str) -> bool {
    line.contains("\"stratum\": \"prose\"")
}

/// The first records of prose to audit on, and the others to calibrate on.
fn audit_and_rest(harness: &Harness, count: usize) -> (PathBuf, PathBuf) {
    let all = fs::read_to_string(data()).unwrap();
    let prose: Vec<&str> = all.lines().filter(|line| is_prose(line)).collect();
    let write = |name: &str, lines: &[&str]| {
        let path = harness.path(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    (write("audit.jsonl", &prose[..count]), write("rest.jsonl", &prose[count..]))
}

/// One record that a plan in 4 bits happens to predict no worse. The bound used to be what was found on it, so that 0.3 % were
/// promised, and kept, by a plan that on all records loses several times as much.
#[test]
fn one_record_promises_nothing() {
    let harness = Harness::new();
    let (one, rest) = audit_and_rest(&harness, 1);
    let args = ["--formats", "nf4", "--audit", one.to_str().unwrap()];
    let promising = routing(&harness, "plan", &rest, &[&args[..], &["--max-loss", "0.3%"]].concat());
    let (_, refused) = fails(1, promising);
    assert!(refused.contains("error[E1107]: --max-loss 0.3 % cannot be shown to hold"), "{refused}");
    assert!(refused.contains("expected 2 or more held-out records of each stratum, found 1 of `prose`"));
    assert!(refused.contains("55 standard errors") && !refused.contains("measured "), "{refused}");
    assert!(!harness.path("plan").exists() && !harness.path("plan.calibration.partial").exists());
    let said = ok(routing(&harness, "plan", &rest, &args));
    assert_eq!(said.matches("no bound").count(), 4, "{said}");
    let quality = &certificate(&harness.path("plan"))["quality"]["held_out"]["overall"];
    assert!(quality["kl_nats"].is_f64() && quality["kl_nats_at_most"].is_null(), "{quality}");
    assert!(quality["perplexity_ratio_at_most"].is_null(), "{quality}");
    let plan = harness.path("plan");
    let mut evaluating = samp(["eval", "--json", "--data"]);
    evaluating.arg(data()).arg("--against").arg(tiny_llama()).arg(&plan);
    let found: Value = serde_json::from_str(&ok(evaluating)).unwrap();
    let grown = found["overall"]["perplexity_ratio"]["mean"].as_f64().unwrap() - 1.0;
    let shown = quality["perplexity_ratio"].as_f64().unwrap() - 1.0;
    println!("the record shows {:.3} %, all records {:.3} %", 100.0 * shown, 100.0 * grown);
    assert!(grown > 2.0 * 0.003, "{grown}");
}

/// Two records bound the loss, but from afar: the promise is refused after the audit, which says how many it would take.
#[test]
fn two_records_promise_little_and_the_refusal_says_how_many_would_do() {
    let harness = Harness::new();
    let (two, rest) = audit_and_rest(&harness, 2);
    let args = ["--formats", "int8", "--audit", two.to_str().unwrap(), "--max-loss", "0.05%"];
    let (_, refused) = fails(1, routing(&harness, "plan", &rest, &args));
    assert!(refused.contains("error[E1107]") && refused.contains("it would take about "), "{refused}");
    assert!(refused.contains("2 records"), "{refused}");
    assert!(!harness.path("plan").exists());
}

#[test]
fn records_that_were_calibrated_on_promise_nothing() {
    let harness = Harness::new();
    let few = records(&harness, "few.jsonl", |index, line| is_prose(line) && index % 2 == 0);
    let args = ["--formats", "int8", "--audit", few.to_str().unwrap()];
    let promising = routing(&harness, "plan", &few, &[&args[..], &["--max-loss", "50%"]].concat());
    let (_, refused) = fails(2, promising);
    assert!(refused.contains("error[E1014]: --max-loss 50 % cannot be shown to hold"), "{refused}");
    assert!(!harness.path("plan").exists() && !harness.path("plan.calibration.partial").exists());
    let out = output(routing(&harness, "plan", &few, &args));
    assert!(out.status.success() && text(&out.stderr).contains("warning[E1014]"), "{}", text(&out.stderr));
    let warnings = certificate(&harness.path("plan"))["warnings"].clone();
    let codes: Vec<&str> =
        warnings.as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    // The same records are cut twice: as those to calibrate on, and as those to audit on.
    assert_eq!(codes, ["E1010", "E1010", "E1014", "E1015"], "{warnings}");
    assert_eq!(warnings[2]["location"], "few.jsonl", "without its folder");
    let page = ok(samp(["report".as_ref(), harness.path("plan").as_os_str()]));
    assert!(page.contains("id=\"warnings\"") && page.contains("E1014"), "the page shows them");
}

/// Warnings that are known at the start stop a compile before it measures; one that the audit makes, before it publishes.
#[test]
fn strict_makes_warnings_errors() {
    let harness = Harness::new();
    let strict = ["--formats", "int8", "--strict"];
    let (_, refused) = fails(1, routing(&harness, "plan", &data(), &strict));
    assert!(refused.contains("warning[E1015]") && refused.contains("error[E0905]: --strict"), "{refused}");
    assert!(refused.contains("note: warning[E1015]: strata with fewer than 30"), "{refused}");
    assert!(!harness.path("plan").exists() && !harness.path("plan.calibration.partial").exists());
    let recipe = harness.compiling("plan", &["--kv-cache-dtype", "fp8", "--strict"]);
    let (_, refused) = fails(1, recipe);
    assert!(refused.contains("note: warning[E0903]") && !harness.path("plan").exists(), "{refused}");
    ok(harness.compiling("plan", &["--strict"]));
    let mut measuring = samp(["measure", "--quiet", "--strict", "--calib"]);
    measuring.arg(data()).arg(tiny_llama()).arg("-o").arg(harness.path("profile.json"));
    let (_, refused) = fails(1, measuring);
    assert!(refused.contains("error[E0905]") && !harness.path("profile.json").exists(), "{refused}");
}

#[test]
fn strict_counts_what_the_audit_warns_of() {
    let harness = Harness::new();
    let repeated = |name: &str, stratum: &str| {
        let line = |i: usize| {
            format!(
                "{{\"text\": \"Record {i} of {stratum} has number {}\", \"stratum\": \"{stratum}\"}}",
                i * i
            )
        };
        let path = harness.path(name);
        fs::write(&path, (0..30).map(line).collect::<Vec<_>>().join("\n")).unwrap();
        path
    };
    let (calibration, audit) = (repeated("a.jsonl", "a"), repeated("b.jsonl", "b"));
    let all = fs::read_to_string(&audit).unwrap();
    let seen = (30..60).map(|i| format!("{{\"text\": \"Another {i} of a\", \"stratum\": \"a\"}}"));
    fs::write(&audit, all + "\n" + &seen.collect::<Vec<_>>().join("\n")).unwrap();
    let args = ["--formats", "int8", "--strict", "--audit", audit.to_str().unwrap()];
    let (_, refused) = fails(1, routing(&harness, "plan", &calibration, &args));
    assert!(refused.contains("note: warning[E1103]") && refused.contains("found 1"), "{refused}");
    assert!(!harness.path("plan").exists());
}

/// A file without the strata that the certificate bounds, or with another checkpoint, confirms nothing.
#[test]
fn unfit_data_confirms_no_certificate() {
    let harness = Harness::new();
    let prose = records(&harness, "prose.jsonl", |_, line| is_prose(line));
    ok(routing(&harness, "plan", &data(), &["--formats", "int8"]));
    let validating = |data: &PathBuf| {
        let mut command = samp(["validate", "--no-probe", "--certificate", "--data"]);
        command.arg(data).arg("--against").arg(tiny_llama()).arg(harness.path("plan"));
        command
    };
    assert!(ok(validating(&data())).ends_with(": valid\n"));
    let (shown, _) = fails(1, validating(&prose));
    for stratum in ["code", "json"] {
        assert!(shown.contains(&format!("certificate.json: {stratum}: not checked")), "{shown}");
    }
    assert!(shown.ends_with("2 findings\n") && !shown.contains("prose: not checked"), "{shown}");
}

#[test]
fn one_record_has_no_standard_error() {
    let harness = Harness::new();
    let first = records(&harness, "one.jsonl", |index, _| index == 0);
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let mut command = samp(["eval", "--data"]);
    command.arg(&first).arg(&plan);
    let shown = ok(command);
    assert!(!shown.contains("± 0") && shown.contains("One record gives none: "), "{shown}");
}
