//! The calls of tools that a choice makes, as they come.

use std::collections::BTreeMap;

use samp_kernels::random::mix64;
use serde_json::{Value, json};

use crate::tools::{Piece, ToolParser};

/// Characters of a call's id: as many as Mistral's templates take, which take no others.
const ID_LENGTH: u32 = 9;

/// The calls that a choice makes.
pub struct ToolCalls {
    parser: ToolParser,
    random: u64,
    /// What was not told yet, by the number of the call.
    news: BTreeMap<usize, News>,
}

#[derive(Default)]
struct News {
    /// With the call's first news.
    name: Option<String>,
    arguments: String,
}

impl ToolCalls {
    /// None yet. `random` names the calls.
    pub fn new(parser: ToolParser, random: u64) -> ToolCalls {
        ToolCalls { parser, random, news: BTreeMap::new() }
    }

    /// More of the answer came, perhaps its end; gives the text that is no call.
    pub fn push(&mut self, text: &str, ended: bool) -> String {
        let mut pieces = self.parser.push(text);
        // Calls before these.
        let begun = pieces.iter().filter(|piece| matches!(piece, Piece::Call(_))).count();
        let mut next = self.parser.calls() - begun;
        if ended {
            pieces.extend(self.parser.finish());
        }
        let mut rest = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => rest.push_str(&text),
                Piece::Call(name) => {
                    self.news.entry(next).or_default().name = Some(name);
                    next += 1;
                }
                Piece::Arguments(text) => {
                    self.news.entry(next.saturating_sub(1)).or_default().arguments.push_str(&text);
                }
            }
        }
        rest
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.parser.calls() > 0
    }

    /// Whether something was not told yet.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What was not told yet, as `delta.tool_calls` of an event.
    pub fn news(&mut self) -> Value {
        let told =
            std::mem::take(&mut self.news).into_iter().map(|(index, News { name, arguments })| match name {
                Some(name) => {
                    let mut call = self.call(index, name, arguments);
                    call["index"] = json!(index);
                    call
                }
                None => json!({ "index": index, "function": { "arguments": arguments } }),
            });
        told.collect()
    }

    /// All of them, as `message.tool_calls`.
    pub fn whole(mut self) -> Value {
        let calls = std::mem::take(&mut self.news).into_iter();
        calls.map(|(index, news)| self.call(index, news.name.unwrap_or_default(), news.arguments)).collect()
    }

    fn call(&self, index: usize, name: String, arguments: String) -> Value {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "id": self.id(index), "type": "function", "function": function })
    }

    /// Letters and digits that name a call.
    fn id(&self, index: usize) -> String {
        let mut random = mix64(self.random.wrapping_add(index as u64));
        let digit = |_| {
            let digit = char::from_digit((random % 36) as u32, 36);
            random /= 36;
            digit
        };
        (0..ID_LENGTH).filter_map(digit).collect()
    }
}
