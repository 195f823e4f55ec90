//! What a request asks of tools, in the style of the model that is served.

use std::sync::Arc;

use samp_runtime::TemplateValue;

use super::{expression::calls_expression, parser::ToolParser, style::ToolStyle};
use crate::{
    api::{ApiError, Function, ToolChoice, Tools},
    constrain::arguments_expression,
};

/// The tools of a request, and the style that the model calls them in.
pub struct ToolUse {
    style: ToolStyle,
    tools: Tools,
    names: Arc<[String]>,
}

impl ToolUse {
    /// Of a request to a model of this style.
    pub fn new(style: ToolStyle, tools: Tools) -> ToolUse {
        let names = tools.functions.iter().map(|function| function.name.clone()).collect();
        ToolUse { style, tools, names }
    }

    /// How calls are written.
    pub fn style(&self) -> ToolStyle {
        self.style
    }

    /// The tools as the template sees them.
    pub fn shown(&self) -> &TemplateValue {
        &self.tools.shown
    }

    /// What the prompt ends with: where a call is asked for, what opens it.
    pub fn opening(&self) -> &'static str {
        if self.is_forced() { self.style.opening() } else { "" }
    }

    fn is_forced(&self) -> bool {
        self.tools.choice != ToolChoice::Auto
    }

    /// The form that an answer is to have, beside the one that the request asks for.
    pub fn form(&self, asked: Option<String>) -> Result<Option<String>, ApiError> {
        match (self.is_forced(), asked) {
            (true, None) => self.calls().map(Some),
            (true, Some(_)) => Err(ApiError::field(
                "tool_choice",
                "an answer cannot be a call and have another form; ask for one",
            )),
            (false, None) => Ok(None),
            (false, Some(form)) => {
                let opening = regex_syntax::escape(self.style.opening());
                Ok(Some(format!("(?:{form}|{opening}{})", self.calls()?)))
            }
        }
    }

    /// The expression of the calls that may come.
    fn calls(&self) -> Result<String, ApiError> {
        let wanted = |function: &Function| match &self.tools.choice {
            ToolChoice::Function(name) => function.name == *name,
            _ => true,
        };
        let mut expressions = vec![];
        for (at, function) in self.tools.functions.iter().enumerate().filter(|(_, function)| wanted(function))
        {
            let arguments = arguments_expression(function.parameters.as_ref(), function.strict);
            let place = format!("tools[{at}].function.parameters");
            expressions
                .push((function.name.as_str(), arguments.map_err(|wrong| ApiError::field(&place, wrong))?));
        }
        Ok(calls_expression(self.style, &expressions, self.has_several()))
    }

    fn has_several(&self) -> bool {
        self.tools.parallel && !matches!(self.tools.choice, ToolChoice::Function(_))
    }

    /// Takes an answer apart.
    pub fn parser(&self) -> ToolParser {
        ToolParser::new(self.style, self.names.clone(), self.has_several(), !self.opening().is_empty())
    }
}
