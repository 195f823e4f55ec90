//! Tools: what templates show of them, and the calls that come back, in each style that models have.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Running, checkpoint, compiled_from};

const CHAT: &str = "/v1/chat/completions";

/// A template that shows tools as JSON, and earlier calls as `$calls` writes them.
const TEMPLATE: &str = "{{ bos_token }}{% if tools %}<|start_header_id|>system<|end_header_id|>\n\n$shown\
    {% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|eot_id|>{% endif %}\
    {% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}\
    {% if m.tool_calls %}$calls{% endif %}<|eot_id|>{% endfor %}\
    {% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";

/// Earlier calls as Hermes writes them.
pub const HERMES: &str =
    "{% for call in m.tool_calls %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>{% endfor %}";
const LLAMA: &str = "{% set f = m.tool_calls[0].function %}\
    {\"name\": \"{{ f.name }}\", \"parameters\": {{ f.arguments | tojson }}}";
const MISTRAL: &str = "[TOOL_CALLS] [{% for call in m.tool_calls %}{{ call.function | tojson }}{% endfor %}]";
const MISTRAL_ARGS: &str = "{% for call in m.tool_calls %}[TOOL_CALLS]{{ call.function.name }}[ARGS]\
    {{ call.function.arguments | tojson }}{% endfor %}";

/// A plan of the shipped checkpoint with a template for tools, in which a reserved token is `[TOOL_CALLS]`.
pub fn tool_plan(calls: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(checkpoint()).unwrap() {
        let path = entry.unwrap().path();
        symlink(fs::canonicalize(&path).unwrap(), model.join(path.file_name().unwrap())).unwrap();
    }
    let edit = |name: &str, change: &dyn Fn(String) -> String| {
        let path = model.join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    };
    let marked = |text: String| text.replace("<|reserved_special_token_0|>", "[TOOL_CALLS]");
    edit("tokenizer.json", &marked);
    edit("tokenizer_config.json", &|text| {
        let mut settings: Value = serde_json::from_str(&marked(text)).unwrap();
        settings["chat_template"] = TEMPLATE.replace("$shown", "Tools:\n").replace("$calls", calls).into();
        settings.to_string()
    });
    let plan = folder.path().join("tools.plan");
    compiled_from(&model, &plan, "samp", 8);
    (folder, plan)
}

fn tools() -> Value {
    json!([
        { "type": "function", "function": {
            "name": "get_weather", "description": "The weather of a city.", "strict": true,
            "parameters": { "type": "object", "required": ["city", "unit"], "additionalProperties": false, "properties": {
                "city": {"type": "string", "maxLength": 8}, "unit": {"enum": ["C", "F"]},
            } },
        } },
        { "type": "function", "function": { "name": "now", "parameters": {"type": "object", "properties": {}} } },
    ])
}

