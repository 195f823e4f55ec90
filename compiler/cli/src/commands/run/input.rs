//! Where the prompt comes from.

use std::{
    fmt::Display,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::Context;
use samp_compiler::{error_code::UNREADABLE_DATA, wrong_path::expect_path};
use samp_runtime::{
    Wanted,
    chat::Date,
    outside_file::{read_at_most, read_regular_or_pipe},
};

use crate::{error_code, failure::Failure, output::say};

/// More text than any model's context; what is longer is no prompt.
const MAX_PROMPT_BYTES: u64 = 1 << 26;

/// What is to be continued or answered
#[derive(clap::Args)]
pub struct InputArgs {
    /// Continue this text, the whole prompt: special tokens that it spells, such as <|eot_id|>, are special
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["chat", "prompt_file"])]
    prompt: Option<String>,
    /// Continue the text of this file, or answer it with --chat; - is stdin
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Answer this message, through the model's chat template. Without TEXT: a conversation on a terminal, otherwise one
    /// message from --prompt-file or stdin. Special tokens that a message spells are text
    #[arg(long, value_name = "TEXT", num_args = 0..=1)]
    chat: Option<Option<String>>,
    /// What the model is told before the messages of --chat
    #[arg(long, value_name = "TEXT", requires = "chat", conflicts_with = "prompt")]
    pub system: Option<String>,
    /// The date that the chat template is told, where it asks for today's; the same one on every day unless given
    #[arg(long, value_name = "YYYY-MM-DD", requires = "chat", conflicts_with = "prompt")]
    pub date: Option<Date>,
}

/// What is to be generated from.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// Text to continue.
    Text(String),
    /// A message to answer.
    Message(String),
    /// Messages that someone types as they are answered.
    Conversation,
}

impl InputArgs {
    /// Whether someone at a terminal is to type messages.
    pub fn is_conversation(&self) -> bool {
        self.chat == Some(None) && self.prompt_file.is_none() && std::io::stdin().is_terminal()
    }

    /// Reads what is to be generated from.
    pub fn read(&self) -> anyhow::Result<Input> {
        match (&self.chat, &self.prompt) {
            (None, Some(text)) => Ok(Input::Text(text.clone())),
            (None, None) => Ok(Input::Text(self.read_text()?)),
            (Some(Some(_)), _) if self.prompt_file.is_some() => {
                let message = "--chat has a message and --prompt-file another";
                Err(Failure::new(error_code::USAGE, message).hint("give one, or --chat without TEXT").into())
            }
            (Some(Some(message)), _) => Ok(Input::Message(message.clone())),
            (Some(None), _) if self.is_conversation() => Ok(Input::Conversation),
            (Some(None), _) => Ok(Input::Message(self.read_text()?)),
        }
    }

    /// The text of --prompt-file, or all of stdin.
    fn read_text(&self) -> anyhow::Result<String> {
        match self.prompt_file.as_deref().filter(|path| *path != Path::new("-")) {
            Some(path) => {
                expect_path(path, Wanted::File("a file of text", &[".txt"]), UNREADABLE_DATA)?;
                let bytes = read_regular_or_pipe(path, MAX_PROMPT_BYTES)
                    .with_context(|| format!("{}: the prompt file cannot be read", path.display()))?;
                let not_text = || Failure::new(error_code::PROMPT, "the prompt file is not UTF-8 text");
                Ok(String::from_utf8(bytes).map_err(|_| not_text().in_file(path.display().to_string()))?)
            }
            None => {
                if std::io::stdin().is_terminal() {
                    say("reading the prompt from stdin; end it with Ctrl-D, or give it with -p or --chat");
                }
                let refuse = |why: &dyn Display| {
                    Failure::new(error_code::PROMPT, format!("the prompt on stdin: {why}"))
                };
                let bytes =
                    read_at_most(std::io::stdin().lock(), MAX_PROMPT_BYTES).map_err(|why| refuse(&why))?;
                Ok(String::from_utf8(bytes).map_err(|why| refuse(&why))?)
            }
        }
    }
}
