//! What no plan can have or keep is refused before any work, in a dry run as in a compile.

use std::{fs, path::Path, process::Command};

use crate::{
    harness::{Harness, fails, ok, root, samp, tiny_llama},
    routing::data,
};

/// Each limit, and the most that it may be.
const LIMITS: [(&str, u64); 3] =
    [("--max-num-batched-tokens", 1 << 24), ("--max-num-seqs", 1 << 24), ("--max-model-len", 1 << 31)];

fn dry(model: &Path, args: &[&str]) -> Command {
    let mut command = samp(["compile", "--dry-run"]);
    command.arg(model).args(args);
    command
}

/// A compile by measurements that would take long.
fn calibrating(harness: &Harness, args: &[&str]) -> Command {
    let mut command = samp(["compile"]);
    command.arg(tiny_llama()).arg("-o").arg(harness.path("plan")).arg("--calib").arg(data()).args(args);
    command
}

/// Fails with a code and this in its words, and leaves nothing behind.
fn refused(harness: &Harness, exit: i32, command: Command, expected: &str) {
    let (out, said) = fails(exit, command);
    assert!(said.contains(expected), "{expected}: {said}");
    assert!(!said.contains("loading") && !said.contains("packing") && out.is_empty(), "{said}{out}");
    assert_eq!(fs::read_dir(harness.dir.path()).unwrap().count(), 0, "{said}");
}

#[test]
fn limits_that_no_plan_opens_with_are_refused() {
    let harness = Harness::new();
    for (flag, most) in LIMITS {
        for value in [most + 1, u64::MAX] {
            let value = value.to_string();
            let args = [flag, &value];
            let expected = format!("E0901]: {flag}: expected 1 to {most}, found {value}");
            refused(&harness, 2, dry(&tiny_llama(), &args), &expected);
            refused(&harness, 2, harness.compiling("plan", &args), &expected);
            refused(&harness, 2, calibrating(&harness, &args), &expected);
        }
    }
    let mut measure = samp(["measure", "--max-model-len", "2147483649", "--calib"]);
    measure.arg(data()).arg(tiny_llama()).arg("-o").arg(harness.path("profile.json"));
    refused(&harness, 2, measure, "E0901");
}

#[test]
fn limits_that_are_just_so_make_plans_that_open() {
    let harness = Harness::new();
    let most = LIMITS.map(|(_, most)| most.to_string());
    let args: Vec<&str> = LIMITS.iter().zip(&most).flat_map(|((flag, _), most)| [*flag, most]).collect();
    ok(dry(&tiny_llama(), &args));
    let plan = harness.compile("plan", &args);
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    ok(samp(["inspect".as_ref(), plan.as_os_str()]));
    let page = harness.path("page.html");
    ok(samp(["report".as_ref(), plan.as_os_str(), "-o".as_ref(), page.as_os_str()]));
    ok(samp(
        ["run", "-p", "The parser", "-n", "2"]
            .map(std::ffi::OsStr::new)
            .into_iter()
            .chain([plan.as_os_str()]),
    ));
}

#[test]
fn an_arena_that_no_plan_opens_with_is_refused() {
    let model = root().join("testdata/configs/llama-3-70b.json");
    let (_, said) = fails(2, dry(&model, &["--max-num-batched-tokens", "16777216"]));
    assert!(said.contains("E0601") && said.contains("lower --max-num-batched-tokens"), "{said}");
}

#[test]
fn constraints_that_no_formats_keep_are_refused_before_measuring() {
    let harness = Harness::new();
    for (args, expected) in [
        (&["--max-bits", "0.5"][..], "bits per weight: every plan needs at least 4."),
        (&["--max-bits", "7", "--formats", "int8,f16"], "bits per weight: every plan needs at least 8."),
        (&["--max-memory", "0"], "device bytes: every plan needs at least"),
        (&["--budget", "1MB"], "weight bytes: every plan needs at least"),
        (&["--max-latency", "1ns@1"], "time of 1 tokens: every plan needs at least"),
    ] {
        let dry_too = [args, &["--dry-run"]].concat();
        for args in [args, &dry_too] {
            refused(&harness, 1, calibrating(&harness, args), expected);
        }
    }
    // Within reach, though it may yet be found to lose too much.
    ok(calibrating(&harness, &["--dry-run", "--max-bits", "4.2", "--max-memory", "200MB"]));
}

#[test]
fn numbers_that_are_none_or_out_of_range_are_wrong_use() {
    let harness = Harness::new();
    for bits in ["nan", "inf", "-inf", "0", "-1", "1e400"] {
        let arg = format!("--max-bits={bits}");
        refused(&harness, 2, calibrating(&harness, &[&arg, "--dry-run"]), "expected a number above 0");
    }
    refused(&harness, 2, calibrating(&harness, &["--max-bits", "1e31"]), "E0415]: limit on bits per weight");
    let endless = format!("{}s@1", "9".repeat(400));
    refused(&harness, 2, calibrating(&harness, &["--max-latency", &endless]), "E0415]: limit on time");
    for threads in ["0", "1025", "10000", "99999999999999999999"] {
        let args = ["--threads", threads];
        refused(&harness, 2, harness.compiling("plan", &args), "expected ");
        refused(&harness, 2, samp(["run", "/nowhere", "-p", "x", "--threads", threads]), "'--threads <N>'");
    }
}
