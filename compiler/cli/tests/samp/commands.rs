//! Each command, as a user types it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Harness, fails, ok, root, samp, text, tiny_llama};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON: {e}\n{text}"))
}

#[test]
fn a_seed_gives_the_same_text_and_another_seed_another() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let run = |seed: &str| {
        let mut command = samp(["run", "-p", "The file", "-n", "24", "--temperature", "1.0", "--seed", seed]);
        command.arg(&plan);
        ok(command)
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn prompts_come_from_a_flag_a_chat_or_stdin() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let mut from_flag = samp(["run", "-p", "The file is", "-n", "8", "--json"]);
    from_flag.arg(&plan);
    let mut from_flag = json(&ok(from_flag));
    let mut piped = samp(["run", "-n", "8", "--json"]);
    let mut child = piped.arg(&plan).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"The file is").unwrap();
    let mut from_stdin = json(&text(&child.wait_with_output().unwrap().stdout));
    assert!([&mut from_flag, &mut from_stdin].iter_mut().all(|said| said["times"].take().is_object()));
    assert_eq!(from_flag, from_stdin);
    assert_eq!(from_flag["tokens"].as_array().unwrap().len(), 8);
    let mut chat = samp(["run", "--chat", "Hello", "-n", "4", "--json", "--ignore-eos"]);
    chat.arg(&plan);
    assert!(json(&ok(chat))["prompt_tokens"].as_u64().unwrap() > 8);
}

#[test]
fn as_many_tokens_as_can_be_asked_for_end_where_the_context_does() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--max-model-len", "32"]);
    for n in [u64::MAX, u64::MAX - 1] {
        let mut command =
            samp(["run", "-p", "The file is", "--ignore-eos", "--json", "-n", n.to_string().as_str()]);
        command.arg(&plan);
        let report = json(&ok(command));
        let tokens = report["tokens"].as_array().unwrap().len() as u64;
        assert!((1..=32).contains(&tokens), "{report}");
    }
}

#[test]
fn evaluation_reports_each_stratum_and_no_divergence_from_itself() {
    let harness = Harness::new();
    let data = root().join("testdata/data/eval.jsonl");
    let plan = harness.compile("plan", &["--recipe", "uniform:f32"]);
    let mut command = samp(["eval", "--json", "--max-tokens", "48", "--data"]);
    command.arg(&data).arg("--against").arg(tiny_llama()).arg(&plan);
    let same = json(&ok(command));
    assert_eq!(same["strata"].as_object().unwrap().keys().collect::<Vec<_>>(), ["code", "json", "prose"]);
    assert_eq!(same["overall"]["kl_nats"]["mean"], 0.0);
    assert_eq!(same["overall"]["top1_agreement"]["mean"], 1.0);
    let nf4 = harness.compile("nf4", &["--recipe", "uniform:nf4"]);
    let mut command = samp(["eval", "--json", "--max-tokens", "48", "--data"]);
    command.arg(&data).arg("--against").arg(&plan).arg(&nf4);
    let other = json(&ok(command));
    let kl = other["overall"]["kl_nats"]["mean"].as_f64().unwrap();
    assert!((1e-4..0.1).contains(&kl), "{kl}");
    assert!(other["overall"]["kl_nats"]["standard_error"].as_f64().unwrap() > 0.0);
}

#[test]
fn choices_are_scored() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let mut command = samp(["eval", "--json", "--data"]);
    command.arg(root().join("testdata/data/choices.jsonl")).arg(&plan);
    let accuracy = json(&ok(command))["overall"]["choice_accuracy"]["mean"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));
}

/// What stood there before is replaced as a whole, not written over.
#[test]
fn saved_logits_are_told_and_replace_the_file() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let (out, earlier) = (harness.path("logits.safetensors"), harness.path("earlier"));
    let header = r#"{"input_ids":{},"logits":{}}"#;
    let old = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    std::fs::write(&out, &old).unwrap();
    std::fs::hard_link(&out, &earlier).unwrap();
    let mut command = samp(["eval", "--json", "--ids"]);
    command.arg(tiny_llama().join("reference.safetensors")).arg("--save-logits").arg(&out).arg(&plan);
    let report = json(&ok(command));
    assert_eq!(report["file"], out.to_str().unwrap());
    let bytes = std::fs::read(&out).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape: Vec<usize> = serde_json::from_value(report["shape"].clone()).unwrap();
    assert_eq!(file.tensor("logits").unwrap().shape(), shape);
    assert_eq!(std::fs::read(&earlier).unwrap(), old);
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions())
    };
    assert_eq!(mode(&out), mode(&earlier));
}

#[test]
fn inspect_shows_formats_and_bits() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    let shown = ok(samp(["inspect".as_ref(), plan.as_os_str()]));
    assert!(shown.contains("4.127 over the decoder's linears") || shown.contains("4.128 over"), "{shown}");
    assert!(
        ok(samp(["inspect".as_ref(), plan.as_os_str(), "--mlir".as_ref()])).contains("samp.paged_attention")
    );
    assert!(
        ok(samp(["inspect".as_ref(), plan.as_os_str(), "--program".as_ref()])).contains("up to 256 tokens")
    );
    let summary = json(&ok(samp(["inspect".as_ref(), plan.as_os_str(), "--json".as_ref()])));
    assert_eq!(summary["recipe"], "uniform:nf4");
}

