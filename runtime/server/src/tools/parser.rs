//! An answer as it comes, taken apart into text and calls of tools.

use std::sync::Arc;

use super::{
    scanner::{CallScanner, Progress},
    style::ToolStyle,
};

/// The most characters that a name before its arguments may have.
const MAX_NAME: usize = 128;

/// Something new of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that is no call.
    Text(String),
    /// A call of a tool begins.
    Call(String),
    /// More of the arguments of the call that began last, as JSON.
    Arguments(String),
}

/// Takes an answer apart. What names no tool of the request is text, as is a call that breaks off before its arguments.
pub struct ToolParser {
    style: ToolStyle,
    tools: Arc<[String]>,
    /// Whether there may be more than one call.
    several: bool,
    state: State,
    /// What has come and is not told apart yet.
    held: String,
    /// What was taken for the beginning of a call, given back as text where it is none.
    begun: String,
    calls: usize,
    pieces: Vec<Piece>,
}

enum State {
    /// Before the first character that says whether the answer is a call.
    Start,
    Text,
    /// Between an opener and a call, or behind one.
    Between,
    /// In a name that stands before its arguments.
    Name,
    /// In a call, and whether it was told of.
    Call(Box<CallScanner>, bool),
    /// After the only call.
    Over,
}

impl ToolParser {
    /// For answers that may call these tools; `called` where the prompt ends with the style's opening, so that the answer
    /// begins with a call.
    pub fn new(style: ToolStyle, tools: Arc<[String]>, several: bool, called: bool) -> ToolParser {
        let state = if called { State::Between } else { State::Start };
        let (held, begun, pieces) = Default::default();
        ToolParser { style, tools, several, state, held, begun, calls: 0, pieces }
    }

