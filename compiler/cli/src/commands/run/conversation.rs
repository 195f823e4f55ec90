//! A conversation, one message a line.

use std::io::{BufRead, Write};

use anyhow::Context;
use samp_runtime::{Finish, GenerateError, Generated, Message};

/// Reads messages from `lines` and has `answer` answer each with all that was said before it, until `/exit` or the end.
/// `notes` takes the prompt and what is said about the conversation.
///
/// A message that does not fit the context is refused and forgotten, so that a shorter one or `/new` can follow.
pub fn converse(
    lines: &mut dyn BufRead,
    notes: &mut dyn Write,
    system: Option<&str>,
    answer: &mut dyn FnMut(&[Message]) -> anyhow::Result<Generated>,
) -> anyhow::Result<()> {
    writeln!(notes, "one message a line; /new begins another conversation, /exit or Ctrl-D ends")?;
    let opening: Vec<Message> = system.map(|text| say("system", text)).into_iter().collect();
    let mut messages = opening.clone();
    while let Some(line) = next_line(lines, notes)? {
        match line.trim() {
            "" => continue,
            "/exit" => return Ok(()),
            "/new" => {
                messages.clone_from(&opening);
                continue;
            }
            _ => messages.push(say("user", &line)),
        }
        match answer(&messages) {
            Ok(generated) => {
                messages.push(say("assistant", &generated.text));
                if generated.finish == Finish::ContextFull {
                    writeln!(notes, "no more fits this conversation: /new begins another")?;
                }
            }
            Err(error) if does_not_fit(&error) => {
                messages.pop();
                writeln!(notes, "{error:#}; /new begins another conversation")?;
            }
            Err(error) => return Err(error),
        }
    }
    writeln!(notes)?;
    Ok(())
}

fn say(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn does_not_fit(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GenerateError::NoRoom { .. }))
}

/// The next line without its end; `None` where there is no more. A line that is no text is said and left out.
fn next_line(lines: &mut dyn BufRead, notes: &mut dyn Write) -> anyhow::Result<Option<String>> {
    loop {
        write!(notes, "> ")?;
        notes.flush()?;
        let mut bytes = vec![];
        if lines.read_until(b'\n', &mut bytes).context("the next message cannot be read")? == 0 {
            return Ok(None);
        }
        match String::from_utf8(bytes) {
            Ok(line) => return Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
            Err(_) => writeln!(notes, "this line is not UTF-8 text; type it again")?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was answered to, each with its history, and the notes.
    fn conversation(
        typed: &[u8],
        mut answer: impl FnMut(&[Message]) -> anyhow::Result<Generated>,
    ) -> (Vec<Vec<String>>, String) {
        let (mut asked, mut notes) = (vec![], vec![]);
        let mut recorded = |messages: &[Message]| {
            asked.push(messages.iter().map(|m| format!("{}: {}", m.role(), m.text().unwrap())).collect());
            answer(messages)
        };
        converse(&mut &*typed, &mut notes, Some("Be brief."), &mut recorded).unwrap();
        (asked, String::from_utf8(notes).unwrap())
    }

    fn generated(text: &str, finish: Finish) -> Generated {
        Generated { text: text.into(), tokens: vec![1], finish }
    }

    #[test]
    fn each_message_comes_with_all_that_was_said_before_it() {
        let (asked, _) = conversation(b"one\r\n\n  \ntwo\n/new\nthree\n/exit\nfour\n", |messages| {
            Ok(generated(&format!("answer {}", messages.len()), Finish::Stop))
        });
        assert_eq!(asked[0], ["system: Be brief.", "user: one"]);
        assert_eq!(asked[1], ["system: Be brief.", "user: one", "assistant: answer 2", "user: two"]);
        assert_eq!(asked[2], ["system: Be brief.", "user: three"]);
        assert_eq!(asked.len(), 3);
    }

    #[test]
    fn what_does_not_fit_is_said_and_forgotten() {
        let (asked, notes) = conversation(b"\xff\nlong\nshort\n", |messages| {
            if messages.last().unwrap().text() == Some("long") {
                return Err(GenerateError::NoRoom { tokens: 99, limit: 48 }.into());
            }
            Ok(generated("so", Finish::ContextFull))
        });
        assert_eq!(asked[1], ["system: Be brief.", "user: short"]);
        for said in ["not UTF-8", "99 tokens", "of 48", "--max-model-len", "no more fits"] {
            assert!(notes.contains(said), "{said}: {notes}");
        }
    }
}