#[test]
fn diff_says_what_was_decided_differently() {
    let harness = Harness::new();
    let (a, b) =
        (harness.compile("a", &["--recipe", "samp"]), harness.compile("b", &["--recipe", "uniform:nf4"]));
    let (shown, _) = fails(1, samp(["diff".as_ref(), a.as_os_str(), b.as_os_str()]));
    assert!(shown.contains("layers.5.self_attn.o_proj fp8_e4m3→nf4, −"), "{shown}");
    assert!(!shown.contains("mlp"), "{shown}");
    ok(samp(["diff".as_ref(), a.as_os_str(), a.as_os_str()]));
    // Other limits cut the token buckets differently; the kernels that tokens meet stay the same.
    let c = harness.compile("c", &["--recipe", "samp", "--max-num-batched-tokens", "48"]);
    let (shown, _) = fails(1, samp(["diff".as_ref(), a.as_os_str(), c.as_os_str()]));
    let subjects: Vec<&str> = shown.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(subjects, ["limits.max_tokens", "activation"], "{shown}");
}

#[test]
fn a_recipe_rule_that_never_wins_is_a_warning() {
    let harness = Harness::new();
    let recipe = harness.path("recipe.toml");
    let rules = [("*", "f16"), ("layers.*.mlp.*", "nf4"), ("layers.*", "int8")];
    let rule = |(pattern, format)| format!("[[rule]]\nmatch = \"{pattern}\"\nformat = \"{format}\"\n");
    std::fs::write(&recipe, format!("name = \"idle\"\n{}", rules.map(rule).concat())).unwrap();
    let mut command = harness.compiling("plan", &["--dry-run", "--json", "--recipe"]);
    command.arg(&recipe);
    let warnings = &json(&ok(command))["plans"][0]["warnings"];
    assert_eq!(warnings[0]["code"], "E0408");
    assert!(warnings[0]["message"].as_str().unwrap().ends_with("`layers.*.mlp.*` (rule 2)"), "{warnings}");
}

#[test]
fn every_phase_can_be_printed_and_stopped_at() {
    for phase in ["model", "fused", "typed", "selected", "planned"] {
        let mut command = samp(["compile", "--stop-after", phase]);
        command.arg(tiny_llama());
        let shown = ok(command);
        assert!(shown.starts_with(&format!("// {phase}\nmodule")), "{shown}");
    }
    let mut command =
        samp(["compile", "--dry-run", "--print-after", "model", "--print-after", "typed", "--explain"]);
    command.arg(tiny_llama());
    let shown = ok(command);
    assert!(shown.contains("// model") && shown.contains("// typed") && !shown.contains("// fused"));
    assert!(shown.contains("up to      1 tokens:"), "{shown}");
}

#[test]
fn json_is_one_document_whatever_else_is_asked_for() {
    let harness = Harness::new();
    let reported = |mut command: Command| {
        command.arg("--json");
        json(&ok(command))["plans"][0].take()
    };
    let document = |name: &str, args: &[&str]| reported(harness.compiling(name, args));
    let phases = |report: &Value| -> Vec<String> {
        let graphs = report["graphs"].as_array().expect("graphs").iter();
        graphs.map(|g| g["phase"].as_str().expect("a phase").to_owned()).collect()
    };
    let report = document("plan", &["--explain", "--print-after", "typed", "--print-after", "fused"]);
    assert_eq!(phases(&report), ["fused", "typed"]);
    assert!(report["graphs"][0]["mlir"].as_str().unwrap().contains("samp.paged_attention"));
    assert_eq!(report["explain"]["passes"][0]["name"], "fuse_qkv");
    assert!(report["explain"]["kernels"][0]["candidates"][0]["nanos"].as_f64().unwrap() > 0.0);
    assert!(harness.path("plan").exists() && report["plan"].is_string());
    for (phase, sized) in [("model", false), ("typed", false), ("planned", true)] {
        for more in [&[][..], &["--explain"], &["--print-after", "model"]] {
            let mut command = samp(["compile", "--stop-after", phase]);
            command.arg(tiny_llama()).args(more);
            let report = reported(command);
            assert_eq!(phases(&report).last().unwrap(), phase, "{more:?}");
            assert_eq!(report["explain"].is_object(), more == ["--explain"]);
            assert_eq!(report["sizes"]["weights_bytes"].is_u64(), sized);
        }
    }
    let dry = document("dry", &["--dry-run", "--explain", "--print-after", "planned"]);
    assert!(dry["sizes"].is_object() && dry["explain"].is_object() && phases(&dry) == ["planned"]);
    assert!(!harness.path("dry").exists());
}

