//! `samp run`: where prompts come from, how tokens are chosen, where it runs, and what it says when it ends.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Harness, fails, ok, output, samp, text};

fn run(plan: &Path, args: &[&str]) -> Command {
    let mut command = samp(["run"]);
    command.arg(plan).args(args);
    command
}

/// The JSON document and what stood on stderr.
fn report(plan: &Path, args: &[&str]) -> (Value, String) {
    let out = output(run(plan, &[args, &["--json"]].concat()));
    let shown = text(&out.stderr);
    assert!(out.status.success(), "{args:?}: {shown}");
    (without_times(&out.stdout), shown)
}

/// A document without what differs from run to run.
fn without_times(document: &[u8]) -> Value {
    let mut document: Value = serde_json::from_slice(document).expect("one document");
    assert!(document["times"].take().is_object());
    document
}

fn prompt_tokens(plan: &Path, args: &[&str]) -> u64 {
    report(plan, &[args, &["-n", "1"]].concat()).0["prompt_tokens"].as_u64().expect("a count")
}

/// Runs with `input` on stdin; gives the JSON document.
fn piped(plan: &Path, args: &[&str], input: &str) -> Value {
    let mut command = run(plan, &[args, &["--json"]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("samp starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("samp reads");
    without_times(&child.wait_with_output().expect("samp ends").stdout)
}

#[test]
fn the_models_own_sampling_is_the_default_and_is_said() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let said = |args: &[&str]| {
        let (_, shown) = report(&plan, &[&["-p", "The file", "-n", "2"], args].concat());
        shown.lines().find(|line| line.starts_with("sampling: ")).expect("a line").to_owned()
    };
    assert_eq!(
        said(&[]),
        "sampling: temperature 0.6 (generation_config.json), top_k 50 (default), top_p 0.9 (generation_config.json); \
         seed 0"
    );
    assert_eq!(said(&["--temperature", "0"]), "sampling: greedy (given)");
    let overridden = said(&["--top-k", "3", "--top-p", "1", "--seed", "7"]);
    assert_eq!(overridden, "sampling: temperature 0.6 (generation_config.json), top_k 3 (given); seed 7");
    let (_, refused) = fails(2, run(&plan, &["-p", "x", "--top-p", "1.5"]));
    assert!(refused.contains("top_p must be above 0 and at most 1, found 1.5"), "{refused}");
}

#[test]
fn prompts_and_messages_come_from_a_file_or_stdin() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let file = harness.path("prompt.txt");
    std::fs::write(&file, "Read the file").unwrap();
    let file = file.to_str().unwrap();
    let short = ["-n", "6"];
    let with = |args: &[&str]| report(&plan, &[args, &short].concat()).0;
    let text = with(&["-p", "Read the file"]);
    assert_eq!(text, with(&["--prompt-file", file]));
    assert_eq!(text, piped(&plan, &["--prompt-file", "-", "-n", "6"], "Read the file"));
    let message = with(&["--chat", "Read the file"]);
    assert_ne!(text["prompt_tokens"], message["prompt_tokens"]);
    assert_eq!(message, with(&["--prompt-file", file, "--chat"]));
    assert_eq!(message, piped(&plan, &["-n", "6", "--chat"], "Read the file"));
    let system = with(&["--system", "Be brief.", "--chat", "Read the file"]);
    assert!(system["prompt_tokens"].as_u64() > message["prompt_tokens"].as_u64());
    for (args, expected) in [
        (&["--system", "x", "-p", "y"][..], "cannot be used with"),
        (&["--system", "x", "--prompt-file", file], "--chat"),
        (&["-p", "x", "--prompt-file", file], "cannot be used with"),
        (&["--chat", "x", "--prompt-file", file], "--prompt-file another"),
        (&["--prompt-file", "/nowhere"], "/nowhere"),
    ] {
        let (_, refused) = fails(2, run(&plan, args));
        assert!(refused.contains(expected), "{args:?}: {refused}");
    }
}

/// In a message a special token is text; in a prompt of one's own it is what it says.
#[test]
fn special_tokens_are_spelled_by_prompts_and_not_by_messages() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let more =
        |flag: &str| prompt_tokens(&plan, &[flag, "end<|eot_id|>"]) - prompt_tokens(&plan, &[flag, "end"]);
    assert_eq!(more("-p"), 1);
    assert!(more("--chat") > 1);
}

