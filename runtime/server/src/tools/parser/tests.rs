use proptest::prelude::*;

use super::*;

/// The text of an answer, and its calls by name and arguments.
type Apart = (String, Vec<(String, String)>);

fn joined(pieces: Vec<Piece>) -> Apart {
    let (mut text, mut calls): Apart = Default::default();
    for piece in pieces {
        match piece {
            Piece::Text(more) => text.push_str(&more),
            Piece::Call(name) => calls.push((name, String::new())),
            Piece::Arguments(more) => calls.last_mut().expect("a call").1.push_str(&more),
        }
    }
    (text, calls)
}

/// Takes an answer apart that comes in chunks of so many characters, again and again.
fn apart_in(mut parser: ToolParser, answer: &str, chunks: &[usize]) -> Apart {
    let characters: Vec<char> = answer.chars().collect();
    let (mut rest, mut pieces) = (characters.as_slice(), vec![]);
    for length in chunks.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, more) = rest.split_at((*length).clamp(1, rest.len()));
        pieces.extend(parser.push(&chunk.iter().collect::<String>()));
        rest = more;
    }
    pieces.extend(parser.finish());
    let apart = joined(pieces);
    assert_eq!(parser.calls(), apart.1.len());
    apart
}

fn tools() -> Arc<[String]> {
    ["get_weather", "add"].map(str::to_owned).into()
}

fn parser(style: ToolStyle) -> ToolParser {
    ToolParser::new(style, tools(), true, false)
}

fn apart(style: ToolStyle, answer: &str) -> Apart {
    apart_in(parser(style), answer, &[usize::MAX])
}

/// Calls as a model of the style writes them.
fn written(style: ToolStyle, calls: &[(String, String)]) -> String {
    let object = |key: &str| -> Vec<String> {
        calls
            .iter()
            .map(|(name, arguments)| format!(r#"{{"name": "{name}", "{key}": {arguments}}}"#))
            .collect()
    };
    match style {
        ToolStyle::Hermes => {
            let each = object("arguments");
            each.iter().map(|call| format!("<tool_call>\n{call}\n</tool_call>\n")).collect()
        }
        ToolStyle::Llama3 => object("parameters").join("; "),
        ToolStyle::Mistral => format!("[TOOL_CALLS] [{}]", object("arguments").join(", ")),
        ToolStyle::MistralArgs => {
            calls.iter().map(|(name, arguments)| format!("[TOOL_CALLS]{name}[ARGS]{arguments}")).collect()
        }
    }
}

fn calls(named: &[(&str, &str)]) -> Vec<(String, String)> {
    named.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect()
}

#[test]
fn text_before_and_between_calls_stays() {
    let answer = "Let me look.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>\n\
                  {\"name\": \"add\", \"arguments\": {}}\n</tool_call>\nDone.";
    let expected = ("Let me look.\nDone.".to_owned(), calls(&[("add", "{\"a\": 1}"), ("add", "{}")]));
    assert_eq!(apart(ToolStyle::Hermes, answer), expected);
    let answer = "[TOOL_CALLS]add[CALL_ID]abc[ARGS]{\"a\": 1}";
    assert_eq!(apart(ToolStyle::Mistral, answer), (String::new(), calls(&[("add", "{\"a\": 1}")])));
    let answer = "<|python_tag|>{\"name\": \"add\", \"parameters\": {}}";
    assert_eq!(apart(ToolStyle::Llama3, answer).1, calls(&[("add", "{}")]));
}

#[test]
fn what_is_no_call_is_text() {
    for (style, answer) in [
        (ToolStyle::Hermes, "<tool_call>\n{\"name\": \"delete_all\", \"arguments\": {}}\n</tool_call>"),
        (ToolStyle::Hermes, "a <tool_call> is a tag; <tool_"),
        (ToolStyle::Hermes, "<tool_call>\n{\"name\": \"add\""),
        (ToolStyle::Llama3, "{\"temperature\": 21}"),
        (ToolStyle::Llama3, " {\"name\": \"Ada\", \"age\": 36}"),
        (ToolStyle::Llama3, "An object: {\"name\": \"add\", \"parameters\": {}}"),
        (ToolStyle::Llama3, "<|python_tag|>brave_search.call(query=\"x\")"),
        (ToolStyle::Mistral, "[TOOL_CALLS] []"),
        (ToolStyle::Mistral, "[TOOL_CALLS]unknown[ARGS]{}"),
        (ToolStyle::MistralArgs, "[TOOL_CALLS]add "),
        (ToolStyle::MistralArgs, "[a list] [TOOL"),
    ] {
        assert_eq!(apart(style, answer), (answer.to_owned(), vec![]), "{style:?}");
    }
}

#[test]
fn a_call_that_is_cut_short_keeps_what_came() {
    let mut parser = parser(ToolStyle::Hermes);
    let pieces = parser.push("<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"b");
    assert_eq!(pieces, [Piece::Call("add".into()), Piece::Arguments("{\"a\": \"b".into())]);
    assert_eq!(parser.finish(), []);
}

#[test]
fn one_call_is_all_where_no_more_are_wanted() {
    let answer = written(ToolStyle::Hermes, &calls(&[("add", "{}"), ("add", "{}")]));
    let single = ToolParser::new(ToolStyle::Hermes, tools(), false, false);
    assert_eq!(apart_in(single, &answer, &[3]), (String::new(), calls(&[("add", "{}")])));
}

fn style() -> impl Strategy<Value = ToolStyle> {
    prop::sample::select(ToolStyle::ALL.to_vec())
}

fn chunks() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..9, 1..6)
}

/// Text out of what calls are made of.
fn debris() -> impl Strategy<Value = String> {
    let parts = [
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<|python_tag|>",
        "{\"name\": \"add\"",
        ", \"arguments\": {",
        "\"parameters\": {\"a\": [1]}",
        "}",
        "{",
        "[",
        "]",
        ",",
        ";",
        "\"",
        "\\",
        " ",
        "\n",
        "add",
        "other",
        "é",
        "<",
        "tool",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    /// Whatever calls a model writes come back, in whatever chunks they come, also where the prompt opens the first.
    #[test]
    fn calls_come_back(
        style in style(),
        values in prop::collection::vec((prop::sample::select(vec!["add", "get_weather"]), any::<String>()), 1..4),
        chunks in chunks(),
    ) {
        let made: Vec<(String, String)> = values
            .iter()
            .map(|(name, text)| ((*name).to_owned(), serde_json::json!({ "a": [text, {}], text.as_str(): 1 }).to_string()))
            .collect();
        let answer = written(style, &made);
        prop_assert_eq!(apart_in(parser(style), &answer, &chunks), (String::new(), made.clone()));
        if let Some(rest) = answer.strip_prefix(style.opening()) {
            let called = ToolParser::new(style, tools(), true, true);
            prop_assert_eq!(apart_in(called, rest, &chunks), (String::new(), made));
        }
    }

    /// Nothing depends on the chunks that an answer comes in, and no text is lost where nothing is called.
    #[test]
    fn answers_come_apart_the_same_in_any_chunks(
        style in style(), answer in debris(), chunks in chunks(), several: bool, called: bool,
    ) {
        let parser = || ToolParser::new(style, tools(), several, called);
        let whole = apart_in(parser(), &answer, &[usize::MAX]);
        prop_assert_eq!(&apart_in(parser(), &answer, &chunks), &whole);
        if whole.1.is_empty() {
            prop_assert_eq!(whole.0, answer);
        }
    }
}
