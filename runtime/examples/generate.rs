//! Opens a plan, streams one answer, then drives many sequences in one step of the engine at a time.
//!
//! `cargo run --release -p samp-runtime --example generate -- tiny.plan "The parser reads" "A compiler"`

use std::{error::Error, io::Write, sync::Arc};

use samp_runtime::{
    AddSpecial, Chunk, Completion, DeviceKind, Engine, EngineOptions, Outputs, Prompt, Request, SequenceId,
    Session, SessionOptions, Tokenizer,
};

/// The plan comes first, then the prompts.
pub fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let plan = arguments.next().ok_or("usage: generate PLAN PROMPT...")?;
    run(&plan, &arguments.collect::<Vec<_>>(), &mut std::io::stdout())
}

/// Writes the answer to the first prompt as it comes, then the answers to all of them.
pub fn run(plan: &str, prompts: &[String], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    stream(plan, prompts.first().ok_or("give a prompt")?, out)?;
    for (prompt, answer) in prompts.iter().zip(together(plan, prompts)?) {
        writeln!(out, "{prompt:?} -> {answer:?}")?;
    }
    Ok(())
}

/// One sequence: a session is all that it takes.
fn stream(plan: &str, prompt: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let session = Session::open(plan, SessionOptions::default())?;
    let prompt = session.encode(Prompt::Text(prompt))?;
    for delta in session.stream(Request { prompt, max_tokens: 24, ..Request::default() })? {
        write!(out, "{}", delta?.text)?;
        out.flush()?;
    }
    Ok(writeln!(out)?)
}

/// A request and the sequence that it goes on in.
struct Running<'t> {
    index: usize,
    sequence: SequenceId,
    completion: Completion<&'t Tokenizer>,
    text: String,
}

/// Many sequences: an engine decodes a token of each in every step, which reads the weights once for all of them. At most
/// `engine.limits().max_sequences` are alive at a time, with `max_tokens` in a step.
fn together(plan: &str, prompts: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let plan = Arc::new(samp_runtime::open(plan.as_ref())?);
    let tokenizer = Tokenizer::from_plan(&plan)?;
    let mut engine = Engine::new(plan.clone(), DeviceKind::Cpu, EngineOptions::default())?;
    let mut answers = vec![String::new(); prompts.len()];
    let mut waiting = prompts.iter().enumerate().rev().collect::<Vec<_>>();
    let mut running: Vec<Running<'_>> = vec![];
    loop {
        // Where one has ended, the next begins: its prompt may be longer than a step.
        while running.len() < engine.limits().max_sequences as usize
            && let Some((index, prompt)) = waiting.pop()
        {
            let prompt = tokenizer.encode(prompt, AddSpecial::Yes)?;
            let request = Request { prompt, max_tokens: 24, ..Request::default() };
            let mut completion = Completion::new(&tokenizer, plan.manifest(), request)?;
            let sequence = engine.create()?;
            let text = completion.step(&mut engine, sequence)?.text;
            running.push(Running { index, sequence, completion, text });
        }
        for ended in running.extract_if(.., |one| one.completion.finish().is_some()) {
            engine.release(ended.sequence);
            answers[ended.index] = ended.text;
        }
        if running.is_empty() && waiting.is_empty() {
            return Ok(answers);
        }
        step(&mut engine, &mut running)?;
    }
}

/// One step for all of them: each appends its last token, and chooses the next by the logits after it.
fn step(engine: &mut Engine, running: &mut [Running<'_>]) -> Result<(), Box<dyn Error>> {
    let batch: Vec<Chunk<'_>> = running
        .iter()
        .map(|one| {
            let (sequence, tokens) = (one.sequence, one.completion.pending());
            Chunk { sequence, tokens, outputs: Outputs::Last }
        })
        .collect();
    let logits = engine.step(&batch)?;
    for (one, logits) in running.iter_mut().zip(logits.rows()) {
        one.text.push_str(&one.completion.accept(logits)?.text);
    }
    Ok(())
}
