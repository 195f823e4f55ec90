//! Chat templates: Jinja as transformers runs it, with bounds on what a template may do.
//!
//! Instructions, the length of the result, indentation and panics are bounded. Memory is not where a template doubles a
//! text again and again: a template comes with the model and is trusted as far as the model is; messages are text to it and
//! never run.
//!
//! Encode a conversation by [`ChatTemplate::tokens`]: special tokens are the template's alone, whatever messages spell.

mod origins;

use std::collections::BTreeMap;

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, context, filters,
    syntax::SyntaxConfig,
    value::{Kwargs, StringInput},
};
use serde::{Deserialize, Serialize};

use crate::{
    library_panic::catch_library_panic,
    plan::OpenPlan,
    tokenizer::{TOKENIZER_CONFIG_FILE, TokenText, TokenizerError},
};

/// File of the template inside a plan; older checkpoints keep it in the tokenizer's settings.
pub const CHAT_TEMPLATE_FILE: &str = "chat_template.jinja";

/// Instructions that one rendering may take: a long conversation needs some ten thousand.
const FUEL: u64 = 10_000_000;
/// Bytes that a rendered conversation may have: more than any model's context.
const MAX_BYTES: usize = 64 << 20;
/// Spaces that the filter `indent` may add to a line.
const MAX_INDENT: usize = 1024;
const LIBRARY: &str = "minijinja";

/// Why a conversation cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// The template cannot be read.
    #[error("{file}: the chat template cannot be used: {reason}; compile a checkpoint with a sound one")]
    Template {
        /// Where it stands.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The template refused the messages, or went on for too long.
    #[error("the chat template refused the messages: {0}")]
    Refused(String),
    /// The text of the conversation cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl ChatError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            ChatError::Template { .. } => crate::error_code::BAD_TEMPLATE,
            ChatError::Refused(_) => crate::error_code::MESSAGES_REFUSED,
            ChatError::Tokenizer(refusal) => refusal.code(),
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said, as text.
    pub content: String,
}

/// A compiled chat template.
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    /// `bos_token` and its like, by name.
    tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// The template that `plan` carries, if it carries one.
    pub fn from_plan(plan: &OpenPlan) -> Result<Option<ChatTemplate>, ChatError> {
        ChatTemplate::from_files(&|name| plan.file(name))
    }

    /// The template among the files that `file` gives by name, if there is one.
    pub fn from_files<'f>(
        file: &dyn Fn(&str) -> Option<&'f [u8]>,
    ) -> Result<Option<ChatTemplate>, ChatError> {
        let wrong =
            |file, reason: &dyn std::fmt::Display| ChatError::Template { file, reason: reason.to_string() };
        let settings: BTreeMap<String, serde_json::Value> = match file(TOKENIZER_CONFIG_FILE) {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| wrong(TOKENIZER_CONFIG_FILE, &e))?,
            None => BTreeMap::new(),
        };
        let (name, source) = match file(CHAT_TEMPLATE_FILE) {
            Some(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|e| wrong(CHAT_TEMPLATE_FILE, &e))?;
                (CHAT_TEMPLATE_FILE, Some(text.to_owned()))
            }
            None => (TOKENIZER_CONFIG_FILE, settings.get("chat_template").and_then(default_template)),
        };
        let Some(source) = source else { return Ok(None) };
        let tokens = settings.into_iter().filter_map(|(name, value)| {
            let token: TokenText = serde_json::from_value(value).ok().filter(|_| name.ends_with("_token"))?;
            Some((name, token.text().to_owned()))
        });
        ChatTemplate::new(source, tokens.collect()).map(Some).map_err(|e| wrong(name, &e))
    }

    /// Compiles a template. `tokens` are the named special tokens that it may use, such as `bos_token`.
    pub fn new(source: String, tokens: BTreeMap<String, String>) -> Result<ChatTemplate, Error> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", tojson);
        environment.add_filter("indent", indent);
        // There is no `strftime_now`: the same conversation gives the same tokens every day. Templates that know
        // of it ask whether it is defined, and have a fixed date otherwise.
        catch_library_panic(LIBRARY, || environment.add_template_owned("chat", source.clone()))
            .map_err(|e| invalid(e.to_string()))?;
        Ok(ChatTemplate { source, environment, tokens })
    }

    /// The template's own text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation, for people: encoded as a whole, the special tokens that messages spell would be taken
    /// for the template's own (see [`ChatTemplate::tokens`]).
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ChatError> {
        let turn = |m: &Message| Value::from_pairs([("role", &m.role), ("content", &m.content)]);
        let given = context! {
            messages => messages.iter().map(turn).collect::<Vec<_>>(),
            add_generation_prompt,
            tools => Value::from(()),
            documents => Value::from(()),
            ..Value::from_pairs(&self.tokens)
        };
        let mut text = Bounded(vec![]);
        catch_library_panic(LIBRARY, || {
            self.environment.get_template("chat")?.render_captured_to(given, &mut text).map(drop)
        })
        .map_err(|e| ChatError::Refused(e.to_string()))?;
        String::from_utf8(text.0).map_err(|e| ChatError::Refused(e.to_string()))
    }
}

