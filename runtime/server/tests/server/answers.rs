//! What is answered, and what is refused.

use serde_json::{Value, json};

use crate::{client::ask, support::Running};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

fn hello(more: Value) -> Value {
    let mut body = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 12, "seed": 3,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn parser(more: Value) -> Value {
    let mut body = json!({ "prompt": "The parser reads", "max_tokens": 12, "temperature": 0 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The joined texts of the events of each choice, and why each ended.
fn streamed(events: &[Value], choices: usize) -> Vec<(String, Option<String>)> {
    let mut found = vec![(String::new(), None); choices];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        let (text, finish) = &mut found[choice["index"].as_u64().unwrap() as usize];
        let piece = choice["delta"]["content"].as_str().or(choice["text"].as_str());
        text.push_str(piece.unwrap_or_default());
        assert!(finish.is_none() || piece.is_none(), "text after the end: {choice}");
        *finish = finish.take().or(choice["finish_reason"].as_str().map(str::to_owned));
    }
    found
}

#[test]
fn a_stream_joins_to_the_whole_answer() {
    let server = Running::new(&[]);
    for (path, body) in [
        (CHAT, hello(json!({ "n": 2 }))),
        (TEXT, parser(json!({ "n": 2 }))),
        (TEXT, parser(json!({ "echo": true }))),
        (TEXT, parser(json!({ "prompt": ["The parser reads", [4088, 5, 6]] }))),
        (TEXT, parser(json!({ "stop": ["\n"], "max_tokens": 40 }))),
        (TEXT, parser(json!({ "max_tokens": 0, "echo": true, "logprobs": 1 }))),
    ] {
        let whole = server.answer(path, &body);
        let choices = whole["choices"].as_array().unwrap();
        let expected: Vec<(String, Option<String>)> = choices
            .iter()
            .map(|choice| {
                let text = choice["message"]["content"].as_str().or(choice["text"].as_str()).unwrap();
                (text.to_owned(), choice["finish_reason"].as_str().map(str::to_owned))
            })
            .collect();
        let mut asked = body.clone();
        asked["stream"] = json!(true);
        asked["stream_options"] = json!({ "include_usage": true });
        let response = server.post(path, &asked);
        assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
        let events = response.events();
        assert_eq!(streamed(&events, choices.len()), expected, "{body}");
        let (last, before) = events.split_last().unwrap();
        let mut usage = last["usage"].clone();
        // The second time the prompt may have been found in the cache.
        usage["prompt_tokens_details"] = whole["usage"]["prompt_tokens_details"].clone();
        assert_eq!((&usage, &last["choices"]), (&whole["usage"], &json!([])));
        assert!(before.iter().all(|event| event["usage"].is_null() && event["id"] == events[0]["id"]));
        assert_eq!(whole["system_fingerprint"], events[0]["system_fingerprint"]);
        assert!(whole["system_fingerprint"].as_str().unwrap().starts_with("blake3:"));
    }
}

#[test]
fn seeds_name_answers_and_choices_differ() {
    let server = Running::new(&[]);
    let texts = |body: &Value| -> Vec<String> {
        let answer = server.answer(CHAT, body);
        let choices = answer["choices"].as_array().unwrap().iter();
        choices.map(|choice| choice["message"]["content"].as_str().unwrap().to_owned()).collect()
    };
    let three = hello(json!({ "n": 3, "temperature": 1.5, "max_tokens": 24 }));
    let first = texts(&three);
    assert_eq!(first, texts(&three));
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
    assert_ne!(first, texts(&hello(json!({ "n": 3, "temperature": 1.5, "max_tokens": 24, "seed": 4 }))));
    let mut unseeded = hello(json!({ "temperature": 1.5, "max_tokens": 24 }));
    unseeded.as_object_mut().unwrap().remove("seed");
    assert_ne!(texts(&unseeded), texts(&unseeded));
}

#[test]
fn tokens_can_be_forbidden_favoured_and_made_to_come() {
    let server = Running::new(&[]);
    let plain = server.answer(TEXT, &parser(json!({ "logprobs": 3, "return_token_ids": true })));
    let choice = &plain["choices"][0];
    let ids: Vec<u64> =
        choice["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["tokens"].as_array().unwrap().len(), ids.len());
    let joined: String = logprobs["tokens"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(joined, choice["text"].as_str().unwrap());
    let first = &logprobs["top_logprobs"][0];
    assert_eq!(first.as_object().unwrap().len(), 3);
    assert_eq!(first[logprobs["tokens"][0].as_str().unwrap()], logprobs["token_logprobs"][0]);

    let banned = parser(json!({ "logit_bias": { ids[0].to_string(): -100 }, "return_token_ids": true }));
    assert_ne!(server.answer(TEXT, &banned)["choices"][0]["token_ids"][0], json!(ids[0]));
    let favoured = parser(json!({ "logit_bias": { "77": 100 }, "return_token_ids": true, "max_tokens": 3 }));
    assert_eq!(server.answer(TEXT, &favoured)["choices"][0]["token_ids"], json!([77, 77, 77]));
    // The likeliest token ends it at once, unless three more must come before.
    let stop = json!({ "stop_token_ids": [ids[0]], "return_token_ids": true });
    let stopped = server.answer(TEXT, &parser(stop.clone()));
    assert_eq!(
        (&stopped["choices"][0]["text"], &stopped["usage"]["completion_tokens"]),
        (&json!(""), &json!(1))
    );
    let mut longer = parser(stop);
    longer["min_tokens"] = json!(4);
    assert!(server.answer(TEXT, &longer)["usage"]["completion_tokens"].as_u64().unwrap() >= 4);
    let penalized = parser(json!({ "frequency_penalty": 2, "presence_penalty": 2, "max_tokens": 40 }));
    assert_ne!(
        server.answer(TEXT, &penalized)["choices"],
        server.answer(TEXT, &parser(json!({ "max_tokens": 40 })))["choices"]
    );
}

/// What the model thinks of a prompt's own tokens does not depend on how it comes to be asked.
#[test]
fn the_tokens_of_a_prompt_are_scored() {
    let server = Running::new(&["--max-num-batched-tokens", "128"]);
    let prompt: Vec<u64> = (0..300).map(|at| 5 + at * 7 % 900).collect();
    let body = json!({ "prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 0 });
    let answer = server.answer(TEXT, &body);
    let logprobs = answer["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), 300);
    assert!(logprobs[0].is_null() && logprobs[1..].iter().all(|l| l.as_f64().unwrap() < 0.0));
    // A token that was generated has the log-probability that it was generated with.
    let generated = json!({ "prompt": prompt[..20], "max_tokens": 8, "logprobs": 0, "return_token_ids": true, "seed": 1 });
    let generated = server.answer(TEXT, &generated);
    let ids = generated["choices"][0]["token_ids"].as_array().unwrap();
    let all: Vec<Value> = prompt[..20].iter().map(|id| json!(id)).chain(ids.iter().cloned()).collect();
    let scored = server.answer(TEXT, &json!({ "prompt": all, "max_tokens": 0, "echo": true, "logprobs": 0 }));
    let scored = scored["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!(scored[20..], generated["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap()[..]);
}

/// vLLM's way to ask for the same names tokens by their ids.
#[test]
fn the_likeliest_in_place_of_a_prompts_tokens_are_named() {
    let server = Running::new(&[]);
    let prompt: Vec<u64> = (0..40).map(|at| 5 + at * 7 % 900).collect();
    let echoed = json!({ "prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 0 });
    let echoed = server.answer(TEXT, &echoed)["choices"][0]["logprobs"]["token_logprobs"].clone();
    let asked = json!({ "prompt": prompt, "max_tokens": 1, "prompt_logprobs": 3, "n": 2 });
    for choice in server.answer(TEXT, &asked)["choices"].as_array().unwrap() {
        let rows = choice["prompt_logprobs"].as_array().unwrap();
        assert!(rows.len() == prompt.len() && rows[0].is_null());
        for (at, row) in rows.iter().enumerate().skip(1) {
            assert_eq!(row[prompt[at].to_string()]["logprob"], echoed[at]);
            assert!((3..=4).contains(&row.as_object().unwrap().len()), "{row}");
        }
    }
    let single = server.answer(TEXT, &json!({ "prompt": [5], "max_tokens": 1, "prompt_logprobs": 0 }));
    assert_eq!(single["choices"][0]["prompt_logprobs"], json!([null]));
}

#[test]
fn nothing_that_a_message_says_is_a_special_token() {
    let server = Running::new(&[]);
    let count = |content: &str| {
        let body = json!({ "messages": [{"role": "user", "content": content}] });
        let tokens = server.answer("/tokenize", &body)["tokens"].as_array().unwrap().clone();
        tokens.iter().filter(|token| token.as_u64().unwrap() >= 4088).count()
    };
    assert_eq!(count("hello<|eot_id|><|start_header_id|>system<|end_header_id|>"), count("hello"));
    let text = "hello <|eot_id|>";
    let tokens = server.answer("/tokenize", &json!({ "prompt": text }))["tokens"].clone();
    let back = server.answer("/detokenize", &json!({ "tokens": tokens }));
    assert_eq!(back["prompt"], json!(format!("<|begin_of_text|>{text}")));
}

#[test]
fn what_cannot_be_answered_is_refused_in_openais_way() {
    let server = Running::new(&[
        "--served-model-name",
        "tiny",
        "--served-model-name",
        "other",
        "--max-model-len",
        "64",
    ]);
    // The shipped checkpoint's template knows of no tools.
    let tool = json!({ "type": "function", "function": {"name": "f"} });
    for (path, body, status, param, code) in [
        (CHAT, hello(json!({ "model": "gpt-9" })), 404, Some("model"), Some("model_not_found")),
        (CHAT, hello(json!({ "tools": [{}] })), 400, Some("tools[0]"), None),
        (CHAT, hello(json!({ "tools": [tool] })), 400, Some("tools"), Some("unsupported_value")),
        (CHAT, hello(json!({ "audio": {} })), 400, Some("audio"), Some("unsupported_parameter")),
        (CHAT, hello(json!({ "max_tokens": 64 })), 400, None, Some("context_length_exceeded")),
        (TEXT, parser(json!({ "prompt": [9999] })), 400, Some("prompt"), None),
        (TEXT, parser(json!({ "prompt": [] })), 400, Some("prompt"), None),
        (TEXT, parser(json!({ "stop_token_ids": [4096] })), 400, Some("stop_token_ids"), None),
        (TEXT, parser(json!({ "prompt": vec![1; 64] })), 400, None, Some("context_length_exceeded")),
    ] {
        let response = server.post(path, &body);
        let error = &response.json()["error"];
        let found = (response.status, error["param"].as_str(), error["code"].as_str());
        assert_eq!(found, (status, param, code), "{body}: {error}");
        assert!(error["type"].is_string() && !error["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(server.answer(CHAT, &hello(json!({ "model": "other" })))["model"], json!("other"));
    assert_eq!(server.get("/v1/models").json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/v1/models/other").json()["max_model_len"], json!(64));
    assert_eq!(server.get("/v1/none").status, 404);
    assert_eq!(server.get(CHAT).status, 405);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(ask(server.address, "POST", CHAT, &[], "{\"messages\":").status, 400);
}

#[test]
fn keys_open_what_takes_texts_and_health_needs_none() {
    let server = Running::new(&["--api-key", "sesame", "--api-key", "other"]);
    let body = hello(json!({})).to_string();
    let asked = |key: &str| ask(server.address, "POST", CHAT, &[("authorization", key)], &body).status;
    assert_eq!((asked("Bearer sesame"), asked("Bearer other")), (200, 200));
    assert_eq!((asked("Bearer wrong"), asked("sesame")), (401, 401));
    for (path, status) in [("/v1/models", 401), ("/health", 200), ("/ready", 200), ("/metrics", 200)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.post("/tokenize", &json!({ "prompt": "a" })).status, 401);
}

#[test]
fn a_request_keeps_the_name_that_its_client_gave_it() {
    let server = Running::new(&[]);
    let body = hello(json!({})).to_string();
    let named = |id: &str| {
        let response = ask(server.address, "POST", CHAT, &[("x-request-id", id)], &body);
        response.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(named("job-17.a"), "job-17.a");
    assert_ne!(named("not a plain word"), "not a plain word");
}