    /// More of the answer has come; gives what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        while self.advance() {}
        std::mem::take(&mut self.pieces)
    }

    /// The answer has ended; gives what was held back.
    pub fn finish(&mut self) -> Vec<Piece> {
        let told = matches!(self.state, State::Over | State::Call(_, true));
        if !told {
            let rest = std::mem::take(&mut self.begun) + &std::mem::take(&mut self.held);
            // White space between calls is no text.
            let rest = if self.calls > 0 { rest.trim_end() } else { &rest };
            self.text(rest);
        }
        std::mem::take(&mut self.pieces)
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.calls
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text.to_owned()));
        }
    }

    /// Takes something of what is held; whether there may be more to take.
    fn advance(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        match self.state {
            State::Start => self.start(),
            State::Text => self.find_opener(),
            State::Between => self.between(),
            State::Name => self.read_name(),
            State::Call(..) => self.read_call(),
            State::Over => {
                self.held.clear();
                false
            }
        }
    }

    fn start(&mut self) -> bool {
        let Some(first) = self.held.trim_start().chars().next() else { return false };
        let calls = self.style == ToolStyle::Llama3 && first == '{';
        self.state = if calls { State::Between } else { State::Text };
        if calls {
            let braces = self.held.len() - self.held.trim_start().len();
            self.begun = self.held.drain(..braces).collect();
        }
        true
    }

    fn find_opener(&mut self) -> bool {
        let opener = self.style.opener();
        if let Some(at) = self.held.find(opener) {
            let before: String = self.held.drain(..at).collect();
            self.text(before.trim_end());
            self.begun = before[before.trim_end().len()..].to_owned() + opener;
            self.held.drain(..opener.len());
            self.state = State::Between;
            return true;
        }
        // What may be the beginning of an opener waits, with the white space before it.
        let waits = longest_beginning(&self.held, opener);
        let certain = self.held[..self.held.len() - waits].trim_end().len();
        let certain: String = self.held.drain(..certain).collect();
        self.text(&certain);
        false
    }

    fn between(&mut self) -> bool {
        let held = self.held.as_str();
        let (Some(first), opener) = (held.chars().next(), self.style.opener()) else { return false };
        if first == '{' {
            self.state = State::Call(Box::new(CallScanner::new()), false);
            return true;
        }
        let known = self.style.separators();
        let separator = known.iter().find(|(text, _)| held.starts_with(text)).copied();
        if held.starts_with(opener) {
            self.take(opener.len());
        } else if opener.starts_with(held) {
            return false;
        } else if let Some((text, ends)) = separator {
            self.take(text.len());
            if ends && self.begun.trim().is_empty() {
                self.begun.clear();
                self.state = State::Text;
            }
        } else if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if self.style.names_first() && is_of_name(first) {
            self.state = State::Name;
        } else if known.iter().any(|(text, _)| text.starts_with(held)) {
            return false;
        } else {
            self.give_back();
        }
        true
    }

    /// Passes over what stands before a call: kept in case there is none. What only ends the call before is not.
    fn take(&mut self, length: usize) {
        let taken: String = self.held.drain(..length).collect();
        let opens = taken == self.style.opener();
        if opens || self.calls == 0 || !self.begun.is_empty() {
            self.begun.push_str(&taken);
        }
    }

    /// It was no call.
    fn give_back(&mut self) {
        let begun = std::mem::take(&mut self.begun);
        self.text(&begun);
        self.state = State::Text;
    }

    fn read_name(&mut self) -> bool {
        let end = self.held.find(|c: char| !is_of_name(c)).unwrap_or(self.held.len());
        let rest = &self.held[end..];
        let behind = ["[ARGS]", "[CALL_ID]"].into_iter().find(|marker| rest.starts_with(marker));
        let arguments = match (behind, rest.chars().next()) {
            (None, Some('{')) => Some(end),
            (Some("[ARGS]"), _) => Some(end + "[ARGS]".len()),
            // A name for the call, which the server gives anew.
            (Some(_), _) => match self.held.find("[ARGS]") {
                Some(at) => Some(at + "[ARGS]".len()),
                None if rest.len() <= MAX_NAME => return false,
                None => None,
            },
            (None, None) if end <= MAX_NAME => return false,
            _ if "[ARGS]".starts_with(rest) || "[CALL_ID]".starts_with(rest) => return false,
            _ => None,
        };
        let name = self.held[..end].to_owned();
        match arguments.filter(|_| self.tools.contains(&name)) {
            Some(length) => {
                let before: String = self.held.drain(..length).collect();
                self.begun.push_str(&before);
                self.state = State::Call(Box::new(CallScanner::of_arguments(name)), false);
            }
            None => self.give_back(),
        }
        true
    }

    /// Every decision falls at a character, so that an answer comes apart the same in whatever chunks it comes.
    fn read_call(&mut self) -> bool {
        let State::Call(scanner, told) = &mut self.state else { return false };
        let (mut progress, mut read) = (Progress::Open, 0);
        for c in self.held.chars() {
            read += c.len_utf8();
            let named = scanner.name().is_some();
            progress = scanner.push(c);
            if !named && scanner.name().is_some_and(|name| !self.tools.iter().any(|tool| tool == name)) {
                progress = Progress::Broken;
            }
            // A client is told of a call with the first of its arguments; whatever breaks off before is text.
            if !*told && progress != Progress::Broken && scanner.name().is_some() && scanner.has_arguments() {
                *told = true;
                self.calls += 1;
                self.pieces.push(Piece::Call(scanner.name().unwrap_or_default().to_owned()));
            }
            if progress != Progress::Open {
                break;
            }
        }
        let read: String = self.held.drain(..read).collect();
        let (told, arguments) = (*told, scanner.take_arguments_if(*told));
        if told {
            self.begun.clear();
            self.pieces.extend(arguments.map(Piece::Arguments));
        } else {
            self.begun.push_str(&read);
        }
        match progress {
            Progress::Open => return false,
            Progress::Broken if !told => self.give_back(),
            _ if !self.several => self.state = State::Over,
            Progress::Broken => self.state = State::Text,
            Progress::Done => self.state = State::Between,
        }
        true
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Bytes of the longest end of a text that is a beginning of `opener`.
fn longest_beginning(text: &str, opener: &str) -> usize {
    let lengths = (1..opener.len()).rev();
    lengths.into_iter().find(|length| text.ends_with(&opener[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
