//! The way of a compile: what is refused before any work, who else works there, how it is interrupted and goes on.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use samp_compiler::certificate::{PROFILE_VERSION, Profile};
use serde_json::Value;

use crate::{
    harness::{Harness, assert_same, fails, ok, output, samp, text, tiny_llama},
    limits::Small,
    routing::data,
};

/// `samp compile` of the shipped checkpoint, which says its progress.
fn compiling(harness: &Harness, name: &str, args: &[&str]) -> Command {
    let mut command = samp(["compile"]);
    command.arg(tiny_llama()).arg("-o").arg(harness.path(name)).args(args);
    command
}

/// The same by measurements on little data.
fn calibrating(harness: &Harness, name: &str, args: &[&str]) -> Command {
    let mut command = compiling(harness, name, &["--calib-tokens", "1200", "--record-tokens", "48"]);
    command.args(["--formats", "nf4,int6,f16", "--calib"]).arg(data()).args(args);
    command
}

/// What a command that fails says.
fn refusal(command: Command) -> String {
    let shown = format!("{command:?}");
    let out = output(command);
    assert!(!out.status.success(), "{shown}");
    text(&out.stderr)
}

#[test]
fn what_no_compile_can_do_is_refused_before_anything_is_measured() {
    let harness = Harness::new();
    fs::create_dir(harness.path("there")).unwrap();
    fs::write(harness.path("file"), "").unwrap();
    let profile = harness.path("other.json");
    let other = Profile {
        schema: PROFILE_VERSION,
        model: "another".into(),
        fingerprint: String::new(),
        data: None,
        quality: None,
        rounding: "gptq".into(),
        moment_tokens: 0,
        divergence_tokens: 0,
        weights: vec![],
    };
    other.write(&profile).unwrap();
    for (name, args, expected) in [
        ("there", &[][..], "E0710"),
        ("none/plan", &[], "E0712"),
        ("file/plan", &[], "E0712"),
        ("plan", &["--threads", "0"], "expected 1 to 1024 threads"),
        ("plan", &["--max-num-seqs", "0"], "E0901"),
        ("plan", &["--max-num-batched-tokens", "0"], "E0901"),
        ("plan", &["--max-bits", "nan"], "expected a number above 0"),
        ("plan", &["--profile", profile.to_str().unwrap()], "the profile's checkpoint"),
    ] {
        let said = refusal(calibrating(&harness, name, args));
        assert!(said.contains(expected), "{name} {args:?}: {said}");
        assert!(!said.contains("loading") && !said.contains("measuring 2"), "{name} {args:?}: {said}");
        let work = harness.path(&format!("{name}.calibration.partial"));
        assert!(!work.exists(), "{name} {args:?}");
    }
    for name in ["there", "none/plan", "file/plan"] {
        let [recipe, measured] =
            [compiling(&harness, name, &[]), calibrating(&harness, name, &[])].map(refusal);
        assert_eq!(recipe, measured, "both are refused alike");
    }
}

