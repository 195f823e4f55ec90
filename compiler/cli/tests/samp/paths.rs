//! Paths that lead elsewhere than a command wants: each says what is there and what to do, and nothing is written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Harness, fails, samp, tiny_llama};

/// A command that ends with wrong use; gives what it says.
fn refused(command: Command) -> String {
    let (shown, message) = fails(2, command);
    assert!(shown.is_empty(), "{shown}");
    message
}

/// `args`, where `@` stands for a path.
fn with(args: &[&str], path: &Path) -> Command {
    let path = path.display().to_string();
    let mut command = samp(args.iter().map(|arg| arg.replace('@', &path)));
    command.current_dir(std::env::temp_dir());
    command
}

/// Every command that takes a plan.
const OF_PLANS: [&[&str]; 9] = [
    &["run", "@", "-p", "a"],
    &["inspect", "@"],
    &["report", "@"],
    &["export", "@", "-o", "samp-never-made"],
    &["validate", "@"],
    &["sign", "@", "--key", "nowhere.key"],
    &["diff", "@", "@"],
    &["eval", "@", "--data", "nowhere.jsonl"],
    &["validate", "@", "--certificate", "--data", "nowhere.jsonl", "--against", "nowhere"],
];

/// Every command that takes a checkpoint.
const OF_CHECKPOINTS: [&[&str]; 3] = [
    &["compile", "@", "-o", "samp-never-made"],
    &["compile", "@", "--dry-run"],
    &["measure", "@", "--calib", "nowhere.jsonl", "-o", "profile.json"],
];

fn touch(path: PathBuf) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "{}").unwrap();
}

#[test]
fn every_command_that_takes_a_plan_says_what_is_there_instead() {
    let harness = Harness::new();
    touch(harness.path("plans/a100/plan.json"));
    touch(harness.path("plans/h100/plan.json"));
    touch(harness.path("profile.json"));
    for args in OF_PLANS {
        let said = |path: &Path| refused(with(args, path));
        let message = said(&tiny_llama());
        assert!(message.contains("expected a plan's folder, found a checkpoint"), "{args:?}: {message}");
        assert!(message.contains("compile it first: samp compile"), "{args:?}: {message}");
        let message = said(&harness.path("plans"));
        let both =
            [harness.path("plans/a100"), harness.path("plans/h100")].map(|plan| plan.display().to_string());
        assert!(
            message.contains("a folder of 2 plans") && message.contains(&both.join(", ")),
            "{args:?}: {message}"
        );
        let message = said(&harness.path("plans/h100/plan.json"));
        assert!(message.contains(&format!("give its folder: {}", both[1])), "{args:?}: {message}");
        let message = said(&harness.path("plans/h10"));
        assert!(message.contains(&format!("did you mean {}?", both[1])), "{args:?}: {message}");
        let message = said(&harness.path("profile.json"));
        assert!(message.contains("expected a plan's folder, found a JSON file"), "{args:?}: {message}");
    }
}

#[test]
fn every_command_that_takes_a_checkpoint_says_what_is_there_instead() {
    let harness = Harness::new();
    touch(harness.path("plan/plan.json"));
    touch(harness.path("gguf/llama.Q4_K_M.gguf"));
    for args in OF_CHECKPOINTS {
        let said = |path: &Path| refused(with(args, path));
        for (path, found, hint) in [
            (harness.path("plan"), "found a plan", "give the checkpoint"),
            (harness.path("plan/plan.json"), "found a plan's manifest", "give the checkpoint"),
            (
                tiny_llama().join("model.safetensors.index.json"),
                "found an index of weights",
                "give its folder: ",
            ),
            (
                harness.path("nowhere"),
                "found nothing named `nowhere` in",
                "a checkpoint is a folder with config.json",
            ),
            (
                "some-org/Llama-9-1B".into(),
                "nothing named `some-org` in the working directory",
                "hf download some-org/Llama-9-1B --local-dir Llama-9-1B",
            ),
        ] {
            let message = said(&path);
            assert!(
                message.starts_with("error[E0308]: expected a checkpoint's folder"),
                "{args:?}: {message}"
            );
            assert!(message.contains(found) && message.contains(hint), "{args:?}: {message}");
        }
        for path in ["gguf", "gguf/llama.Q4_K_M.gguf"] {
            let message = said(&harness.path(path));
            assert!(message.starts_with("error[E0342]: expected 4 bytes at byte 0"), "{args:?}: {message}");
        }
    }
}

