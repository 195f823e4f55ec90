//! Limits on what a routed plan holds and loses: what is asked for is in the plan, or refused.

use std::{path::PathBuf, process::Command};

use samp_abi::plan::{Plan, unseal};
use samp_compiler::certificate::Certificate;
use serde_json::{Value, json};

use crate::{
    harness::{Harness, assert_same, fails, ok, output, samp, text},
    routing::{certificate, journal, with_words},
};

/// A small checkpoint whose KV cache at the limits (786 KB in f32) outweighs its weights (149 KB in f16).
pub struct Small {
    pub harness: Harness,
    pub model: PathBuf,
    pub texts: PathBuf,
}

impl Small {
    pub fn new() -> Small {
        let harness = Harness::new();
        let (model, texts) = with_words(&harness, "gqa-head-dim");
        Small { harness, model, texts }
    }

    pub fn compiling(&self, name: &str, args: &[&str]) -> Command {
        let small = ["--record-tokens", "24", "--max-num-batched-tokens", "64"];
        let mut command = self.harness.compiling_model(&self.model, name, &small);
        command.arg("--calib").arg(&self.texts).args(args);
        command
    }

    /// Compiles, validates, and gives the manifest.
    pub fn plan(&self, name: &str, args: &[&str]) -> Plan {
        ok(self.compiling(name, args));
        self.manifest(name)
    }

    fn manifest(&self, name: &str) -> Plan {
        let plan = self.harness.path(name);
        ok(samp(["validate".as_ref(), plan.as_os_str()]));
        let bytes = std::fs::read(plan.join("plan.json")).unwrap();
        unseal(&bytes, |b| blake3::hash(b).to_string()).unwrap()
    }

    pub fn certificate(&self, name: &str) -> Value {
        certificate(&self.harness.path(name))
    }
}

/// Weights, KV cache of all sequences at their longest in whole pages, and activation arena.
fn device_bytes(plan: &Plan) -> u64 {
    let weights: u64 = plan.tensors.iter().map(|tensor| tensor.bytes()).sum();
    let pages = plan.limits.max_context.div_ceil(plan.kv.page_tokens) * plan.limits.max_sequences;
    weights + pages * plan.kv.page_tokens * plan.kv.bytes_per_token(&plan.model) + plan.memory.arena_bytes
}

#[test]
fn the_device_holds_no_more_than_asked_and_the_cache_gives_before_much_is_lost() {
    let small = Small::new();
    for (most, kv) in [(10_000_000, "f32"), (700_000, "f16"), (380_000, "fp8_e4m3_tensor")] {
        let name = most.to_string();
        let plan = small.plan(&name, &["--max-memory", &name]);
        let held = device_bytes(&plan);
        println!("{held} of {most} bytes with a cache in {}", plan.kv.format);
        assert!(held <= most && plan.kv.format.to_string() == kv, "{held} of {most}, {}", plan.kv.format);
    }
    let scales = small.manifest("380000").kv.scales;
    let measured = scales.as_flattened().iter().all(|scale| *scale != 1.0 && scale.log2().fract() == 0.0);
    assert!(measured && !scales.is_empty(), "{scales:?}");
    let quality = small.certificate("380000")["quality"].clone();
    let losses = quality["kv"].as_array().unwrap();
    let nats: Vec<f64> = losses.iter().map(|k| k["divergence"]["nats"].as_f64().unwrap()).collect();
    assert!(nats.len() == 3 && nats[0] == 0.0 && nats[1] < nats[2], "{nats:?}");
    let round = quality["rounds"].as_array().unwrap().last().unwrap();
    assert_eq!(round["prices"][0]["resource"], "device bytes");
    assert!(round["prices"][0]["per_unit"].as_f64().unwrap() < 0.0, "{round}");
    let (plan, page) = (small.harness.path("380000"), small.harness.path("report.html"));
    ok(samp(["report".as_ref(), plan.as_os_str(), "-o".as_ref(), page.as_os_str()]));
    let fixed = small.plan("fixed", &["--max-memory", "1MB", "--kv-cache-dtype", "fp8"]);
    assert_eq!(fixed.kv.format.to_string(), "fp8_e4m3_tensor", "what is asked for is not chosen");
}

