//! Plans for GPUs: the machine code that is compiled ahead of time, without a GPU.

use std::{fs, path::Path, time::Instant};

use samp_runtime::open;
use serde_json::Value;

use crate::{
    gpu::{TARGETS, compiled},
    harness::{Harness, fails, ok, root, samp},
};

#[test]
fn shapes_without_a_kernel_are_refused_by_name() {
    let harness = Harness::new();
    // Its heads have 16 channels.
    let tied = root().join("testdata/checkpoints/tied");
    let refused = harness.compiling_model(&tied, "tied", &["--target", "a100"]);
    let (_, said) = fails(2, refused);
    assert!(said.contains("rope") && said.contains("another target"), "{said}");
    assert!(!harness.path("tied").exists());
}

#[test]
fn a_plan_holds_the_code_of_its_kernels_and_of_no_others() {
    let harness = Harness::new();
    let plan = compiled(&harness, "h100", "samp");
    let report: Value = serde_json::from_slice(&fs::read(plan.join("kernels/report.json")).unwrap()).unwrap();
    let kernels = report.as_array().unwrap();
    for kernel in kernels {
        assert!(kernel["registers"].as_u64().unwrap() > 0, "{kernel}");
        assert_eq!(
            (&kernel["spill_bytes"], &kernel["stack_bytes"]),
            (&Value::from(0), &Value::from(0)),
            "{kernel}"
        );
    }
    let named = |name: &str| {
        let begins = |kernel: &&Value| kernel["kernel"].as_str().unwrap().starts_with(name);
        kernels.iter().filter(begins).count()
    };
    for name in [
        "linear_nf4_fragments_gemv",
        "linear_fp8_e4m3_fragments_wgmma",
        "paged_attention_cuda_decode",
        "paged_attention_cuda_prefill",
        "rope_append_cuda",
        "silu_mul_cuda",
        "sample_cuda",
    ] {
        assert!(named(name) > 0, "no code of {name}");
    }
    assert_eq!(named("linear_int8_fragments_mma"), 0, "code that nothing calls for");
    let files = fs::read_dir(plan.join("kernels")).unwrap().count();
    assert_eq!(files, kernels.len() + 1, "each kernel once, and the report");

    let first = plan.join(kernels[0]["path"].as_str().unwrap());
    fs::remove_file(&first).unwrap();
    let refused = open(&plan).expect_err("a plan without its code").to_string();
    assert!(refused.contains("there is no such file"), "{refused}");
}

#[test]
fn one_command_makes_a_plan_for_each_target() {
    let harness = Harness::new();
    let arguments = ["--target", "h100,a100", "--recipe", "samp"];
    harness.compile("plans", &[&arguments[..], &["--dry-run"]].concat());
    assert!(!harness.path("plans").exists(), "a dry run writes nothing");
    let plans = harness.compile("plans", &arguments);
    for target in TARGETS {
        let alone = compiled(&harness, target, "samp");
        let manifest = |plan: &Path| fs::read(plan.join("plan.json")).unwrap();
        assert_eq!(manifest(&plans.join(target)), manifest(&alone));
        open(&plans.join(target)).unwrap();
        ok(samp([Path::new("validate"), Path::new("--no-probe"), &plans.join(target)]));
    }
    assert_eq!(fs::read_dir(&plans).unwrap().count(), 2);
}

#[test]
fn a_dry_run_predicts_decode_steps_and_memory() {
    let config = root().join("testdata/configs/llama-3-70b.json");
    let dry = |target: &str| {
        let mut command = samp(["compile", "--dry-run", "--json", "--target", target]);
        command.arg(&config);
        let document: Value = serde_json::from_str(&ok(command)).unwrap();
        let report = &document["plans"][0];
        let steps = report["predicted"].as_array().unwrap().clone();
        let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
        for pair in steps.windows(2) {
            for key in ["sequences", "milliseconds", "tokens_per_second", "device_bytes"] {
                assert!(number(&pair[0], key) < number(&pair[1], key), "{target}: {key}");
            }
        }
        let least = report["sizes"]["least_bytes_to_run"].as_f64().unwrap();
        (number(&steps[0], "milliseconds"), number(&steps[0], "device_bytes") - least)
    };
    let ([h200, a100], reserved) = (["h200", "a100"].map(dry), f64::from(512 << 20));
    // The bandwidths are 4.8 and 2.0 TB/s, and one token reads all weights.
    assert!(a100.0 > 1.8 * h200.0, "{h200:?} {a100:?}");
    assert_eq!([h200.1, a100.1], [reserved; 2], "what the runtime reserves");
}

#[test]
fn the_same_plan_comes_out_each_time() {
    let harness = Harness::new();
    let first = compiled(&harness, "a100", "samp");
    let mut again = harness.compiling("again", &["--target", "a100", "--recipe", "samp", "--threads", "1"]);
    // Kernels that were kept would be the same.
    again.env("SAMP_CACHE", harness.path("cache"));
    ok(again);
    let manifest = |plan: &Path| fs::read(plan.join("plan.json")).unwrap();
    assert_eq!(manifest(&first), manifest(&harness.path("again")));
}

#[test]
fn the_kernels_of_a_model_of_70b_compile_from_its_shapes() {
    let harness = Harness::new();
    let config = root().join("testdata/configs/llama-3-70b.json");
    for target in TARGETS {
        let mut command = samp(["compile", "--target", target, "--kernels"]);
        command.arg(harness.path(target)).arg(&config).env("SAMP_CACHE", harness.path("cache"));
        let start = Instant::now();
        let said = ok(command);
        println!("{said}{:.0} s without kept kernels", start.elapsed().as_secs_f64());
        assert!(said.contains("no spills"), "{said}");
    }
    let mut command = samp(["compile", "--target", "cpu", "--kernels"]);
    command.arg(harness.path("cpu")).arg(&config);
    let output = command.output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("choose a GPU"));
}