fn asked(more: Value) -> Value {
    let mut body = json!({
        "messages": [{"role": "user", "content": "What is the weather in Bern?"}], "tools": tools(), "max_tokens": 300,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The calls of an answer, by name and arguments.
fn calls(choice: &Value) -> Vec<(String, Value)> {
    let calls = choice["message"]["tool_calls"].as_array().unwrap_or_else(|| panic!("no calls: {choice}"));
    let call = |call: &Value| {
        assert_eq!((&call["type"], call["id"].as_str().unwrap().len()), (&json!("function"), 9), "{call}");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let arguments = serde_json::from_str(arguments).unwrap_or_else(|e| panic!("{e}: {arguments}"));
        (call["function"]["name"].as_str().unwrap().to_owned(), arguments)
    };
    calls.iter().map(call).collect()
}

/// The text and the calls that a client joins the events of a stream to.
fn streamed(events: &[Value]) -> (String, Vec<(String, Value)>, Option<String>) {
    let (mut text, mut made, mut finish) = (String::new(), BTreeMap::<u64, (String, String)>::new(), None);
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let (name, arguments) = made.entry(call["index"].as_u64().unwrap()).or_default();
            name.push_str(call["function"]["name"].as_str().unwrap_or_default());
            arguments.push_str(call["function"]["arguments"].as_str().unwrap());
        }
        finish = finish.or(choice["finish_reason"].as_str().map(str::to_owned));
    }
    let parsed = |(name, arguments): (String, String)| (name, serde_json::from_str(&arguments).unwrap());
    (text, made.into_values().map(parsed).collect(), finish)
}

fn each_style(check: impl Fn(&Running, &str)) {
    for calls in [HERMES, LLAMA, MISTRAL, MISTRAL_ARGS] {
        let (_folder, plan) = tool_plan(calls);
        check(&Running::of(&plan, &[]), calls);
    }
}

#[test]
fn calls_that_must_come_come_back_whole_and_streamed() {
    each_style(|server, style| {
        for seed in 0..4 {
            let body =
                asked(json!({ "tool_choice": "required", "parallel_tool_calls": false, "seed": seed }));
            let answer = server.answer(CHAT, &body);
            let choice = &answer["choices"][0];
            assert_eq!(
                (&choice["finish_reason"], &choice["message"]["content"]),
                (&json!("tool_calls"), &Value::Null)
            );
            let made = calls(choice);
            assert_eq!(made.len(), 1, "{style}: {choice}");
            let (name, arguments) = &made[0];
            match name.as_str() {
                "now" => assert_eq!(arguments, &json!({})),
                "get_weather" => {
                    assert!(
                        arguments["city"].is_string()
                            && ["C", "F"].contains(&arguments["unit"].as_str().unwrap())
                    );
                }
                other => panic!("{other} is no tool"),
            }
            let mut streaming = body;
            streaming["stream"] = json!(true);
            let events = server.post(CHAT, &streaming).events();
            assert_eq!(streamed(&events), (String::new(), made, Some("tool_calls".into())), "{style}");
        }
        let named = json!({ "type": "function", "function": {"name": "now"} });
        let answer = server.answer(CHAT, &asked(json!({ "tool_choice": named, "n": 2 })));
        let ids: Vec<&Value> = answer["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|choice| {
                assert_eq!(calls(choice), [("now".to_owned(), json!({}))], "{style}");
                &choice["message"]["tool_calls"][0]["id"]
            })
            .collect();
        assert_ne!(ids[0], ids[1]);
    });
}

/// What a model writes of itself is a call as well: here the form of the answer has it write one.
#[test]
fn calls_that_the_model_thinks_of_are_found_in_its_text() {
    let call = r#"{"name": "get_weather", "arguments": {"city": "Bern"}}"#;
    for (template, text, said) in [
        (HERMES, format!("Well\\.\n<tool_call>\n{}\n</tool_call>", call.replace('{', "\\{")), "Well."),
        (MISTRAL, format!("\\[TOOL_CALLS\\] \\[{}\\]", call.replace('{', "\\{")), ""),
        (MISTRAL_ARGS, "\\[TOOL_CALLS\\]get_weather\\[ARGS\\]\\{\"city\": \"Bern\"\\}".to_owned(), ""),
        (LLAMA, call.replace("arguments", "parameters").replace('{', "\\{"), ""),
    ] {
        let (_folder, plan) = tool_plan(template);
        let server = Running::of(&plan, &[]);
        // This text, or a call of one of the tools.
        let body = asked(json!({
            "structured_outputs": {"regex": text}, "tool_choice": "auto", "parallel_tool_calls": false, "temperature": 0,
        }));
        let answer = server.answer(CHAT, &body);
        let choice = &answer["choices"][0];
        let made = calls(choice);
        let content = choice["message"]["content"].as_str().unwrap_or_default();
        assert_eq!(content, if made[0].1 == json!({"city": "Bern"}) { said } else { "" });
        let mut streaming = body.clone();
        streaming["stream"] = json!(true);
        let (text, again, finish) = streamed(&server.post(CHAT, &streaming).events());
        assert_eq!((text.as_str(), again, finish.as_deref()), (content, made, Some("tool_calls")));
        // The same text is nothing but a text where no tool may be called.
        let mut untold = body;
        untold["tool_choice"] = json!("none");
        let message = server.answer(CHAT, &untold)["choices"][0]["message"].clone();
        assert!(
            message["tool_calls"].is_null() && message["content"].as_str().unwrap().contains("get_weather"),
            "{message}"
        );
    }
}