#[test]
fn layers_that_a_model_has_not_are_refused_with_their_number() {
    let harness = Harness::new();
    let mut command = samp(["measure", "--layers", "5..9", "--calib"]);
    command.arg(data()).arg(tiny_llama()).arg("-o").arg(harness.path("profile.json"));
    let said = refusal(command);
    assert!(said.contains("E0906") && said.contains("5..9") && said.contains("has 6"), "{said}");
    assert_eq!(fs::read_dir(harness.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_dry_run_with_data_measures_nothing_and_says_what_measuring_takes() {
    let harness = Harness::new();
    let mut command = samp(["compile", "--dry-run", "--calib-tokens", "1200", "--calib"]);
    command.arg(data()).arg(tiny_llama()).current_dir(harness.dir.path());
    let said = ok(command);
    for expected in ["to measure", "26 weights", "held out", "work folder", "an estimate"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let json = |sensitivity: &str| -> Value {
        let mut command = samp(["compile", "--dry-run", "--json", "--sensitivity", sensitivity, "--calib"]);
        command.arg(data()).arg(tiny_llama()).current_dir(harness.dir.path());
        let document: Value = serde_json::from_str(&ok(command)).unwrap();
        document["plans"][0]["calibration"].clone()
    };
    let (fast, exact) = (json("fast"), json("exact"));
    assert_eq!(fast["weights"], exact["weights"]);
    let number = |forecast: &Value, key: &str| forecast[key].as_f64().unwrap();
    for key in ["passes", "operations"] {
        assert!(number(&exact, key) > number(&fast, key), "{key}: {exact} {fast}");
    }
    assert!(number(&fast, "seconds") > 0.0 && number(&fast, "memory_bytes") > 0.0, "{fast}");
    assert_eq!(fs::read_dir(harness.dir.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn the_graph_before_formats_are_chosen_is_shown_without_measuring() {
    let stopping = |phase: &str| {
        let mut command = samp(["compile", "--stop-after", phase, "--calib"]);
        command.arg(data()).arg(tiny_llama());
        command
    };
    assert!(ok(stopping("fused")).starts_with("// fused\nmodule"));
    let said = refusal(stopping("typed"));
    assert!(said.contains("E0907") && said.contains("found typed"), "{said}");
}

#[test]
fn a_second_compile_in_the_same_place_is_told_who_is_there() {
    let small = Small::new();
    let compiling = || small.compiling("plan", &["--formats", "nf4,f16"]);
    let work = small.harness.path("plan.calibration.partial");
    fs::create_dir(&work).unwrap();
    // The lock as another process takes it.
    fs::write(work.join("lock"), "4711\n").unwrap();
    let lock = fs::File::open(work.join("lock")).unwrap();
    lock.lock().unwrap();
    let (_, said) = fails(3, compiling());
    assert!(said.contains("E0713") && said.contains("(4711)"), "{said}");
    drop(lock);
    ok(compiling());
    assert!(!work.exists());
}

/// What a command came to that was sent a signal when it said that a stage begins: its exit code, stdout and stderr.
fn interrupted(mut command: Command, stage: &str, signal: Signal) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with(stage) {
            // It may be done by now.
            let _ = kill_process(Pid::from_child(&child), signal);
        }
        said += &format!("{line}\n");
    }
    let out = child.wait_with_output().unwrap();
    (out.status.code(), text(&out.stdout), said)
}

/// The same of a search on a small model, again until it is caught before its end.
fn caught(small: &Small, stage: &str, signal: Signal, code: i32) -> (String, String) {
    for _ in 0..20 {
        let mut command =
            samp(["compile", "--json", "--record-tokens", "24", "--max-num-batched-tokens", "64"]);
        command.arg(&small.model).arg("-o").arg(small.harness.path("cut"));
        command.args(["--formats", "nf4,int6,f16", "--calib"]).arg(&small.texts);
        let (exit, out, said) = interrupted(command, stage, signal);
        if exit == Some(code) {
            return (out, said);
        }
        assert_eq!(exit, Some(0), "{stage}: {said}");
        fs::remove_dir_all(small.harness.path("cut")).unwrap();
    }
    panic!("every compile had ended before it was interrupted at {stage}");
}

#[test]
fn an_interrupted_search_says_how_it_goes_on_and_goes_on() {
    let small = Small::new();
    ok(small.compiling("whole", &["--formats", "nf4,int6,f16"]));
    for (stage, signal, code) in [
        ("recording", Signal::INT, 130),
        ("measuring", Signal::INT, 130),
        ("rounding", Signal::TERM, 143),
        ("auditing", Signal::INT, 130),
    ] {
        let (out, said) = caught(&small, stage, signal, code);
        assert!(said.contains("E0719") && said.contains("cut.calibration.partial"), "{stage}: {said}");
        assert!(said.contains("the same command goes on from there"), "{stage}: {said}");
        let document: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
        assert_eq!(document["error"]["code"], "E0719", "one document, whatever happens");
    }
    ok(small.compiling("cut", &["--formats", "nf4,int6,f16", "--force"]));
    assert_same(&small.harness.path("whole"), &small.harness.path("cut"));
}

#[test]
fn an_interrupted_emission_says_how_it_goes_on_and_goes_on() {
    let harness = Harness::new();
    let whole = harness.compile("whole", &[]);
    let cut = harness.path("cut");
    let mut caught = 0;
    for _ in 0..20 {
        let (exit, _, said) = interrupted(compiling(&harness, "cut", &[]), "packing", Signal::INT);
        if exit == Some(130) {
            caught += 1;
            assert!(said.contains("E0719"), "{said}");
            assert!(cut.exists() || said.contains(".cut.partial"), "{said}");
        }
        if cut.exists() {
            assert_same(&whole, &cut);
            fs::remove_dir_all(&cut).unwrap();
        }
    }
    println!("{caught} of 20 were caught");
    assert!(caught > 0, "every compile had ended before it was interrupted");
    assert_same(&whole, &harness.compile("cut", &[]));
}

#[test]
fn an_interruption_finds_a_plan_with_nothing_beside_it_or_none() {
    let harness = Harness::new();
    let (plan, partial) = (harness.path("plan"), harness.path(".plan.partial"));
    let mut caught = 0;
    for round in 0..20 {
        let mut command = compiling(&harness, "plan", &["--quiet", "--json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !plan.exists() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_micros(20 * (round % 10)));
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        let out = child.wait_with_output().unwrap();
        let said = text(&out.stderr);
        assert!(plan.exists() && !partial.exists(), "{said}");
        if out.status.code() == Some(130) && !said.is_empty() {
            caught += 1;
            assert!(said.contains("all was done") && said.contains("nothing is left to do"), "{said}");
            assert!(said.contains(&format!("done: {}", plan.display())), "{said}");
            let document: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
            assert_eq!(document["error"]["code"], "E0719");
        }
        fs::remove_dir_all(&plan).unwrap();
    }
    println!("{caught} of 20 were caught");
}

#[test]
fn of_several_targets_all_are_checked_before_the_first_is_made() {
    let harness = Harness::new();
    let said = refusal(compiling(&harness, "plans", &["--target", "cpu,h100,cpu"]));
    assert!(said.contains("E1511") && said.contains("found cpu twice"), "{said}");
    assert!(!harness.path("plans").exists());
    let said = refusal(compiling(&harness, "none/plans", &["--target", "cpu,h100"]));
    assert!(said.contains("E0712"), "{said}");
    let said = refusal(compiling(&harness, "plans", &["--target", "cpu,h100", "--max-num-seqs", "0"]));
    assert!(said.contains("E0901") && !harness.path("plans").exists(), "{said}");
    fs::create_dir_all(harness.path("plans/h100")).unwrap();
    let said = refusal(compiling(&harness, "plans", &["--target", "cpu,h100"]));
    assert!(said.contains("E0710") && said.contains("target h100 (none is made)"), "{said}");
    assert!(!harness.path("plans/cpu").exists());
}

#[test]
fn a_target_that_fails_leaves_those_that_are_made() {
    let harness = Harness::new();
    let mut command = compiling(&harness, "plans", &["--target", "cpu,h100"]);
    command.env("SAMP_NVRTC", harness.path("nowhere.so")).env("SAMP_CACHE", harness.path("cache"));
    let said = refusal(command);
    assert!(said.contains("target h100 (made: cpu)"), "{said}");
    ok(samp([Path::new("validate"), &harness.path("plans/cpu")]));
    assert_eq!(fs::read_dir(harness.path("plans")).unwrap().count(), 1, "nothing else is there");
}

#[test]
fn progress_that_is_no_terminals_is_lines() {
    let harness = Harness::new();
    let out = output(compiling(&harness, "plan", &[]));
    let said = text(&out.stderr);
    let mut stages: Vec<&str> = said.lines().filter(|line| !line.contains(':')).collect();
    stages.sort_unstable();
    assert_eq!(stages, ["packing", "running the probe", "syncing"], "{said}");
    assert!(!said.contains('\r') && !said.contains('\x1b'), "{said}");
    let quiet = output(compiling(&harness, "quiet", &["--quiet"]));
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", text(&quiet.stderr));
    let printed = |out: &std::process::Output, name: &str| {
        text(&out.stdout).replace(&harness.path(name).display().to_string(), "PLAN")
    };
    assert_eq!(printed(&out, "plan"), printed(&quiet, "quiet"), "what is printed is the same");
}
