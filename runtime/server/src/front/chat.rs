//! Conversations: their tokens, the tools that may be called in them, and the form of the answer.

use samp_runtime::{Conversation, Message, TemplateValue};

use super::Frontend;
use crate::{
    api::{ApiError, ChatRequest, Tools},
    constrain::form_expression,
    tools::{ToolStyle, ToolUse},
};

/// A conversation that is to be answered.
pub struct ChatPrompt {
    /// Its tokens, up to where the answer begins.
    pub tokens: Vec<u32>,
    /// What the answer may call.
    pub tools: Option<ToolUse>,
    /// The expression of the form that it is to have.
    pub form: Option<String>,
}

impl Frontend {
    /// Prepares a conversation. Where special tokens mark calls the answer is to show them, which the request's settings say
    /// afterwards.
    pub fn chat(&self, request: &mut ChatRequest) -> Result<ChatPrompt, ApiError> {
        let tools = request.tools.take().map(|tools| self.tool_use(tools)).transpose()?;
        let mut tokens = self.chat_tokens(&request.messages, tools.as_ref().map(ToolUse::shown))?;
        let mut form = request.settings.form.as_ref().map(form_expression).transpose()?;
        if let Some(tools) = &tools {
            tokens.extend(self.text_tokens(tools.opening(), false)?);
            form = tools.form(form)?;
            let special = |marker: &&str| {
                self.tokenizer.token_id(marker).is_some_and(|id| self.tokenizer.is_special(id))
            };
            request.settings.skip_special_tokens &= !tools.style().markers().iter().any(special);
        }
        Ok(ChatPrompt { tokens, tools, form })
    }

    /// The tokens of a conversation, up to where the answer begins. Nothing that a message says becomes a special token.
    pub fn chat_tokens(
        &self,
        messages: &[Message],
        tools: Option<&TemplateValue>,
    ) -> Result<Vec<u32>, ApiError> {
        let missing = || ApiError::field("messages", "the plan has no chat template; use /v1/completions");
        let template = self.template.as_ref().ok_or_else(missing)?;
        let conversation = Conversation { tools: tools.cloned(), ..Conversation::from(messages) };
        template
            .tokens(&self.tokenizer, &conversation, true)
            .map_err(|error| ApiError::field("messages", error))
    }

    /// How the model calls these tools.
    fn tool_use(&self, tools: Tools) -> Result<ToolUse, ApiError> {
        let style = self.tool_style.or_else(|| ToolStyle::of_template(self.template.as_ref()?.tool_source()));
        let none = || {
            let message = "the plan's chat template takes no tools in a way that is known here; leave them out, or say how \
                           the model calls them by --tool-call-parser";
            ApiError::field("tools", message).with_code("unsupported_value")
        };
        Ok(ToolUse::new(style.ok_or_else(none)?, tools))
    }
}
