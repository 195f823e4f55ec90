//! Files in a plan's folder that its manifest does not name: no command minds them, `samp validate` lists them.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};

use crate::harness::{Harness, fails, ok, samp};

fn on(plan: &Path, args: &[&str]) -> std::process::Command {
    let mut command = samp(args);
    command.arg(plan);
    command
}

/// What hubs, version control, file managers and file systems leave in a folder.
fn litter(plan: &Path) -> Vec<&'static str> {
    fs::write(plan.join(".gitattributes"), "*.safetensors filter=lfs").unwrap();
    fs::write(plan.join("README.md"), "# a model card").unwrap();
    fs::write(plan.join(".DS_Store"), [0u8, 1, 2]).unwrap();
    fs::create_dir_all(plan.join(".cache/huggingface/download")).unwrap();
    fs::create_dir(plan.join("lost+found")).unwrap();
    symlink("/nowhere/at/all", plan.join("latest")).unwrap();
    // Names that mean something to tokenizers and templates, in a plan that carries none of the kind.
    fs::write(plan.join("chat_template.json"), "{\"chat_template\": \"{{ 1 / 0 }}\"}").unwrap();
    fs::write(plan.join("vocab.json"), "{}").unwrap();
    vec![
        ".DS_Store",
        ".cache",
        ".gitattributes",
        "README.md",
        "chat_template.json",
        "latest",
        "lost+found",
        "vocab.json",
    ]
}

#[test]
fn files_that_the_manifest_does_not_name_change_nothing_that_a_command_says() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    let exported = harness.path("exported");
    let all = |plan: &Path| {
        let shown = [
            ok(on(plan, &["run", "-p", "The file", "-n", "8"])),
            ok(on(plan, &["run", "--chat", "Hello", "-n", "4"])),
            ok(on(plan, &["inspect"])),
            ok(on(plan, &["report"])),
            ok(on(plan, &["diff", plan.to_str().unwrap()])),
        ];
        ok(on(plan, &["export", "--quiet", "--force", "-o", exported.to_str().unwrap()]));
        (shown, crate::harness::files(&exported))
    };
    let before = all(&plan);
    litter(&plan);
    assert!(all(&plan) == before);
}

#[test]
fn validate_lists_them_and_only_strictness_minds() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    ok(on(&plan, &["validate", "--strict"]));
    let names = litter(&plan);
    let shown = ok(on(&plan, &["validate"]));
    let mut expected: Vec<String> = names
        .iter()
        .map(|name| format!("{name}: the manifest does not name it, and nothing reads it"))
        .collect();
    expected.push(format!("{}: valid", plan.display()));
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    let report: Value = serde_json::from_str(&ok(on(&plan, &["validate", "--json"]))).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!(report["unnamed"], json!(names));
    assert_eq!(report["findings"], json!([]));
    let (shown, _) = fails(1, on(&plan, &["validate", "--strict"]));
    assert!(shown.ends_with(&format!(": {} findings\n", names.len())), "{shown}");
    let (shown, _) = fails(1, on(&plan, &["validate", "--strict", "--json"]));
    let report: Value = serde_json::from_str(&shown).unwrap();
    let found = report["findings"].as_array().unwrap();
    assert!(found.iter().all(|finding| finding["code"] == "E1214"), "{shown}");
    let files: Vec<&str> =
        found.iter().map(|finding| finding["location"]["file"].as_str().unwrap()).collect();
    assert_eq!(files, names);
}

#[test]
fn a_plan_is_not_replaced_with_what_others_put_beside_it() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    fs::write(plan.join(".DS_Store"), "").unwrap();
    harness.compile("plan", &["--recipe", "uniform:nf4", "--force"]);
    fs::write(plan.join("README.md"), "hours of work").unwrap();
    let before = crate::harness::files(&plan);
    let (_, message) = fails(2, harness.compiling("plan", &["--force"]));
    assert!(message.starts_with("error[E0725]") && message.contains("not its own: README.md;"), "{message}");
    assert!(crate::harness::files(&plan) == before);
    assert!(!harness.path(".plan.partial").exists());
}

#[test]
fn an_export_is_not_replaced_with_what_others_put_beside_it() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    let export = || {
        let mut command = samp(["export", "--quiet", "--force", "-o"]);
        command.arg(harness.path("exported")).arg(&plan);
        command
    };
    ok(export());
    ok(export());
    fs::write(harness.path("exported/README.md"), "hours of work").unwrap();
    let (_, message) = fails(2, export());
    assert!(message.contains("README.md"), "{message}");
    assert!(harness.path("exported/README.md").exists());
}
