//! The examples of the crates, as they are shown on their pages.

use std::{ops::ControlFlow, path::Path};

use samp_runtime::{Prompt, Request, Session, SessionOptions};

use crate::harness::{Harness, assert_same, tiny_llama};

#[path = "../../../examples/compile.rs"]
#[allow(dead_code, reason = "tests call what `main` calls")]
mod compile;
#[path = "../../../../runtime/examples/generate.rs"]
#[allow(dead_code, reason = "tests call what `main` calls")]
mod generate;

#[test]
fn the_compiling_example_makes_the_plan_of_the_command() {
    let harness = Harness::new();
    let (theirs, ours) = (harness.compile("theirs", &["--recipe", "uniform:nf4"]), harness.path("ours"));
    let mut said = vec![];
    let model = tiny_llama();
    compile::run(model.to_str().unwrap(), "uniform:nf4", ours.to_str().unwrap(), &mut said).unwrap();
    assert_same(&theirs, &ours);
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(" units\n"), "it tells of the progress: {said}");
    assert!(said.contains("bytes, digest "), "{said}");
}

fn alone(plan: &Path, prompt: &str) -> String {
    let session = Session::open(plan, SessionOptions::default()).unwrap();
    let prompt = session.encode(Prompt::Text(prompt)).unwrap();
    let request = Request { prompt, max_tokens: 24, ..Request::default() };
    session.generate(request, |_| ControlFlow::Continue(())).unwrap().text
}

/// More prompts than sequences that the plan takes at a time.
#[test]
fn the_generating_example_answers_many_as_it_answers_each() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "samp", "--max-num-seqs", "2"]);
    let prompts = ["The parser reads", "A compiler", "The house", "import json"].map(str::to_owned);
    let mut said = vec![];
    generate::run(plan.to_str().unwrap(), &prompts, &mut said).unwrap();
    let answers = prompts.each_ref().map(|prompt| alone(&plan, prompt));
    let together = prompts.iter().zip(&answers).map(|(prompt, answer)| format!("{prompt:?} -> {answer:?}\n"));
    let expected = format!("{}\n{}", answers[0], together.collect::<String>());
    assert_eq!(String::from_utf8(said).unwrap(), expected);
}
