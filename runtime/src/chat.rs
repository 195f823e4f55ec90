//! Chat templates: Jinja as transformers runs it, with bounds on what a template may do.
//!
//! Instructions, the length of the result, indentation and panics are bounded. Memory is not where a template doubles a
//! text again and again: a template comes with the model and is trusted as far as the model is; messages are text to it and
//! never run.
//!
//! Encode a conversation by [`ChatTemplate::tokens`]: special tokens are the template's alone, whatever messages spell.

mod cycler;
mod date;
mod dialect;
mod environment;
mod filters;
mod json;
mod message;
mod methods;
mod named_tokens;
mod origins;

use std::collections::BTreeMap;

use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

pub use self::{
    date::{Date, NoDate},
    message::{Conversation, Message, NoMessage},
};
pub use minijinja::{Value as TemplateValue, value::ValueKind};

use self::named_tokens::{SPECIAL_TOKENS_FILE, named_tokens};
use crate::{
    library_panic::catch_library_panic,
    plan::OpenPlan,
    tokenizer::{TOKENIZER_CONFIG_FILE, TokenizerError},
};

/// File of the template inside a plan; older checkpoints keep it in the tokenizer's settings.
pub const CHAT_TEMPLATE_FILE: &str = "chat_template.jinja";

/// Bytes that a rendered conversation may have: more than any model's context.
const MAX_BYTES: usize = 64 << 20;
const LIBRARY: &str = "minijinja";
/// The template for conversations, and the one for those with tools where there is another.
const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

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

/// A compiled chat template.
pub struct ChatTemplate {
    sources: TemplateSources,
    environment: Environment<'static>,
    /// `bos_token` and its like, by name.
    tokens: BTreeMap<String, String>,
}

/// The texts of a model's templates.
struct TemplateSources {
    default: String,
    tool_use: Option<String>,
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
        let object = |name: &'static str| -> Result<Map<String, serde_json::Value>, ChatError> {
            let parsed = file(name).map(|bytes| serde_json::from_slice(bytes).map_err(|e| wrong(name, &e)));
            Ok(parsed.transpose()?.unwrap_or_default())
        };
        let settings = object(TOKENIZER_CONFIG_FILE)?;
        let (name, sources) = match file(CHAT_TEMPLATE_FILE) {
            Some(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|e| wrong(CHAT_TEMPLATE_FILE, &e))?;
                let sources = TemplateSources { default: text.to_owned(), tool_use: None };
                (CHAT_TEMPLATE_FILE, Some(sources))
            }
            None => {
                (TOKENIZER_CONFIG_FILE, settings.get("chat_template").and_then(TemplateSources::in_settings))
            }
        };
        let Some(sources) = sources else { return Ok(None) };
        let tokens = named_tokens(&settings, &object(SPECIAL_TOKENS_FILE)?);
        ChatTemplate::compile(sources, tokens, Date::default()).map(Some).map_err(|e| wrong(name, &e))
    }

    /// Compiles a template. `tokens` are the named special tokens that it may use, such as `bos_token`.
    pub fn new(source: String, tokens: BTreeMap<String, String>) -> Result<ChatTemplate, Error> {
        let sources = TemplateSources { default: source, tool_use: None };
        ChatTemplate::compile(sources, tokens, Date::default())
    }

    /// The same template on another day: what `strftime_now` says, the same one on every day unless this is called.
    pub fn at(self, date: Date) -> Result<ChatTemplate, Error> {
        ChatTemplate::compile(self.sources, self.tokens, date)
    }

    fn compile(
        sources: TemplateSources,
        tokens: BTreeMap<String, String>,
        date: Date,
    ) -> Result<ChatTemplate, Error> {
        let mut environment = environment::environment(date)?;
        let named = [(DEFAULT, Some(&sources.default)), (TOOL_USE, sources.tool_use.as_ref())];
        for (name, source) in named.into_iter().filter_map(|(name, source)| Some((name, source?))) {
            let translated = dialect::translate(source);
            catch_library_panic(LIBRARY, || environment.add_template_owned(name, translated))
                .map_err(|e| Error::new(ErrorKind::SyntaxError, e.to_string()))?;
        }
        Ok(ChatTemplate { sources, environment, tokens })
    }

    /// The template's own text; where a model has several, that of the one without tools.
    pub fn source(&self) -> &str {
        &self.sources.default
    }

    /// The text of the template for conversations with tools: the same one where the model has no other.
    pub fn tool_source(&self) -> &str {
        self.sources.tool_use.as_ref().unwrap_or(&self.sources.default)
    }

    /// The text of a conversation, for people: encoded as a whole, the special tokens that messages spell would be taken
    /// for the template's own (see [`ChatTemplate::tokens`]).
    pub fn render(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        let mut given: BTreeMap<&str, Value> =
            self.tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str()))).collect();
        given.extend(conversation.variables.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let messages = conversation.messages.iter().map(Message::to_value).collect::<Vec<_>>();
        given.insert("messages", Value::from(messages));
        given.insert("add_generation_prompt", Value::from(add_generation_prompt));
        given.insert("tools", Value::from(conversation.tools.clone()));
        given.insert("documents", Value::from(conversation.documents.clone()));
        let name = match &self.sources.tool_use {
            Some(_) if conversation.tools.is_some() => TOOL_USE,
            _ => DEFAULT,
        };
        let mut text = Bounded(vec![]);
        catch_library_panic(LIBRARY, || {
            let template = self.environment.get_template(name)?;
            template.render_captured_to(Value::from_pairs(given), &mut text).map(drop)
        })
        .map_err(|e| ChatError::Refused(e.to_string()))?;
        String::from_utf8(text.0).map_err(|e| ChatError::Refused(e.to_string()))
    }
}

