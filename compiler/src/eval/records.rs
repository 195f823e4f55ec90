//! Evaluation data: JSON lines, each a text or a multiple-choice question.

use std::path::Path;

use samp_ir::Diagnostic;
use serde::Deserialize;

pub use crate::jsonl::NO_STRATUM;
use crate::jsonl::{NotARecord, parse_lines, read_text};

const HINT: &str =
    "each line is an object with `text`, or with `prompt`, `choices` and `answer`; `stratum` is optional";

/// One line of an evaluation file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its line in the file, counted from 1.
    pub line: usize,
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

#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    prompt: Option<String>,
    choices: Option<Vec<String>>,
    answer: Option<usize>,
    stratum: Option<String>,
}

/// Reads a file of JSON lines. Empty lines are passed over; everything else must be a record.
pub fn read_records(path: &Path) -> Result<Vec<Record>, Diagnostic> {
    parse_lines(&path.display().to_string(), &read_text(path, &[])?, HINT, parse_line)
}

fn parse_line(number: usize, text: &str) -> Result<Record, NotARecord> {
    let line: Line = serde_json::from_str(text).map_err(|e| NotARecord::malformed(&e))?;
    let task = match line {
        Line { text: Some(text), prompt: None, choices: None, answer: None, .. } => Task::Text(text),
        Line { text: None, prompt: Some(prompt), choices: Some(choices), answer: Some(answer), .. } => {
            if answer >= choices.len() {
                let choices = choices.len();
                let fault =
                    format!("expected `answer` below {choices} (the number of choices), found {answer}");
                return Err(NotARecord(fault));
            }
            Task::Choice { prompt, choices, answer }
        }
        _ => {
            let fault = "expected either `text`, or `prompt` with `choices` and `answer`";
            return Err(NotARecord(fault.into()));
        }
    };
    Ok(Record { line: number, stratum: line.stratum.unwrap_or_else(|| NO_STRATUM.into()), task })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_texts_or_choices() {
        let text = parse_line(7, r#"{"text": "a", "stratum": "code", "source": "x"}"#).unwrap();
        assert_eq!(text, Record { line: 7, stratum: "code".into(), task: Task::Text("a".into()) });
        let choice = parse_line(7, r#"{"prompt": "a", "choices": ["b", "c"], "answer": 1}"#).unwrap();
        assert_eq!(choice.stratum, NO_STRATUM);
        assert!(
            parse_line(7, r#"{"prompt": "a", "choices": ["b"], "answer": 1}"#)
                .unwrap_err()
                .0
                .contains("below 1")
        );
        assert!(parse_line(7, r#"{"stratum": "code"}"#).is_err());
        assert!(parse_line(7, "[").is_err());
    }
}
