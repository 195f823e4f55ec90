//! `samp run`: text from a plan.

mod conversation;
mod input;
mod interrupt;
mod sampling_args;
mod stream;

use std::{
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use samp_runtime::{
    AddSpecial, CachedSequence, ChatTemplate, Completion, Engine, Finish, GenerationConfig, Message,
    OpenPlan, Request, Tokenizer, generate, generate_in,
};
use schemars::JsonSchema;
use serde::Serialize;

use self::{
    input::{Input, InputArgs},
    sampling_args::SamplingArgs,
    stream::{Speed, Stream},
};
use crate::{
    device_args::{DeviceArgs, ThreadArgs},
    error_code,
    failure::Failure,
    identity::IdentityArgs,
    output::{Outcome, print, print_json, say},
};

/// Tokens that an answer has at most where neither the command nor the model says.
const MAX_TOKENS: usize = 128;

/// Generate text from a plan, streaming it to stdout
///
/// The prompt comes from -p, --prompt-file or stdin and is continued, or is a message that --chat answers through the
/// model's chat template. How tokens are chosen is said on stderr.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Most tokens to generate [default: max_new_tokens of the model's generation_config.json, else 128; in a conversation,
    /// as many as fit]
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Stop before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on past end-of-text tokens
    #[arg(long)]
    ignore_eos: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize, JsonSchema)]
pub struct Report<'a> {
    text: &'a str,
    tokens: &'a [u32],
    #[schemars(with = "String")]
    finish: Finish,
    prompt_tokens: usize,
    times: Times,
}

/// How long a run took, in milliseconds.
#[derive(Serialize, JsonSchema)]
struct Times {
    /// Opening the plan, reading the prompt and loading the weights.
    load_ms: f64,
    /// From the prompt to the first token; `null` without one.
    first_token_ms: Option<f64>,
    /// From the prompt to the last token; `null` without one.
    generation_ms: Option<f64>,
    /// From the start of the command to the last token.
    total_ms: f64,
    /// Tokens a second after the first one.
    tokens_per_second: Option<f64>,
}

impl Times {
    fn new(load: Duration, total: Duration, speed: Option<Speed>) -> Times {
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        Times {
            load_ms: ms(load),
            first_token_ms: speed.map(|speed| ms(speed.first)),
            generation_ms: speed.map(|speed| ms(speed.total)),
            total_ms: ms(total),
            tokens_per_second: speed.and_then(|speed| speed.rate()),
        }
    }
}

/// Generates and prints.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    if args.json && args.input.is_conversation() {
        let message = "--json prints one document, and a conversation has no end";
        return Err(Failure::new(error_code::USAGE, message).hint("give the message: --chat TEXT").into());
    }
    let plan = samp_runtime::open(&args.plan)?;
    args.identity.require(&plan)?;
    let tokenizer = Tokenizer::from_plan(&plan)?;
    match args.input.read()? {
        Input::Conversation => converse(args, plan, &tokenizer),
        Input::Text(text) => {
            let prompt = tokenizer.encode(&text, AddSpecial::Yes)?;
            once(args, plan, &tokenizer, prompt, started)
        }
        Input::Message(message) => {
            let system = args.input.system.iter().map(|text| Message::new("system", text));
            let messages: Vec<Message> = system.chain([Message::new("user", message)]).collect();
            let prompt = chat_template(args, &plan)?.tokens(&tokenizer, &messages.into(), true)?;
            once(args, plan, &tokenizer, prompt, started)
        }
    }
}

/// One prompt, and what follows it.
fn once(
    args: &Args,
    plan: OpenPlan,
    tokenizer: &Tokenizer,
    prompt: Vec<u32>,
    started: Instant,
) -> anyhow::Result<Outcome> {
    let prompt_tokens = prompt.len();
    let config = GenerationConfig::from_plan(&plan);
    let max_tokens = args.max_tokens.or(config.settings.max_new_tokens).unwrap_or(MAX_TOKENS);
    let request = Request { prompt, ..request(args, &config, max_tokens)? };
    // What a GPU takes minutes to load is not loaded for a request that is refused.
    Completion::new(tokenizer, plan.manifest(), request.clone())?;
    let kv_tokens = (prompt_tokens.saturating_add(max_tokens) as u64).min(plan.manifest().limits.max_context);
    let mut engine = args.device.load(plan, kv_tokens)?;
    let load = started.elapsed();
    let mut stream = Stream::new(args.json);
    let generated = generate(&mut engine, tokenizer, request, |delta| stream.take(delta))?;
    let speed = stream.finish(generated.tokens.len())?;
    if args.json {
        print_json(&Report {
            text: &generated.text,
            tokens: &generated.tokens,
            finish: generated.finish,
            prompt_tokens,
            times: Times::new(load, started.elapsed(), speed),
        })?;
    } else {
        print("\n")?;
    }
    if let Some(speed) = speed {
        say(format_args!("{prompt_tokens} prompt tokens, {speed}"));
    }
    note_full_context(&engine, generated.finish);
    Ok(Outcome::Clean)
}

/// Messages from a terminal, each answered with all that was said before it.
fn converse(args: &Args, plan: OpenPlan, tokenizer: &Tokenizer) -> anyhow::Result<Outcome> {
    let template = chat_template(args, &plan)?;
    let config = GenerationConfig::from_plan(&plan);
    let request = request(args, &config, args.max_tokens.unwrap_or(usize::MAX))?;
    let kv_tokens = plan.manifest().limits.max_context;
    let mut engine = args.device.load(plan, kv_tokens)?;
    let mut sequence = CachedSequence::new(&mut engine)?;
    interrupt::install()?;
    let mut answer = |messages: &[Message]| {
        let request =
            Request { prompt: template.tokens(tokenizer, &messages.into(), true)?, ..request.clone() };
        let mut stream = Stream::new(false);
        let generated = interrupt::during(|| {
            generate_in(&mut engine, &mut sequence, tokenizer, request, |delta| match stream.take(delta) {
                ControlFlow::Continue(()) if interrupt::asked() => ControlFlow::Break(()),
                taken => taken,
            })
        })?;
        stream.finish(generated.tokens.len())?;
        print("\n")?;
        note_full_context(&engine, generated.finish);
        Ok(generated)
    };
    let (mut lines, mut notes) = (std::io::stdin().lock(), std::io::stderr());
    conversation::converse(&mut lines, &mut notes, args.input.system.as_deref(), &mut answer)?;
    Ok(Outcome::Clean)
}

fn chat_template(args: &Args, plan: &OpenPlan) -> anyhow::Result<ChatTemplate> {
    let missing = || Failure::new(samp_runtime::error_code::NO_TEMPLATE, "this model has no chat template");
    let found = ChatTemplate::from_plan(plan)?;
    let template = found.ok_or_else(|| missing().hint("give its prompt with -p instead of --chat"))?;
    Ok(match args.input.date {
        Some(date) => template.at(date)?,
        None => template,
    })
}

/// What the flags say of a request, the prompt aside.
fn request(args: &Args, config: &GenerationConfig, max_tokens: usize) -> anyhow::Result<Request> {
    Ok(Request {
        prompt: vec![],
        sampling: args.sampling.choose(config)?,
        max_tokens,
        stop: args.stop.clone(),
        ignore_eos: args.ignore_eos,
        ..Request::default()
    })
}

/// Says where the context ended an answer, and what would make it longer.
fn note_full_context(engine: &Engine, finish: Finish) {
    if finish == Finish::ContextFull {
        let limit = engine.limits().max_context;
        say(format_args!(
            "the plan's context of {limit} positions is full; compile the model with a larger --max-model-len for more"
        ));
    }
}
