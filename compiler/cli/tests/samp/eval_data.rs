//! What `samp eval` and `samp validate` take as data: what calibration takes, from files and from stdin.

use std::{fs, io::Write, path::Path, process::Stdio};

use serde_json::Value;

use crate::harness::{Harness, fails, ok, samp, text};

/// The scores of a plan on data; with `stdin`, that comes through it.
fn scores(plan: &Path, data: &str, stdin: Option<&str>) -> Value {
    let mut command = samp(["eval", "--json", "--data", data]);
    command.arg(plan).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(stdin.unwrap_or_default().as_bytes()).unwrap();
    drop(pipe);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    serde_json::from_slice::<Value>(&out.stdout).unwrap()["overall"].take()
}

#[test]
fn eval_reads_what_calibration_reads() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let write = |name: &str, text: &str| {
        fs::write(harness.path(name), text).unwrap();
        harness.path(name).display().to_string()
    };
    let lines =
        "{\"text\": \"The parser reads\\n\"}\n{\"text\": \"The index\\nremoves\\n\", \"stratum\": \"all\"}\n";
    let of_lines = scores(&plan, &write("a.jsonl", lines), None);
    assert_eq!(of_lines["records"], 2);
    let documents = write("a.txt", "The parser reads\n\n\nThe index\nremoves\n");
    assert_eq!(scores(&plan, &documents, None), of_lines, "documents end at blank lines");
    assert_eq!(scores(&plan, "-", Some(lines)), of_lines, "stdin is a file like any other");

    // What the chat template writes is what is judged.
    let chat =
        r#"{"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}"#;
    let asked = r#"{"messages": [{"role": "user", "content": "Hello"}]}"#;
    let tokens = |line: &str| scores(&plan, &write("m.jsonl", line), None)["tokens"].as_u64().unwrap();
    let mut run = samp(["run", "--json", "-n", "1", "--chat", "Hello"]);
    run.arg(&plan);
    let ran: Value = serde_json::from_str(&ok(run)).unwrap();
    assert_eq!(tokens(asked) + 1, ran["prompt_tokens"].as_u64().unwrap(), "as a message is answered");
    assert!(tokens(chat) > 2);
}

#[test]
fn data_that_holds_no_records_says_which_there_are() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:f16"]);
    let mut command = samp(["eval", "--data", "-"]);
    command.arg(&plan).stdin(Stdio::null());
    let (_, refused) = fails(2, command);
    assert!(refused.contains("error[E0804]") && refused.contains("--> -"), "{refused}");
    fs::write(harness.path("a.jsonl"), "{\"prompt\": \"a\"}").unwrap();
    let mut command = samp(["eval", "--data"]);
    command.arg(harness.path("a.jsonl")).arg(&plan);
    let (_, refused) = fails(2, command);
    assert!(refused.contains("error[E0803]") && refused.contains("with `messages`"), "{refused}");
}
