//! What calls look like, as a regular expression: the form of an answer that is to be one.

use super::style::ToolStyle;

/// The expression of one call of any of these tools, each a name with the expression of its arguments, or of one and more
/// where the style has several. It stands behind the style's opening.
pub fn calls_expression(style: ToolStyle, tools: &[(&str, String)], several: bool) -> String {
    let call = |(name, arguments): &(&str, String)| {
        let name = regex_syntax::escape(name);
        match style {
            ToolStyle::Hermes | ToolStyle::Mistral => {
                format!(r#"\{{"name": "{name}", "arguments": {arguments}\}}"#)
            }
            ToolStyle::Llama3 => format!(r#"\{{"name": "{name}", "parameters": {arguments}\}}"#),
            ToolStyle::MistralArgs => format!(r"{name}\[ARGS\]{arguments}"),
        }
    };
    let calls: Vec<String> = tools.iter().map(call).collect();
    let one = format!("(?:{})", calls.join("|"));
    let more = |between: &str| if several { format!("(?:{between})*") } else { String::new() };
    match style {
        ToolStyle::Hermes => {
            format!("{one}\n</tool_call>{}", more(&format!("\n<tool_call>\n{one}\n</tool_call>")))
        }
        ToolStyle::Llama3 => one,
        ToolStyle::Mistral => format!(r" ?\[{one}{}\]", more(&format!(", {one}"))),
        ToolStyle::MistralArgs => format!("{one}{}", more(&format!(r"\[TOOL_CALLS\]{one}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_known_tools_are_taken_and_no_others() {
        let tools = [("get_time", r"\{\}".to_owned()), ("a.b", r#"\{"x": [0-9]\}"#.to_owned())];
        for (style, one, two) in [
            (
                ToolStyle::Hermes,
                "{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>",
                "\n<tool_call>\n{\"name\": \"a.b\", \"arguments\": {\"x\": 7}}\n</tool_call>",
            ),
            (ToolStyle::Mistral, r#"[{"name": "get_time", "arguments": {}}]"#, ""),
            (ToolStyle::Llama3, r#"{"name": "a.b", "parameters": {"x": 1}}"#, ""),
            (ToolStyle::MistralArgs, "get_time[ARGS]{}", r#"[TOOL_CALLS]a.b[ARGS]{"x": 3}"#),
        ] {
            let takes = |several: bool, text: &str| {
                let expression = format!("^(?:{})$", calls_expression(style, &tools, several));
                regex_automata::meta::Regex::new(&expression).unwrap().is_match(text)
            };
            let both = format!("{one}{two}");
            assert!(takes(true, one) && takes(false, one) && takes(true, &both), "{style:?}");
            assert_eq!(takes(false, &both), two.is_empty(), "{style:?}");
            assert!(!takes(true, &one.replace("get_time", "get_tide").replace("a.b", "a_b")), "{style:?}");
        }
    }
}