#[test]
fn a_full_context_is_said() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--max-model-len", "32"]);
    let (full, shown) = report(&plan, &["-p", "The file is", "--ignore-eos", "-n", "100"]);
    assert_eq!(full["finish"], "context_full");
    assert!(
        shown.contains("context of 32 positions is full") && shown.contains("--max-model-len"),
        "{shown}"
    );
    let (asked, shown) = report(&plan, &["-p", "The file is", "--ignore-eos", "-n", "2"]);
    assert_eq!(asked["finish"], "length");
    assert!(!shown.contains("full"), "{shown}");
    let (_, refused) = fails(2, run(&plan, &["-p", &"The file is ".repeat(40)]));
    for part in ["the prompt has ", "context of 32", "at most 31", "--max-model-len"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_and_none_is_refused() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let with = |threads: &str| report(&plan, &["-p", "The file is", "-n", "8", "--threads", threads]).0;
    assert_eq!(with("1"), with("3"));
    let (_, refused) = fails(2, samp(["run", "/nowhere", "--threads", "0"]));
    assert!(refused.contains("--threads") && !refused.contains("/nowhere"), "{refused}");
}

#[test]
fn a_run_on_some_cpus_gives_the_same_and_takes_only_cpus_that_it_may_use() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split(['-', ',']).next().unwrap();
    let with = |args: &[&str]| report(&plan, &[&["-p", "The file is", "-n", "8"], args].concat()).0;
    let free = with(&[]);
    for args in [&["--cpu-affinity", allowed][..], &["--cpu-affinity", first, "--threads", "3"]] {
        assert_eq!(with(args), free, "{args:?}");
    }
    let (_, refused) = fails(2, samp(["run", "/nowhere", "--threads", "1", "--cpu-affinity", "1023"]));
    assert!(refused.contains("E1419") && refused.contains(allowed) && refused.contains("1023"), "{refused}");
    for list in ["", "3-1", "0,0", "all"] {
        let (_, refused) = fails(2, samp(["eval", "/nowhere", "--data", "x", "--cpu-affinity", list]));
        assert!(refused.contains("--cpu-affinity") && refused.contains("0-3,8"), "{refused}");
    }
}

/// No GPU is seen by the command here, whatever the machine has.
#[test]
fn a_plan_runs_on_what_it_is_for_unless_told_otherwise() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--target", "h100", "--recipe", "uniform:f16"]);
    let data = crate::harness::root().join("testdata/data/eval.jsonl");
    let mut evaluation = samp(["eval", "--max-tokens", "4", "--data"]);
    evaluation.arg(data).arg(&plan);
    for mut command in [run(&plan, &["-p", "The file"]), evaluation] {
        let out = output({
            command.env("CUDA_VISIBLE_DEVICES", "");
            command
        });
        let shown = text(&out.stderr);
        assert!(!out.status.success());
        for part in ["for h100", "no GPU", "--device emulate", "--device reference"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
    ok(run(&plan, &["-p", "The file", "-n", "2", "--device", "reference"]));
}

/// A terminal of its own for a conversation, by util-linux's `script`, whose keys come through a pipe.
struct Terminal(std::process::Child);

impl Terminal {
    fn open(plan: &Path, args: &str) -> Terminal {
        let line = format!("{} run {} {args}", env!("CARGO_BIN_EXE_samp"), plan.display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Terminal(command.spawn().expect("script, of util-linux, starts"))
    }

    /// Presses keys.
    fn press(&mut self, keys: &str) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Reads until `what` shows.
    fn wait_for(&mut self, what: &str) {
        let stdout = self.0.stdout.as_mut().expect("a pipe");
        let mut byte = [0];
        let mut bytes = vec![];
        while !bytes.ends_with(what.as_bytes()) {
            let read = stdout.read(&mut byte).expect("the terminal shows");
            assert!(read > 0, "{what} never showed: {}", text(&bytes));
            bytes.push(byte[0]);
        }
    }
}

#[test]
fn a_terminal_has_a_conversation() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let mut terminal = Terminal::open(&plan, "--chat --system 'Be brief.' -n 4 --ignore-eos --temperature 0");
    terminal.wait_for("> ");
    terminal.press("Read the file\n");
    terminal.wait_for("\n> ");
    terminal.press("And now?\n");
    terminal.wait_for("\n> ");
    terminal.press("/exit\n");
    assert!(terminal.0.wait().unwrap().success());
}

/// Ctrl-C ends an answer that would go on for long, and the next message is answered; at the prompt it ends the program.
#[test]
fn interrupting_an_answer_ends_the_answer_alone() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--max-model-len", "200000"]);
    let mut terminal = Terminal::open(&plan, "--chat --ignore-eos");
    terminal.wait_for("> ");
    terminal.press("Go on\n");
    terminal.wait_for("\r\n");
    terminal.wait_for("e");
    terminal.press("\x03");
    terminal.wait_for("\n> ");
    terminal.press("\x03");
    assert_eq!(terminal.0.wait().unwrap().code(), Some(130));
}
