//! The same compile gives the same bytes.

use crate::harness::{Harness, assert_same, fails, ok, samp, tiny_llama};

#[test]
fn two_compiles_are_identical_whatever_the_threads() {
    let harness = Harness::new();
    let one = harness.compile("one", &["--threads", "1"]);
    let again = harness.compile("again", &["--threads", "1"]);
    let four = harness.compile("four", &["--threads", "4", "--memory", "1MB"]);
    assert_same(&one, &again);
    assert_same(&one, &four);
}

#[test]
fn an_existing_plan_is_replaced_only_by_force() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let before = std::fs::read(plan.join("plan.json")).unwrap();
    let (_, message) = fails(2, harness.compiling("plan", &["--recipe", "uniform:nf4"]));
    assert!(message.contains("--force"), "{message}");
    assert_eq!(std::fs::read(plan.join("plan.json")).unwrap(), before);
    ok(harness.compiling("plan", &["--recipe", "uniform:nf4", "--force"]));
    assert_same(&plan, &harness.compile("fresh", &["--recipe", "uniform:nf4"]));
}

#[test]
fn a_plan_moves_with_its_folder() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    let moved = harness.path("elsewhere");
    std::fs::rename(plan, &moved).unwrap();
    ok(samp(["validate".as_ref(), moved.as_os_str()]));
    let manifest = std::fs::read_to_string(moved.join("plan.json")).unwrap();
    let folder = tiny_llama().parent().unwrap().display().to_string();
    assert!(!manifest.contains(&folder), "the manifest names a folder of the machine that built it");
}