fn invalid(reason: String) -> Error {
    Error::new(ErrorKind::SyntaxError, reason)
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(std::io::Error::other(format!("the text exceeds {MAX_BYTES} bytes")));
        }
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The template of the settings: a text, or the one named `default` among several.
fn default_template(value: &serde_json::Value) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
        template: String,
    }
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let all: Vec<Named> = serde_json::from_value(value.clone()).ok()?;
    all.into_iter().find(|t| t.name == "default").map(|t| t.template)
}

/// Jinja's own filter, up to a width that makes sense.
fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let widest = width.max(kwargs.peek("width").ok());
    if widest.is_some_and(|width| width > MAX_INDENT) {
        let message = format!("indent: expected at most {MAX_INDENT} spaces, found {}", widest.unwrap_or(0));
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    filters::indent(text, width, first, blank, kwargs)
}

/// JSON as Python's `json.dumps` writes it, with nothing escaped for HTML.
fn tojson(value: Value, kwargs: Kwargs) -> Result<Value, Error> {
    let wrong = |e: serde_json::Error| Error::new(ErrorKind::InvalidOperation, e.to_string());
    let indent: Option<usize> = kwargs.get("indent")?;
    let _: Option<bool> = kwargs.get("ensure_ascii")?;
    kwargs.assert_all_used()?;
    let mut text = vec![];
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
                .map_err(wrong)?;
        }
        None => {
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Spaced)).map_err(wrong)?;
        }
    }
    Ok(Value::from_safe_string(String::from_utf8_lossy(&text).into_owned()))
}

/// `", "` and `": "` between elements.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, to: &mut W) -> std::io::Result<()> {
        to.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        ChatTemplate::new(source.to_owned(), tokens).unwrap()
    }

    fn say(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    #[test]
    fn renders_as_transformers_does() {
        let chat = template(
            "{{ bos_token }}{% for m in messages %}\n{{ m['role'].upper() }}: {{ m['content'] | trim }}\n\
             {% endfor %}\n{% if add_generation_prompt %}A:{% endif %}",
        );
        let text = chat.render(&[say("user", " {{ bos_token }} "), say("assistant", "no")], true).unwrap();
        // What users write is text and never a template.
        assert_eq!(text, "<s>USER: {{ bos_token }}\nASSISTANT: no\nA:");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let chat = template("{{ messages | tojson }}{{ {'a': [1, '<é>']} | tojson(indent=2) }}");
        let text = chat.render(&[say("user", "a<b'")], false).unwrap();
        let expected =
            "[{\"role\": \"user\", \"content\": \"a<b'\"}]{\n  \"a\": [\n    1,\n    \"<é>\"\n  ]\n}";
        assert_eq!(text, expected);
    }

    #[test]
    fn refusals_and_loops_are_errors() {
        let refused =
            template("{{ raise_exception('roles must alternate') }}").render(&[], false).unwrap_err();
        assert!(refused.to_string().contains("roles must alternate"), "{refused}");
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(matches!(template(endless).render(&[], false), Err(ChatError::Refused(_))));
        assert!(matches!(template("{{ nothing.field }}").render(&[], false), Err(ChatError::Refused(_))));
        let long = "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}";
        assert!(matches!(template(long).render(&[], false), Err(ChatError::Refused(_))));
        for wide in ["{{ 'a\nb' | indent(999999999999) }}", "{{ 'a\nb' | indent(width=999999999999) }}"] {
            assert!(matches!(template(wide).render(&[], false), Err(ChatError::Refused(_))));
        }
        assert_eq!(template("{{ 'a\nb' | indent(2) }}").render(&[], false).unwrap(), "a\n  b");
        assert_eq!(
            template("{{ nothing }}{{ strftime_now is defined }}").render(&[], false).unwrap(),
            "False"
        );
    }
}