/// A compile that stopped while it wrote what the last format of the cache loses: nothing before that is measured again.
#[test]
fn what_a_cache_loses_is_measured_once() {
    let small = Small::new();
    let args = ["--max-memory", "380000"];
    ok(small.compiling("whole", &args));
    let (_, error) = fails(1, small.compiling("cut", &[&args[..], &["--max-loss", "0.0000001%"]].concat()));
    assert!(error.contains("E0410") || error.contains("E1102"), "{error}");
    let journal = journal(&small.harness.path("cut.calibration.partial")).unwrap();
    let noted = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(noted.matches("\"cache\"").count(), 2, "{noted}");
    std::fs::write(&journal, &noted[..noted.len() - 40]).unwrap();
    let mut command = samp(["compile", "--record-tokens", "24", "--max-num-batched-tokens", "64", "--calib"]);
    command.arg(&small.texts).arg(&small.model).arg("-o").arg(small.harness.path("cut")).args(args);
    let out = output(command);
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    let measured: Vec<&str> = said.lines().filter(|line| line.starts_with("measuring ")).collect();
    assert_eq!(measured, ["measuring the KV cache in fp8_e4m3_tensor"], "{said}");
    assert_same(&small.harness.path("whole"), &small.harness.path("cut"));
}

#[test]
fn a_device_that_cannot_hold_any_plan_is_told_what_would_have_to_fit() {
    let small = Small::new();
    let (_, error) = fails(1, small.compiling("plan", &["--max-memory", "300KB"]));
    assert!(error.contains("E0410") && error.contains("every plan needs at least"), "{error}");
    assert!(error.contains("activation arena of") && error.contains("in fp8_e4m3_tensor"), "{error}");
    assert!(!small.harness.path("plan").exists());
}

#[test]
fn explained_decisions_name_the_next_format_and_what_limits_cost() {
    let small = Small::new();
    let args = ["--max-memory", "380KB", "--explain"];
    let report: Value =
        serde_json::from_str(&ok(small.compiling("json", &[&args[..], &["--json"]].concat())))
            .expect("one document");
    let report = &report["plans"][0];
    let formats = report["decided"]["formats"].as_array().unwrap();
    let keys: Vec<&str> = formats.iter().map(|f| f["key"].as_str().unwrap()).collect();
    assert_eq!((keys.len(), keys[0], keys[keys.len() - 1]), (11, "embed_tokens", "KV cache"));
    let cache = &formats[10];
    assert_eq!((&cache["format"], &cache["next"]["format"]), (&json!("fp8_e4m3_tensor"), &json!("f16")));
    assert_eq!(cache["next"]["bytes_more"], 196_608.0);
    assert!(cache["next"]["nats_less"].as_f64().unwrap() > 0.0, "{cache}");
    let limit = &report["decided"]["limits"][0];
    assert!(limit["offer"].as_str().unwrap().contains("more device bytes would save"), "{limit}");
    let text = ok(small.compiling("text", &args));
    assert!(
        text.contains("layers.0.mlp.down_proj") && text.contains(limit["offer"].as_str().unwrap()),
        "{text}"
    );
    for pass in ["fold_norms", "equalize", "correct_weights", "round_weights"] {
        let line = text.lines().find(|line| line.starts_with(pass)).unwrap();
        assert!(line.contains(" places, output error × ") && line.contains(", at worst × "), "{line}");
        let preserves = line.contains("function preserved, largest change of a logit ");
        assert_eq!(preserves, ["fold_norms", "equalize"].contains(&pass), "{line}");
    }
}

/// Each goal gives a valid plan that keeps its promise and holds less than the best plan does.
#[test]
fn goals_other_than_quality_spend_what_may_be_lost() {
    let small = Small::new();
    let quality = small.plan("quality", &[]);
    for goal in ["memory", "edge", "latency", "cost"] {
        let plan = small.plan(goal, &["--optimize-for", goal, "--max-loss", "5%"]);
        println!("{goal}: {} bytes on the device, quality {}", device_bytes(&plan), device_bytes(&quality));
        assert_eq!(plan.limits.max_sequences, if goal == "edge" { 1 } else { 16 });
        assert!(device_bytes(&plan) < device_bytes(&quality), "{goal}");
        let held = small.certificate(goal)["quality"]["held_out"]["overall"].clone();
        assert!(held["perplexity_ratio_at_most"].as_f64().unwrap() <= 1.05, "{goal}: {held}");
    }
}

