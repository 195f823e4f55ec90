//! Int8 with outlier columns, decided from measurements: the outlier checkpoint, whose inputs have outlier channels where nothing equalizes
//! them out.

use std::{fs, path::PathBuf};

use samp_abi::{
    Component,
    plan::{Plan, unseal},
};

use crate::{
    harness::{Harness, assert_same, fails, ok, samp, tiny_llama},
    logits::{largest_difference, saved_logits},
    outlier_checkpoint::write_outlier_checkpoint,
    routing::{certificate, data},
};

struct OutlierCheckpoint {
    harness: Harness,
    model: PathBuf,
}

impl OutlierCheckpoint {
    fn new() -> OutlierCheckpoint {
        let harness = Harness::new();
        let model = harness.path("outliers");
        write_outlier_checkpoint(&model);
        OutlierCheckpoint { harness, model }
    }

    /// Compiles and validates.
    fn plan(&self, name: &str, args: &[&str]) -> PathBuf {
        let data = data();
        let calib = ["--calib-tokens", "1200", "--record-tokens", "48", "--calib", data.to_str().unwrap()];
        ok(self.harness.compiling_model(&self.model, name, &[&calib[..], args].concat()));
        let plan = self.harness.path(name);
        ok(samp(["validate".as_ref(), plan.as_os_str()]));
        plan
    }
}

fn manifest(plan: &std::path::Path) -> Plan {
    unseal(&fs::read(plan.join("plan.json")).unwrap(), |b| blake3::hash(b).to_string()).unwrap()
}

/// Nats per token on held-out records, and bits per weight.
fn quality(plan: &std::path::Path) -> (f64, f64) {
    let certificate = certificate(plan);
    let nats = certificate["quality"]["held_out"]["overall"]["kl_nats"].as_f64().unwrap();
    (nats, certificate["decoder_linears"]["bits_per_weight"].as_f64().unwrap())
}

#[test]
fn columns_kept_apart_lose_less_than_int8_at_little_more() {
    let outliers = OutlierCheckpoint::new();
    let kept = outliers.plan("kept", &["--quality", "nearest", "--formats", "int8_outliers"]);
    let plain = outliers.plan("plain", &["--quality", "nearest", "--formats", "int8"]);
    let ((nats, bits), (plain_nats, plain_bits)) = (quality(&kept), quality(&plain));
    println!("kept apart {nats:.6} nats at {bits:.3} bits, int8 {plain_nats:.6} at {plain_bits:.3}");
    assert!(nats < plain_nats && bits > plain_bits && bits < 1.01 * plain_bits);
    let effects = certificate(&kept)["quality"]["effects"].clone();
    println!("{effects}");
    let effect = effects.as_array().unwrap().iter().find(|effect| effect["pass"] == "keep_outliers").unwrap();
    assert!(effect["error"]["mean"].as_f64().unwrap() < 0.5, "{effect}");
    let formats: Vec<String> = manifest(&kept).tensors.iter().map(|t| t.format.to_string()).collect();
    for format in ["int8_outliers", "int8"] {
        assert!(formats.iter().any(|f| f == format), "{format} is where it belongs: {formats:?}");
    }
    assert_same(
        &kept,
        &outliers.plan("again", &["--quality", "nearest", "--formats", "int8_outliers", "--threads", "1"]),
    );
    let logits = |plan, device| saved_logits(&outliers.harness, plan, device, &tiny_llama());
    let ours = logits(&kept, "cpu");
    let difference = largest_difference(&ours, &logits(&kept, "reference"));
    println!("cpu and reference differ by {difference:.2e}");
    assert!(difference < 1e-2, "cpu and reference differ by {difference}");
    let exact = outliers.plan("exact", &["--quality", "nearest", "--formats", "int8_outliers", "--exact"]);
    let ours = logits(&exact, "cpu");
    let difference = largest_difference(&ours, &logits(&exact, "reference"));
    assert!(difference < 1e-4, "cpu and reference differ by {difference}");
    let exported = outliers.harness.path("hf");
    ok(samp(["export".as_ref(), kept.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    ok(outliers.harness.compiling_model(&exported, "exported", &["--recipe", "uniform:f32"]));
    let difference = largest_difference(&ours, &logits(&outliers.harness.path("exported"), "cpu"));
    assert!(difference < 1e-3, "the plan and its export differ by {difference}");
}

/// Beside other formats, under GPTQ: the bytes of the columns count against the limit, and reports show them.
#[test]
fn kept_columns_are_a_choice_among_others_and_their_bytes_count() {
    let outliers = OutlierCheckpoint::new();
    let args = ["--quality", "fold,gptq", "--formats", "nf4,int8_outliers,f16", "--max-bits", "6.5"];
    let plan = outliers.plan("plan", &args);
    let (nats, bits) = quality(&plan);
    println!("{nats:.6} nats at {bits:.3} bits");
    assert!(bits <= 6.5 && bits > 6.0, "{bits}");
    let manifest = manifest(&plan);
    let kept = manifest.tensors.iter().flat_map(|t| &t.parts);
    let columns: u64 =
        kept.filter(|part| part.component == Component::OutlierColumns).map(|part| part.shape[0]).sum();
    assert!(columns > 0 && fs::read_to_string(plan.join("plan.mlir")).unwrap().contains("keep_columns("));
    let page = outliers.harness.path("report.html");
    ok(samp(["report".as_ref(), plan.as_os_str(), "-o".as_ref(), page.as_os_str()]));
    assert!(fs::read_to_string(page).unwrap().contains("int8_outliers"));
}

#[test]
fn a_fixed_recipe_is_told_to_calibrate() {
    let harness = Harness::new();
    let (_, error) = fails(2, harness.compiling("plan", &["--recipe", "uniform:int8_outliers"]));
    assert!(error.contains("E0407") && error.contains("--calib"), "{error}");
}