impl TemplateSources {
    /// The templates of the settings: a text, or several by name, one of which is the default.
    fn in_settings(value: &serde_json::Value) -> Option<TemplateSources> {
        if let Some(text) = value.as_str() {
            return Some(TemplateSources { default: text.to_owned(), tool_use: None });
        }
        let named = |name: &str| {
            let in_list = |list: &Vec<serde_json::Value>| {
                list.iter().find(|template| template["name"] == name).map(|found| found["template"].clone())
            };
            let found = value.as_array().and_then(in_list).or_else(|| value.get(name).cloned())?;
            found.as_str().map(str::to_owned)
        };
        Some(TemplateSources { default: named(DEFAULT)?, tool_use: named(TOOL_USE) })
    }

    /// Every text of them.
    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.default), self.tool_use.as_ref()].into_iter().flatten().map(String::as_str)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        ChatTemplate::new(source.to_owned(), tokens).unwrap()
    }

    fn render(template: &ChatTemplate, messages: &[Message]) -> Result<String, ChatError> {
        template.render(&messages.into(), false)
    }

    fn say(role: &str, content: &str) -> Message {
        Message::new(role, content)
    }

    #[test]
    fn renders_as_transformers_does() {
        let chat = template(
            "{{ bos_token }}{% for m in messages %}\n{{ m['role'].upper() }}: {{ m['content'] | trim }}\n\
             {% endfor %}\n{% if add_generation_prompt %}A:{% endif %}",
        );
        let text = chat
            .render(&vec![say("user", " {{ bos_token }} "), say("assistant", "no")].into(), true)
            .unwrap();
        // What users write is text and never a template.
        assert_eq!(text, "<s>USER: {{ bos_token }}\nASSISTANT: no\nA:");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let chat = template("{{ messages | tojson }}{{ {'a': [1, '<é>']} | tojson(indent=2) }}");
        let text = render(&chat, &[say("user", "a<b'")]).unwrap();
        let expected =
            "[{\"role\": \"user\", \"content\": \"a<b'\"}]{\n  \"a\": [\n    1,\n    \"<é>\"\n  ]\n}";
        assert_eq!(text, expected);
    }

    #[test]
    fn refusals_and_loops_are_errors() {
        let refused = render(&template("{{ raise_exception('roles must alternate') }}"), &[]).unwrap_err();
        assert!(refused.to_string().contains("roles must alternate"), "{refused}");
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(matches!(render(&template(endless), &[]), Err(ChatError::Refused(_))));
        assert!(matches!(render(&template("{{ nothing.field }}"), &[]), Err(ChatError::Refused(_))));
        let long = "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}";
        assert!(matches!(render(&template(long), &[]), Err(ChatError::Refused(_))));
        for wide in ["{{ 'a\nb' | indent(999999999999) }}", "{{ 'a\nb' | indent(width=999999999999) }}"] {
            assert!(matches!(render(&template(wide), &[]), Err(ChatError::Refused(_))));
        }
        assert_eq!(render(&template("{{ 'a\nb' | indent(2) }}"), &[]).unwrap(), "a\n  b");
        let dated = template("{{ nothing }}{{ strftime_now('%d %b %Y') }}");
        assert_eq!(render(&dated, &[]).unwrap(), "26 Jul 2024");
        let later = dated.at("2031-01-02".parse().unwrap()).unwrap();
        assert_eq!(render(&later, &[]).unwrap(), "02 Jan 2031");
    }

    #[test]
    fn tools_take_the_template_that_is_for_them() {
        let settings = br#"{"chat_template": [
            {"name": "tool_use", "template": "{{ tools | length }} tools"}, {"name": "default", "template": "none"}]}"#;
        let file = |name: &str| (name == TOKENIZER_CONFIG_FILE).then_some(&settings[..]);
        let chat = ChatTemplate::from_files(&file).unwrap().unwrap();
        let mut conversation = Conversation::from(vec![say("user", "a")]);
        assert_eq!(chat.render(&conversation, false).unwrap(), "none");
        conversation.tools = Some(serde_json::from_str("[{}]").unwrap());
        assert_eq!(chat.render(&conversation, false).unwrap(), "1 tools");
    }
}