#[test]
fn strata_have_limits_of_their_own() {
    let small = Small::new();
    let (_, error) = fails(2, small.compiling("unknown", &["--max-loss", "code=1%"]));
    assert!(error.contains("E1105") && error.contains("`code`") && error.contains("even, odd"), "{error}");
    small.plan("kept", &["--optimize-for", "memory", "--max-loss", "3%", "--max-loss", "odd=1.5%"]);
    let quality = small.certificate("kept")["quality"].clone();
    let grown =
        |name: &str| quality["held_out"]["strata"][name]["perplexity_ratio_at_most"].as_f64().unwrap();
    println!("odd {:.4}, even {:.4}", grown("odd"), grown("even"));
    assert!(grown("odd") <= 1.015 && grown("even") <= 1.03);
    let limits = quality["rounds"][0]["limits"].to_string();
    assert!(limits.contains("loss of odd") && limits.contains("loss of even"), "{limits}");
}

/// After exact measurements every uniform plan that is no larger is audited, after fast ones the likeliest alone; the plan
/// is never worse than any of them.
#[test]
fn no_audited_uniform_plan_of_no_greater_size_is_better() {
    let small = Small::new();
    let args = ["--max-bits", "9", "--formats", "fp8_e4m3,fp8_e4m3_tensor,int8,f16"];
    for (how, least) in [("fast", 1), ("exact", 3)] {
        small.plan(how, &[&args[..], &["--sensitivity", how]].concat());
        let certificate = small.certificate(how);
        let quality = &certificate["quality"];
        let own = quality["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
        let uniforms = quality["uniforms"].as_array().unwrap();
        let nats: Vec<f64> = uniforms.iter().map(|u| u["kl_nats"].as_f64().unwrap()).collect();
        println!("{how}: {own:.3e} against {nats:?}");
        assert!(nats.len() >= least && (how == "exact" || nats.len() == 1), "{uniforms:?}");
        assert!(nats.iter().all(|&nats| nats >= own), "{own}: {nats:?}");
        let best = quality["best_uniform"]["kl_nats"].as_f64().unwrap();
        assert_eq!(best, nats.iter().copied().fold(f64::INFINITY, f64::min));
        let bits = certificate["decoder_linears"]["bits_per_weight"].as_f64().unwrap();
        assert!(uniforms.iter().all(|u| u["bits_per_weight"].as_f64().unwrap() <= bits));
    }
}

/// One pass forward and one back gives the same bytes on any number of threads, and predicts what the audit then finds.
#[test]
fn gradients_predict_what_is_audited_whatever_the_threads() {
    let small = Small::new();
    for threads in ["1", "2"] {
        small.plan(threads, &["--max-bits", "6", "--sensitivity", "fisher", "--threads", threads]);
    }
    let certificate = small.certificate("1");
    assert_eq!(certificate, small.certificate("2"));
    let round = &certificate["quality"]["rounds"][0];
    let [predicted, found] = ["predicted_nats", "audited_nats"].map(|name| round[name].as_f64().unwrap());
    println!("{predicted:.3e} predicted, {found:.3e} found");
    assert!(predicted > 0.0 && (0.3..3.0).contains(&(found / predicted)), "{predicted}: {found}");
}

#[test]
fn certificates_without_caches_and_prices_are_still_read() {
    let small = Small::new();
    small.plan("plan", &["--max-bits", "8"]);
    let mut old = small.certificate("plan");
    old["schema"] = json!("1.1.0");
    old["quality"].as_object_mut().unwrap().remove("kv");
    old["quality"].as_object_mut().unwrap().remove("uniforms");
    assert!(old["quality"].as_object_mut().unwrap().remove("effects").is_some());
    for round in old["quality"]["rounds"].as_array_mut().unwrap() {
        let round = round.as_object_mut().unwrap();
        assert!(round.remove("prices").is_some() && round.remove("factors").is_some());
    }
    let old: Certificate = serde_json::from_value(old).unwrap();
    let quality = old.quality.unwrap();
    assert!(quality.kv.is_empty() && quality.rounds[0].prices.is_empty());
}