#[test]
fn earlier_calls_and_their_results_are_part_of_the_prompt() {
    each_style(|server, style| {
        let conversation = json!([
            {"role": "user", "content": "What is the weather in Bern?"},
            {"role": "assistant", "content": null, "tool_calls": [{
                "id": "abcdefghi", "type": "function",
                "function": {"name": "get_weather", "arguments": "{\"city\": \"Bern\", \"unit\": \"C\"}"},
            }]},
            {"role": "tool", "tool_call_id": "abcdefghi", "content": [{"type": "text", "text": "21 degrees"}]},
        ]);
        let text = |body: Value| {
            let tokens = server.answer("/tokenize", &body)["tokens"].clone();
            server.answer("/detokenize", &json!({ "tokens": tokens }))["prompt"].as_str().unwrap().to_owned()
        };
        let prompt = text(json!({ "messages": conversation, "tools": tools() }));
        for part in
            ["Tools:\n", r#""name": "get_weather""#, r#"{"city": "Bern", "unit": "C"}"#, "tool", "21 degrees"]
        {
            assert!(prompt.contains(part), "{style}: {part} is missing in {prompt}");
        }
        assert!(!text(json!({ "messages": conversation })).contains("Tools:"));
        let body = json!({ "messages": conversation, "tools": tools(), "max_tokens": 8, "seed": 1 });
        let answer = server.answer(CHAT, &body);
        assert!(answer["choices"][0]["message"]["role"] == "assistant", "{answer}");
    });
}

#[test]
fn special_tokens_show_where_they_are_asked_for() {
    let (_folder, plan) = tool_plan(MISTRAL);
    let server = Running::of(&plan, &[]);
    let text = |more: Value| {
        let mut body =
            json!({ "prompt": "a", "max_tokens": 1, "temperature": 0, "logit_bias": {"4093": 100} });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.answer("/v1/completions", &body)["choices"][0]["text"].clone()
    };
    assert_eq!(
        (text(json!({})), text(json!({ "skip_special_tokens": false }))),
        (json!(""), json!("[TOOL_CALLS]"))
    );
}

#[test]
fn what_cannot_be_kept_is_refused_by_its_place() {
    let (_folder, plan) = tool_plan(HERMES);
    let server = Running::of(&plan, &[]);
    let mut strict = tools();
    strict[0]["function"]["parameters"]["properties"]["city"]["not"] = json!({});
    let form = json!({ "type": "json_object" });
    for (body, param) in [
        (asked(json!({ "tools": strict, "tool_choice": "required" })), "tools[0].function.parameters"),
        (asked(json!({ "tool_choice": "required", "response_format": form })), "tool_choice"),
    ] {
        let refused = server.post(CHAT, &body);
        assert_eq!(
            (refused.status, refused.json()["error"]["param"].as_str()),
            (400, Some(param)),
            "{}",
            refused.body
        );
    }
    // What is not strict has arguments of any kind.
    strict[0]["function"]["strict"] = json!(false);
    let named = json!({ "type": "function", "function": {"name": "get_weather"} });
    let answer =
        server.answer(CHAT, &asked(json!({ "tools": strict, "tool_choice": named, "max_tokens": 400 })));
    assert!(answer["choices"][0]["message"]["tool_calls"].is_array(), "{answer}");
}

/// A template that does not say how calls are written can be told.
#[test]
fn an_operator_says_how_calls_are_written() {
    let server = Running::new(&["--tool-call-parser", "llama3_json"]);
    let body = asked(json!({ "tool_choice": {"type": "function", "function": {"name": "now"}} }));
    assert_eq!(calls(&server.answer(CHAT, &body)["choices"][0]), [("now".to_owned(), json!({}))]);
}