#[test]
fn a_dry_run_states_sizes_and_memory_and_writes_nothing() {
    let harness = Harness::new();
    let report = json(&ok(harness.compiling("plan", &["--dry-run", "--json"])))["plans"][0].take();
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 0);
    assert!(report["sizes"]["weights_bytes"].as_u64().unwrap() > 4_000_000);
    assert!(!harness.path("plan").exists());
}

#[test]
fn peak_memory_is_what_the_dry_run_said() {
    let harness = Harness::new();
    let document = json(&ok(harness.compiling("plan", &["--dry-run", "--json"])));
    let stated = document["plans"][0]["peak_memory_bytes"].as_u64().unwrap();
    let mut child = harness.compiling("plan", &[]).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(high_water_mark(child.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    println!("stated {stated} bytes, seen {peak}");
    assert!(peak > 0 && peak <= stated, "stated {stated} bytes, seen {peak}");
}

/// Largest resident size of a process so far, in bytes.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| 1024 * kib)
}

#[test]
fn doctor_and_completions_answer() {
    let checks = json(&ok(samp(["doctor", "--json"])));
    let check = |name: &str| checks.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone();
    assert!(check("vector unit")["found"].is_string() && check("GPU")["found"].is_string());
    assert_eq!(check("NVRTC 13.0")["status"], "ok", "the set-up brings it");
    let mut without = samp(["doctor"]);
    without.env("SAMP_NVRTC", "/nowhere");
    let said = ok(without);
    assert!(said.contains("plans for GPUs cannot be made here: run `make setup`"), "{said}");
    assert!(
        said.contains("set SAMP_NVRTC") && check("memory")["found"].as_str().unwrap().ends_with(" available")
    );
    let gpu = check("GPU");
    let lacking = gpu["status"] == "lacking";
    assert!(!lacking || gpu["remedy"].as_str().unwrap().contains("on a GPU: "), "{gpu}");
    assert!(!gpu["found"].as_str().unwrap().contains(';'), "what to do is the remedy: {gpu}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(samp(["completions", shell])).contains("samp"));
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let written = ok(samp(["man", pages.to_str().unwrap()]));
    for page in ["samp.1", "samp-compile.1", "samp-profile-merge.1", "samp-man.1"] {
        assert!(written.lines().any(|line| line == pages.join(page).to_str().unwrap()), "{written}");
    }
    let page = std::fs::read_to_string(pages.join("samp-compile.1")).unwrap();
    assert!(page.starts_with(".ie") || page.starts_with(".TH"), "{page}");
    assert!(page.contains("samp\\-compile") && page.contains("\\-\\-max\\-bits"), "{page}");
    assert!(page.contains(".SH EXAMPLES\n.nf\n\\&  ") && !page.contains("EXTRA"), "{page}");
    let whole = std::fs::read_to_string(pages.join("samp.1")).unwrap();
    assert!(!whole.contains("samp\\-help") && whole.contains("\n\\&commit "), "{whole}");
}

#[test]
fn a_reader_that_has_seen_enough_of_a_script_is_no_error() {
    for shell in ["bash", "zsh"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = samp(["completions", shell]);
        let out = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{shell}: {}", text(&out.stderr));
    }
}

#[test]
fn wrong_usage_and_wrong_input_exit_with_2_and_say_what_to_do() {
    let harness = Harness::new();
    for (args, expected) in [
        (&["validate", "/nowhere"][..], "expected a plan's folder"),
        (&["run", "/nowhere"], "plan.json"),
        (&["run", "--gpu-memory-utilization", "1.5", "x"], "above 0 and up to 1"),
        (&["compile", "/nowhere", "-o", "x"], "error["),
        (&["compile", "--recipe", "best", "/nowhere", "-o", "x"], "error["),
        (&["eval", "/nowhere"], "--data"),
        (&["run", "x", "--temperature", "hot"], "'--temperature <X>': expected a number, such as"),
        (
            &["run", "x", "-n", "-1"],
            "invalid value '-1' for '--max-tokens <N>': expected a whole number of 0 or more",
        ),
        (&["run", "x", "--seed", "-1"], "expected a whole number of 0 or more"),
        (&["run", "x", "--top-k", "99999999999999999999"], "expected a smaller number"),
        (
            &["compile", "x", "-o", "y", "--calib", "z", "--max-bits", "abc"],
            "expected a number above 0, such as 4.8",
        ),
    ] {
        let (_, message) = fails(2, samp(args));
        assert!(message.contains(expected), "{args:?}: {message}");
    }
    let plan = harness.compile("plan", &[]);
    for option in ["--temperature", "--top-p", "--min-p"] {
        let mut command = samp(["run", "-p", "The", option, "-1"]);
        command.arg(&plan);
        let (_, message) = fails(2, command);
        assert!(message.starts_with("error[E1443]"), "a number below 0 is a value: {message}");
    }
    let (_, message) = fails(2, harness.compiling("plan", &[]));
    assert!(message.starts_with("error[E0710]: ") && message.contains("--force"), "{message}");
    let (_, message) = fails(2, harness.compiling("plan", &["--recipe", "uniform:fp3"]));
    assert!(message.contains("fp3"), "{message}");
}