#[test]
fn a_baseline_is_a_plan_or_a_checkpoint() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    touch(harness.path("other/plan.json"));
    let data = harness.path("data.jsonl");
    fs::write(&data, "{\"text\": \"one two\"}\n").unwrap();
    for (against, expected) in [
        (harness.path("othr"), "did you mean"),
        (harness.path(""), "give one of them: "),
        (tiny_llama().join("config.json"), "give its folder"),
    ] {
        let mut command = samp(["eval", "--data"]);
        let message = refused({
            command.arg(&data).arg("--against").arg(against).arg(&plan);
            command
        });
        assert!(message.contains("expected the folder of a plan or of a checkpoint"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

/// Whichever command is given it, and in whichever place.
#[test]
fn a_path_that_leads_to_no_plan_has_one_code() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]).display().to_string();
    let none = harness.path("none").display().to_string();
    let data = root_data();
    for args in [
        &["run", "-p", "a", &none][..],
        &["eval", "--data", &data, &none],
        &["validate", &none],
        &["sign", "--key", &data, &none],
        &["inspect", &none],
        &["diff", &plan, &none],
        &["diff", &none, &plan],
        &["report", &none],
        &["export", "-o", "x", &none],
    ] {
        let message = refused(samp(args));
        assert!(message.starts_with("error[E1338]: expected a plan's folder"), "{args:?}: {message}");
    }
}

#[test]
fn data_of_other_kinds_says_what_makes_records_of_it() {
    let harness = Harness::new();
    fs::write(harness.path("a.jsonl"), b"\x1f\x8b\x08").unwrap();
    fs::write(harness.path("a.csv"), "text\none\n").unwrap();
    for (name, code, expected) in [
        ("a.jsonl", "E0805", "gunzip -k"),
        ("a.csv", "E0805", "pandas.read_csv"),
        ("b.jsonl", "E0801", "did you mean"),
        ("", "E0801", "give a file in it, such as"),
    ] {
        let path = harness.path(name);
        for flag in ["--calib", "--audit", "--traffic"] {
            let calib = root_data();
            let others = if flag == "--calib" { vec![] } else { vec!["--calib", calib.as_str()] };
            let mut command = harness.compiling("plan", &others);
            command.arg(flag).arg(&path);
            let message = refused(command);
            assert!(message.contains(code) && message.contains(expected), "{flag} {name}: {message}");
        }
    }
    assert!(!harness.path("plan").exists());
}

fn root_data() -> String {
    crate::harness::root().join("testdata/data/eval.jsonl").display().to_string()
}

#[test]
fn a_prompt_file_that_is_not_there_says_what_is() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    fs::write(harness.path("prompt.txt"), "one").unwrap();
    let mut command = samp(["run", "--prompt-file"]);
    command.arg(harness.path("promt.txt")).arg(&plan);
    let message = refused(command);
    assert!(
        message.starts_with("error[E0801]: expected a file of text") && message.contains("prompt.txt?"),
        "{message}"
    );
}

#[test]
fn recipes_and_profiles_that_are_none_say_what_is_there() {
    let harness = Harness::new();
    fs::write(harness.path("mine.toml"), "").unwrap();
    touch(harness.path("plan/plan.json"));
    let recipe = |spec: &Path| refused(harness.compiling("new", &["--recipe", &spec.display().to_string()]));
    let message = recipe(&harness.path("mine.tml"));
    assert!(
        message.contains("E0404") && message.contains("did you mean") && message.contains("mine.toml?"),
        "{message}"
    );
    assert!(recipe(Path::new("smap")).contains("did you mean samp?"));
    assert!(recipe(&harness.path("plan")).contains("as a path it leads to a plan"));
    let merging = |path: PathBuf| {
        let mut command = samp(["profile", "merge", "-o"]);
        command.arg(harness.path("merged.json")).arg(path);
        refused(command)
    };
    for (name, expected) in
        [("plan", "found a plan"), ("plan/plan.json", "found a plan's manifest"), ("plam", "did you mean")]
    {
        let message = merging(harness.path(name));
        assert!(message.starts_with("error[E1101]: ") && message.contains(expected), "{message}");
    }
    assert!(!harness.path("merged.json").exists());
}

#[test]
fn outputs_without_a_folder_are_refused_before_the_work() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let out = harness.path("none/out");
    let make = format!("mkdir -p {}", harness.path("none").display());
    for (args, path) in [
        (&["report", "@", "-o"][..], &plan),
        (&["export", "@", "-o"], &plan),
        (&["compile", "@", "-o"], &tiny_llama()),
        (&["profile", "merge", "nowhere.json", "-o"], &plan),
    ] {
        let mut command = with(args, path);
        command.arg(&out);
        let message = refused(command);
        assert!(message.starts_with("error[E0712]: ") && message.contains(&make), "{args:?}: {message}");
    }
    assert!(!harness.path("none").exists());
    let mut command = with(&["measure", "@", "--calib", "nowhere.jsonl", "-o"], &tiny_llama());
    command.arg(&plan);
    let message = refused(command);
    assert!(message.starts_with("error[E0712]: ") && message.contains("name a file in it"), "{message}");
}
