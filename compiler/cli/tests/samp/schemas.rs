//! What commands print with `--json` follows the published schemas.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;

use crate::harness::{Harness, output, root, samp, text, tiny_llama};

/// The published schemas; `SAMP_UPDATE_SCHEMAS=1` writes them anew.
fn schemas() -> BTreeMap<&'static str, Value> {
    let folder = root().join("docs/schemas");
    let check = |(name, schema): (&'static str, String)| {
        let path = folder.join(format!("{name}.schema.json"));
        if std::env::var_os("SAMP_UPDATE_SCHEMAS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &schema).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(published == schema, "{path:?}: run this test with SAMP_UPDATE_SCHEMAS=1 and review it");
        (name, serde_json::from_str(&schema).unwrap())
    };
    samp_cli::output_schemas().into_iter().map(check).collect()
}

/// The one document on stdout.
fn document(command: Command, code: i32) -> Value {
    let shown = format!("{command:?}");
    let out = output(command);
    assert_eq!(out.status.code(), Some(code), "{shown}: {}{}", text(&out.stdout), text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{shown}: {e}: {}", text(&out.stdout)))
}

#[test]
fn what_commands_print_follows_its_published_schema() {
    let schemas = schemas();
    let harness = Harness::new();
    let at = |name: &str| harness.path(name).display().to_string();
    let model = tiny_llama().display().to_string();
    let data = root().join("testdata/data/eval.jsonl").display().to_string();
    let (plan, other, out) = (at("plan"), at("other"), at("exported"));
    let (page, profile, merged, key) = (at("page.html"), at("profile.json"), at("merged.json"), at("key"));
    let secret = at("key.key");
    let measuring =
        ["--calib-tokens", "200", "--record-tokens", "48", "--layers", "0..1", "--formats", "nf4"];
    let synthetic = at("synthetic");
    let few = ["--prompt", "8", "--generate", "2", "--sequences", "1,2", "--repeat", "1"];
    let commands: &[(&str, i32, &[&str])] = &[
        ("compile", 0, &["compile", &model, "-o", &plan]),
        ("compile", 0, &["compile", &model, "--dry-run", "--explain", "--target", "cpu,h100"]),
        ("compile", 0, &["compile", &model, "--stop-after", "typed"]),
        ("compile", 0, &["compile", &model, "--dry-run", "--calib", &data]),
        ("compile", 0, &["compile", &model, "--recipe", "uniform:nf4", "-o", &other]),
        ("bench", 0, &[&["bench", &plan], &few[..]].concat()),
        ("bench", 0, &[&["bench", &plan, "--device", "reference"], &few[..]].concat()),
        ("diff", 1, &["diff", &plan, &other]),
        ("doctor", 0, &["doctor"]),
        ("eval", 0, &["eval", &plan, "--data", &data, "--max-tokens", "16"]),
        ("explain", 0, &["explain"]),
        ("export", 0, &["export", &plan, "-o", &out]),
        ("inspect", 0, &["inspect", &plan]),
        ("run", 0, &["run", &plan, "-p", "The", "-n", "2"]),
        ("sign", 0, &["sign", "--generate-key", &key]),
        ("sign", 0, &["sign", &plan, "--key", &secret]),
        ("synth", 0, &["synth", "--shape", "tiny", "--layers", "1", &synthetic]),
        ("validate", 0, &["validate", &plan]),
        ("validate", 1, &["validate", &plan, "--digest", &"0".repeat(64)]),
        ("written", 0, &["report", &plan, "-o", &page]),
        ("written", 0, &[&["measure", &model, "--calib", &data, "-o", &profile], &measuring[..]].concat()),
        ("written", 0, &["profile", "merge", &profile, "-o", &merged]),
        ("error", 2, &["compile", "/nowhere", "-o", &plan]),
        ("error", 1, &["compile", &model, "--dry-run", "--budget", "1KB"]),
        ("error", 2, &["measure", &model, "-o", &profile]),
        ("error", 2, &["profile", "merge", "/nowhere", "-o", &merged]),
        ("error", 2, &["run", "/nowhere"]),
        ("error", 2, &["bench", "/nowhere"]),
        ("error", 2, &["bench", &plan, "--prompt", "1000000000"]),
        ("error", 2, &["synth", "--shape", "tiny", &synthetic]),
        ("error", 2, &["run", &plan, "--temperature", "-1", "-p", "x"]),
        ("error", 2, &["eval", "/nowhere", "--data", &data]),
        ("error", 2, &["validate", "/nowhere"]),
        ("error", 2, &["inspect", "/nowhere"]),
        ("error", 2, &["diff", &plan, "/nowhere"]),
        ("error", 2, &["report", "/nowhere", "-o", &page]),
        ("error", 2, &["export", "/nowhere", "-o", &other]),
        ("error", 2, &["explain", "E9999"]),
        ("error", 2, &["sign", &plan, "--key", "/nowhere"]),
        ("error", 2, &["doctor", "--unheard-of"]),
        ("error", 2, &[]),
    ];
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, code, args) in commands {
        let mut command = samp(*args);
        command.arg("--json").env("SAMP_KEY_PASSWORD", "");
        let found = document(command, *code);
        let validator = jsonschema::validator_for(&schemas[name]).unwrap();
        let faults: Vec<String> = validator.iter_errors(&found).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{args:?}: {faults:?}: {found}");
        assert!(!validator.is_valid(&serde_json::json!({ "unheard of": 1 })), "{name} takes anything");
        *used.entry(name).or_default() += 1;
    }
    assert!(used.keys().eq(schemas.keys()), "{used:?}");
}

#[test]
fn documents_say_digest_bytes_bits_and_times() {
    let harness = Harness::new();
    let several = harness.compiling("plans", &["--target", "cpu,h100", "--json"]);
    let compiled = document(several, 0);
    let plans = compiled["plans"].as_array().unwrap();
    assert_eq!(plans.len(), 2);
    for (plan, target) in plans.iter().zip(["cpu", "h100"]) {
        let folder = harness.path("plans").join(target);
        let found = document(samp(["inspect".as_ref(), folder.as_os_str(), "--json".as_ref()]), 0);
        let opened = samp_runtime::open(&folder).unwrap();
        assert_eq!(plan["digest"], opened.digest(), "{target}");
        let files = crate::harness::files(&folder).into_iter();
        let bytes: u64 = files.map(|(_, bytes)| bytes.len() as u64).sum();
        assert_eq!(
            (plan["bytes"].as_u64(), found["disk_bytes"].as_u64()),
            (Some(bytes), Some(bytes)),
            "{target}"
        );
        for key in ["digest", "decoder_bits_per_weight"] {
            assert_eq!(plan[key], found[key], "{target}");
        }
    }
    let mut running = samp(["run", "-p", "The file is", "-n", "4", "--ignore-eos", "--json"]);
    running.arg(harness.path("plans/cpu"));
    let ran = document(running, 0);
    let time = |key: &str| ran["times"][key].as_f64().unwrap_or_else(|| panic!("no {key}: {ran}"));
    assert!(time("load_ms") > 0.0 && time("first_token_ms") <= time("generation_ms"), "{ran}");
    assert!(time("generation_ms") <= time("total_ms") && time("tokens_per_second") > 0.0, "{ran}");
}
