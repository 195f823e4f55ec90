//! Pipes, devices and links that lead nowhere in place of files: each is said to be what it is, and none is waited for.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error_codes::sources,
    harness::{Harness, fails, ok, root, samp, tiny_llama},
};

/// What stands in the place of a file, and how it is called.
const STAND_INS: [(&str, &str); 4] = [
    ("pipe", "a pipe in place of a regular file"),
    ("/dev/zero", "a device in place of a regular file"),
    ("gone", "a link to gone, which is not there"),
    ("loop", "links that lead in a circle"),
];

fn put(kind: &str, path: &Path) {
    match kind {
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "loop" => symlink(path.file_name().unwrap(), path).unwrap(),
        target => symlink(target, path).unwrap(),
    }
}

/// A checkpoint whose files are links to those of the shipped one, but for `name`.
fn checkpoint_with(harness: &Harness, name: &str, kind: &str) -> PathBuf {
    let folder = harness.path("checkpoint");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(tiny_llama()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap();
        if file != name && file != "reference.safetensors" {
            symlink(&path, folder.join(file)).unwrap();
        }
    }
    put(kind, &folder.join(name));
    folder
}

fn data() -> PathBuf {
    root().join("testdata/data/eval.jsonl")
}

#[test]
fn a_checkpoint_says_what_stands_in_the_place_of_its_files() {
    let harness = Harness::new();
    for name in [
        "config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ] {
        for (kind, found) in STAND_INS {
            let mut command = samp(["compile", "--dry-run"]);
            command.arg(checkpoint_with(&harness, name, kind));
            let (_, said) = fails(2, command);
            assert!(said.contains(found) && said.contains(name), "{name}, {kind}: {said}");
        }
    }
}

#[test]
fn files_on_the_command_line_say_what_stands_in_their_place() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let model = tiny_llama();
    let (plan, model, data) = (plan.to_str().unwrap(), model.to_str().unwrap(), data());
    let data = data.to_str().unwrap();
    let commands: [&[&str]; 7] = [
        &["eval", plan, "--data", "@"],
        &["eval", plan, "--ids", "@", "--save-logits", "never-made"],
        &["compile", model, "--dry-run", "--calib", "@"],
        &["compile", model, "--dry-run", "--calib", data, "--profile", "@"],
        &["run", plan, "-n", "1", "--prompt-file", "@"],
        &["sign", plan, "--key", "@"],
        &["run", plan, "-p", "x", "-n", "1", "--key", "@"],
    ];
    for args in commands {
        for (kind, found) in
            [("/dev/zero", "a device"), ("gone", "a link to gone"), ("loop", "links that lead")]
        {
            let path = harness.path("stand-in");
            put(kind, &path);
            let (_, said) = fails(2, samp(args.iter().map(|arg| arg.replace('@', path.to_str().unwrap()))));
            assert!(said.contains(found), "{args:?}, {kind}: {said}");
            fs::remove_file(path).unwrap();
        }
    }
    let path = harness.path("pipe");
    put("pipe", &path);
    for args in [commands[1], commands[3], commands[5], commands[6]] {
        let (_, said) = fails(2, samp(args.iter().map(|arg| arg.replace('@', path.to_str().unwrap()))));
        assert!(said.contains("a pipe in place of a regular file"), "{args:?}: {said}");
    }
}

#[test]
fn a_manifest_that_is_a_pipe_is_refused_by_every_command_of_plans() {
    let harness = Harness::new();
    let plan = harness.path("plan");
    fs::create_dir(&plan).unwrap();
    put("pipe", &plan.join("plan.json"));
    let plan = plan.to_str().unwrap();
    for args in [&["diff", plan, plan][..], &["inspect", plan], &["run", plan, "-p", "x"]] {
        let (_, said) = fails(2, samp(args));
        assert!(said.starts_with("error[E1303]"), "{args:?}: {said}");
    }
    let (said, _) = fails(1, samp(["validate", plan]));
    assert!(said.contains("a regular file"), "{said}");
    let (_, said) = fails(2, harness.compiling("plan", &["--force"]));
    assert!(said.starts_with("error[E07"), "{said}");
}

/// What a shell makes of `<(…)` is a pipe.
#[test]
fn prompts_and_data_come_through_pipes_and_end_somewhere() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_samp")]).arg(&plan).arg(data());
        command
    };
    let through = ok(shell("exec \"$0\" eval \"$1\" --json --max-tokens 8 --data <(head -n 4 \"$2\")"));
    let mut directly = samp(["eval", "--json", "--max-tokens", "8", "--data"]);
    fs::write(harness.path("four"), ok_lines(4)).unwrap();
    directly.arg(harness.path("four")).arg(&plan);
    assert_eq!(through, ok(directly));
    ok(shell("exec \"$0\" run \"$1\" -n 1 --prompt-file <(echo The file)"));
    for script in ["exec \"$0\" run \"$1\" -n 1 --prompt-file <(yes)", "yes | exec \"$0\" run \"$1\" -n 1"] {
        let (_, said) = fails(2, shell(script));
        assert!(said.contains("more than the 67108864 bytes that are read"), "{said}");
    }
}

fn ok_lines(lines: usize) -> String {
    let text = fs::read_to_string(data()).unwrap();
    text.lines().take(lines).map(|line| format!("{line}\n")).collect()
}

/// Files that read in ways of their own: the rule itself, first bytes of what is known to be regular, files of a plan, which
/// are checked by their manifest, and what samp itself wrote for a moment.
const OWN_WAYS: [&str; 6] = [
    "runtime/src/outside_file.rs",
    "runtime/src/path_kind/file.rs",
    "runtime/src/plan/files.rs",
    "compiler/src/output_file.rs",
    "compiler/src/emit/staging.rs",
    "compiler/src/quantize/rounding/store.rs",
];

#[test]
fn every_file_is_read_by_the_one_rule() {
    let mut files = vec![];
    for folder in ["compiler/src", "compiler/cli/src", "runtime/src"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 200);
    for path in files.iter().filter(|path| !OWN_WAYS.iter().any(|own| path.ends_with(own))) {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for unbounded in ["fs::read(", "fs::read_to_string(", "File::open("] {
            assert!(!text.contains(unbounded), "{}: {unbounded}…): see docs/contributing.md", path.display());
        }
    }
}
