//! The OpenAPI document is true: what it declares is taken, and what is answered is as it says.

use serde_json::{Value, json};

use crate::support::Running;

/// One of the document's schemas with all that it refers to.
fn validator(document: &Value, name: &str) -> jsonschema::Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"), "components": document["components"],
    });
    jsonschema::validator_for(&schema).unwrap()
}

fn assert_valid(document: &Value, name: &str, value: &Value) {
    let errors: Vec<String> =
        validator(document, name).iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}\n{value}");
}

/// Each example of each field, beside what a request must have.
fn requests(document: &Value, name: &str, base: &Value) -> Vec<Value> {
    let schemas = &document["components"]["schemas"];
    let fields = schemas["Settings"]["properties"].as_object().unwrap().iter();
    let fields = fields.chain(schemas[name]["properties"].as_object().unwrap());
    let with = |(field, schema): (&String, &Value)| -> Vec<Value> {
        let examples = schema["examples"].as_array().into_iter().flatten();
        let with = |example: &Value| {
            let mut body = base.clone();
            body[field] = example.clone();
            if field == "top_logprobs" {
                body["logprobs"] = json!(true);
            }
            body
        };
        examples.map(with).collect()
    };
    fields.flat_map(with).collect()
}

#[test]
fn what_is_declared_is_taken_and_what_is_answered_is_declared() {
    let server = Running::new(&["--served-model-name", "tiny"]);
    let document = server.get("/openapi.json").json();
    assert_eq!(document["info"]["version"], json!(env!("CARGO_PKG_VERSION")));
    let chat = json!({ "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3 });
    let text = json!({ "prompt": "The parser reads", "max_tokens": 3 });
    for (path, base, [request, whole, chunk]) in [
        ("/v1/chat/completions", chat, ["ChatCompletionRequest", "ChatCompletion", "ChatCompletionChunk"]),
        ("/v1/completions", text, ["CompletionRequest", "Completion", "Completion"]),
    ] {
        let bodies = requests(&document, request, &base);
        assert!(bodies.len() > 35, "{request}: {}", bodies.len());
        for body in bodies {
            assert_valid(&document, request, &body);
            assert_valid(&document, whole, &server.answer(path, &body));
            if !body["best_of"].is_number() {
                let mut streamed = body;
                streamed["stream"] = json!(true);
                streamed["stream_options"] = json!({ "include_usage": true });
                assert_valid(&document, request, &streamed);
                server
                    .post(path, &streamed)
                    .events()
                    .iter()
                    .for_each(|event| assert_valid(&document, chunk, event));
            }
        }
        let mut strange = base;
        strange["nonsense"] = json!(1);
        assert!(!validator(&document, request).is_valid(&strange));
        let refused = server.post(path, &strange);
        assert_eq!(refused.status, 400);
        assert_valid(&document, "Error", &refused.json());
    }
}

#[test]
fn the_other_pages_are_as_declared() {
    let server = Running::new(&["--served-model-name", "tiny"]);
    let document = server.get("/openapi.json").json();
    for (path, schema) in [
        ("/v1/models", "ModelList"),
        ("/v1/models/tiny", "Model"),
        ("/ready", "Readiness"),
        ("/version", "Version"),
        ("/v1/none", "Error"),
    ] {
        assert_valid(&document, schema, &server.get(path).json());
    }
    let conversation = json!({ "messages": [{"role": "user", "content": "a"}] });
    for (path, [request, response], bodies) in [
        ("/tokenize", ["TokenizeRequest", "Tokens"], vec![json!({ "prompt": "a" }), conversation]),
        ("/detokenize", ["DetokenizeRequest", "Detokenized"], vec![json!({ "tokens": [5, 6] })]),
    ] {
        for body in bodies {
            assert_valid(&document, request, &body);
            assert_valid(&document, response, &server.answer(path, &body));
        }
    }
    let scored = json!({ "prompt": "The parser reads", "max_tokens": 1, "prompt_logprobs": 2 });
    assert_valid(&document, "CompletionRequest", &scored);
    assert_valid(&document, "Completion", &server.answer("/v1/completions", &scored));
    // Every page is there, and every page that is there is named.
    let source = include_str!("../../src/http/pages.rs");
    let routed: Vec<&str> =
        source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut declared: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut routed = routed;
    routed.sort_unstable();
    declared.sort_unstable();
    assert_eq!(routed, declared);
}
