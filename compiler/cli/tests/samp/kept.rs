//! What is kept of a compile that came to no plan, and what the next one says of it.

use crate::{
    harness::{assert_same, fails, ok, output, samp, text},
    limits::Small,
};

/// A compile by measurements that says what it does.
fn calibrating(small: &Small, name: &str, args: &[&str]) -> std::process::Command {
    let mut command = samp(["compile", "--record-tokens", "24", "--max-num-batched-tokens", "64", "--calib"]);
    command.arg(&small.texts).arg(&small.model).arg("-o").arg(small.harness.path(name)).args(args);
    command
}

#[test]
fn measurements_outlive_a_refusal_and_other_options_and_that_is_said() {
    let small = Small::new();
    let formats = ["--formats", "nf4,int6,f16"];
    ok(calibrating(&small, "whole", &formats));
    let work = small.harness.path("plan.calibration.partial").display().to_string();

    let refusing = ["--max-bits", "8", "--max-loss", "0.0000001%"];
    let (_, refused) = fails(1, calibrating(&small, "plan", &[&formats[..], &refusing].concat()));
    assert!(refused.contains("error[E0410]") || refused.contains("error[E1102]"), "{refused}");
    let kept =
        format!("what is finished is kept in {work}; the same command with wider limits goes on from there");
    assert!(refused.contains(&format!("note: {kept}")), "{refused}");
    let json = [&formats[..], &refusing, &["--json"]].concat();
    let document: serde_json::Value =
        serde_json::from_str(&fails(1, calibrating(&small, "plan", &json)).0).unwrap();
    assert!(document["error"]["notes"].as_array().unwrap().contains(&kept.into()), "{document}");

    let (_, absent) = fails(2, samp(["run", &small.harness.path("plan").display().to_string(), "-p", "a"]));
    let goes_on = format!("was not finished: the same samp compile command goes on from {work}");
    assert!(absent.contains("error[E1338]") && absent.contains(&goes_on), "{absent}");

    let other = [&["--formats", "nf4,f16", "--quiet"][..], &refusing].concat();
    let (_, said) = fails(1, calibrating(&small, "plan", &other));
    assert!(said.contains("\nwarning: 10 weights measured before with other --formats"), "{said}");
    assert!(
        said.contains(&format!("until that is done the earlier options go on from {work}/measured-")),
        "{said}"
    );

    let out = output(calibrating(&small, "plan", &formats));
    let said = text(&out.stderr);
    assert!(out.status.success() && said.contains("weights were measured before"), "{said}");
    assert!(!said.contains("set aside") && !said.contains("measuring 1"), "{said}");
    assert!(!small.harness.path("plan.calibration.partial").exists());
    assert_same(&small.harness.path("whole"), &small.harness.path("plan"));
}
