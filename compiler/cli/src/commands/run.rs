//! `samp run`: text from a plan.

use std::{
    io::{IsTerminal, Read, Write},
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use samp_runtime::{
    AddSpecial, ChatTemplate, Finish, Message, OpenPlan, Request, Sampling, Tokenizer, generate,
};
use serde::Serialize;

use crate::{
    device_args::DeviceArgs,
    identity::IdentityArgs,
    output::{Outcome, print, print_json},
};

/// Generate text from a plan, streaming it to stdout
///
/// The prompt comes from -p, from --chat (through the model's chat template), or from stdin.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Continue this text
    #[arg(short, long, value_name = "TEXT", conflicts_with = "chat")]
    prompt: Option<String>,
    /// Answer this message
    #[arg(long, value_name = "TEXT")]
    chat: Option<String>,
    /// Most tokens to generate
    #[arg(short = 'n', long, default_value_t = 128)]
    max_tokens: usize,
    /// Softmax temperature; 0 always takes the most likely token
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Sample among the K most likely tokens only; 0 is all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Sample among the fewest tokens whose probability reaches P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Leave out tokens less likely than P times the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Divide the logits of tokens already seen by this (multiply, where negative)
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Seed of the sampler; the same seed gives the same text
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stop before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on past end-of-text tokens
    #[arg(long)]
    ignore_eos: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    text: &'a str,
    tokens: &'a [u32],
    finish: Finish,
    prompt_tokens: usize,
}

/// Generates and prints.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let plan = samp_runtime::open(&args.plan)?;
    args.identity.require(&plan)?;
    let tokenizer = Tokenizer::from_plan(&plan)?;
    let prompt = prompt_tokens(args, &plan, &tokenizer)?;
    let prompt_tokens = prompt.len();
    let room = prompt_tokens.saturating_add(args.max_tokens) as u64;
    let kv_tokens = room.min(plan.manifest().limits.max_context);
    let mut engine = args.device.load(plan, kv_tokens)?;
    let request = Request {
        prompt,
        sampling: sampling(args),
        max_tokens: args.max_tokens,
        stop: args.stop.clone(),
        stop_tokens: vec![],
        ignore_eos: args.ignore_eos,
    };

    let started = Instant::now();
    let mut first_token = None;
    let mut write_error = None;
    let generated = generate(&mut engine, &tokenizer, request, |delta| {
        first_token.get_or_insert_with(|| started.elapsed());
        if args.json {
            return ControlFlow::Continue(());
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(delta.text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                write_error = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = write_error {
        return Err(error.into());
    }
    if args.json {
        print_json(&Report {
            text: &generated.text,
            tokens: &generated.tokens,
            finish: generated.finish,
            prompt_tokens,
        })?;
    } else {
        print("\n")?;
    }
    let tokens = generated.tokens.len();
    if let Some(first) = first_token {
        eprintln!("{prompt_tokens} prompt tokens, {}", speed(tokens, first, started.elapsed()));
    }
    Ok(Outcome::Clean)
}

fn sampling(args: &Args) -> Sampling {
    Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
        top_logprobs: 0,
    }
}

/// Tokens of the prompt; a chat template writes its own start token.
fn prompt_tokens(args: &Args, plan: &OpenPlan, tokenizer: &Tokenizer) -> anyhow::Result<Vec<u32>> {
    if let Some(message) = &args.chat {
        let template = ChatTemplate::from_plan(plan)?
            .context("this model has no chat template; give its prompt with -p instead of --chat")?;
        let message = Message { role: "user".into(), content: message.clone() };
        return Ok(tokenizer.encode(&template.render(&[message], true)?, AddSpecial::No)?);
    }
    let text = match &args.prompt {
        Some(text) => text.clone(),
        None => {
            if std::io::stdin().is_terminal() {
                eprintln!("reading the prompt from stdin; end it with Ctrl-D, or give it with -p or --chat");
            }
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("the prompt on stdin is not UTF-8 text")?;
            text
        }
    };
    Ok(tokenizer.encode(&text, AddSpecial::Yes)?)
}

/// The first token is kept apart from the rate of the rest, as benchmarks of serving do.
fn speed(tokens: usize, first: Duration, total: Duration) -> String {
    let rest = (total - first).as_secs_f64();
    let rate = if tokens > 1 && rest > 0.0 {
        format!(", {:.1} tok/s", (tokens - 1) as f64 / rest)
    } else {
        String::new()
    };
    format!("first token after {:.1} ms, {tokens} tokens{rate}", 1e3 * first.as_secs_f64())
}
