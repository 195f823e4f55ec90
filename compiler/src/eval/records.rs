//! Evaluation data: the texts and conversations that calibration reads, and multiple-choice questions.

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::Conversation;
use serde::{Deserialize, de::IgnoredAny};

pub use crate::jsonl::NO_STRATUM;
use crate::{
    jsonl::NotARecord,
    quantize::data::{self, Content, SourceRecord},
};

const HINT: &str = "each line is an object with `text`, with `messages`, or with `prompt`, `choices` and `answer`; `stratum` \
                    is optional";

/// One record of an evaluation file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its line, row or document in the file, counted from 1.
    pub number: usize,
    /// The part of the data that it is reported under.
    pub stratum: String,
    /// What is judged.
    pub task: Task,
}

/// What a record asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Predict each next token of a text.
    Text(String),
    /// Predict each next token of a conversation, as the chat template writes it.
    Chat(Conversation),
    /// Choose the continuation of a prompt.
    Choice {
        /// Text before the continuation.
        prompt: String,
        /// The continuations to choose from.
        choices: Vec<String>,
        /// Index of the right one.
        answer: usize,
    },
}

impl From<SourceRecord> for Record {
    fn from(SourceRecord { content, stratum, number, .. }: SourceRecord) -> Record {
        let task = match content {
            Content::Text(text) => Task::Text(text),
            Content::Chat(conversation) => Task::Chat(conversation),
        };
        Record { number, stratum, task }
    }
}

/// What makes a line a question, and what a question does not have.
#[derive(Deserialize)]
struct Line {
    text: Option<IgnoredAny>,
    messages: Option<IgnoredAny>,
    prompt: Option<String>,
    choices: Option<Vec<String>>,
    answer: Option<usize>,
    stratum: Option<String>,
}

/// Reads a file of records: those that calibration reads, in each form of file that it reads, and questions in JSON lines.
pub fn read_records(path: &Path) -> Result<Vec<Record>, Diagnostic> {
    data::read_with(path, HINT, parse_line, Record::from)
}

fn parse_line(number: usize, text: &str) -> Result<Record, NotARecord> {
    let line: Line = serde_json::from_str(text).map_err(|e| NotARecord::malformed(&e))?;
    match line {
        Line { prompt: None, choices: None, answer: None, .. } => Ok(data::parse_line(number, text)?.into()),
        Line {
            text: None,
            messages: None,
            prompt: Some(prompt),
            choices: Some(choices),
            answer: Some(answer),
            stratum,
        } => {
            if answer >= choices.len() {
                let choices = choices.len();
                let fault =
                    format!("expected `answer` below {choices} (the number of choices), found {answer}");
                return Err(NotARecord(fault));
            }
            let stratum = stratum.unwrap_or_else(|| NO_STRATUM.into());
            Ok(Record { number, stratum, task: Task::Choice { prompt, choices, answer } })
        }
        _ => {
            let fault = "expected either `text`, or `messages`, or `prompt` with `choices` and `answer`";
            Err(NotARecord(fault.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_texts_conversations_or_choices() {
        let text = parse_line(7, r#"{"text": "a", "stratum": "code", "source": "x"}"#).unwrap();
        assert_eq!(text, Record { number: 7, stratum: "code".into(), task: Task::Text("a".into()) });
        let choice = parse_line(7, r#"{"prompt": "a", "choices": ["b", "c"], "answer": 1}"#).unwrap();
        assert_eq!(choice.stratum, NO_STRATUM);
        assert!(
            parse_line(7, r#"{"prompt": "a", "choices": ["b"], "answer": 1}"#)
                .unwrap_err()
                .0
                .contains("below 1")
        );
        let chat = parse_line(7, r#"{"messages": [{"role": "user", "content": "b"}]}"#).unwrap();
        let messages = vec![samp_runtime::Message::new("user", "b")].into();
        assert_eq!(chat, Record { number: 7, stratum: NO_STRATUM.into(), task: Task::Chat(messages) });
        let mixed = parse_line(7, r#"{"messages": [], "prompt": "a", "choices": ["b"], "answer": 0}"#);
        assert!(mixed.unwrap_err().0.contains("either `text`, or `messages`"));
        assert!(parse_line(7, r#"{"prompt": "a"}"#).is_err());
        assert!(parse_line(7, r#"{"stratum": "code"}"#).is_err());
        assert!(parse_line(7, "[").is_err());
    }
}
