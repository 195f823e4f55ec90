//! How families of models write their calls.

/// How a family of models writes its calls of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolStyle {
    /// Hermes and Qwen: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as often as needed.
    Hermes,
    /// Llama 3: an answer that is `{"name": …, "parameters": {…}}`.
    Llama3,
    /// Mistral: `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]`.
    Mistral,
    /// Mistral since its eleventh tokenizer: `[TOOL_CALLS]NAME[ARGS]{…}`, as often as needed.
    MistralArgs,
}

impl ToolStyle {
    /// Every style.
    pub const ALL: [ToolStyle; 4] =
        [ToolStyle::Hermes, ToolStyle::Llama3, ToolStyle::Mistral, ToolStyle::MistralArgs];

    /// What `--tool-call-parser` calls it.
    pub fn name(self) -> &'static str {
        match self {
            ToolStyle::Hermes => "hermes",
            ToolStyle::Llama3 => "llama3_json",
            ToolStyle::Mistral => "mistral",
            ToolStyle::MistralArgs => "mistral_args",
        }
    }

    /// The style that a chat template writes earlier calls in; `None` where it takes no tools.
    pub fn of_template(template: &str) -> Option<ToolStyle> {
        let says = |text: &str| template.contains(text);
        match () {
            () if !says("tools") => None,
            () if says("<tool_call>") => Some(ToolStyle::Hermes),
            () if says("[TOOL_CALLS]") && says("[ARGS]") => Some(ToolStyle::MistralArgs),
            () if says("[TOOL_CALLS]") => Some(ToolStyle::Mistral),
            () if says("\"parameters\":") => Some(ToolStyle::Llama3),
            () => None,
        }
    }

    /// What begins calls; an answer of Llama 3 may begin with one without it.
    pub(super) fn opener(self) -> &'static str {
        match self {
            ToolStyle::Hermes => "<tool_call>",
            ToolStyle::Llama3 => "<|python_tag|>",
            ToolStyle::Mistral | ToolStyle::MistralArgs => "[TOOL_CALLS]",
        }
    }

    /// What may stand between the parts of calls, beside white space and the opener, and whether it ends them.
    pub(super) fn separators(self) -> &'static [(&'static str, bool)] {
        match self {
            ToolStyle::Hermes => &[("</tool_call>", true)],
            ToolStyle::Llama3 => &[(";", false)],
            ToolStyle::Mistral | ToolStyle::MistralArgs => &[("[", false), (",", false), ("]", true)],
        }
    }

    /// Whether a name may stand before its arguments.
    pub(super) fn names_first(self) -> bool {
        matches!(self, ToolStyle::Mistral | ToolStyle::MistralArgs)
    }

    /// Texts that are special tokens in some vocabularies, and that an answer must show to be understood.
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            ToolStyle::Hermes => &["<tool_call>", "</tool_call>"],
            ToolStyle::Llama3 => &["<|python_tag|>"],
            ToolStyle::Mistral | ToolStyle::MistralArgs => &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
        }
    }

    /// What stands before the first call: the prompt ends with it where a call is asked for.
    pub fn opening(self) -> &'static str {
        match self {
            ToolStyle::Hermes => "<tool_call>\n",
            ToolStyle::Llama3 => "",
            ToolStyle::Mistral | ToolStyle::MistralArgs => "[TOOL_CALLS]",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_tell_their_style() {
        for (template, style) in [
            ("{{ messages }}", None),
            ("{{ tools }} <tool_call>", Some(ToolStyle::Hermes)),
            (r#"{{ tools }}{"name": x, "parameters": y}"#, Some(ToolStyle::Llama3)),
            ("[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS] [{{ calls }}]", Some(ToolStyle::Mistral)),
            ("{{ tools }}[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}", Some(ToolStyle::MistralArgs)),
            ("{{ tools }} in some other way", None),
        ] {
            assert_eq!(ToolStyle::of_template(template), style, "{template}");
        }
    }
}
