//! A request's text is the same alone, among others, from a warm cache, and after it was preempted: byte for byte.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Running, SEQUENCES};

/// What each of many clients asks for; no two the same, some with what needs the logits on the host.
fn body(client: usize) -> Value {
    let words =
        ["The parser reads", "fn main() {", "{\"name\": ", "Once upon a time", "SELECT", "In the morning"];
    let prompt = format!("{} {client} {}", words[client % words.len()], "and so on ".repeat(client % 40));
    let mut body = json!({
        "prompt": prompt, "seed": client, "temperature": 0.9, "top_p": 0.95, "max_tokens": 16 + client % 24,
        "ignore_eos": true, "return_token_ids": true, "logprobs": 0,
    });
    match client % 5 {
        1 => body["repetition_penalty"] = json!(1.2),
        2 => body["frequency_penalty"] = json!(0.5),
        3 => body["logit_bias"] = json!({ "17": 3.5 }),
        4 => body["min_tokens"] = json!(5),
        _ => drop(body.as_object_mut().unwrap().remove("logprobs")),
    }
    body
}

fn choice(server: &Running, body: &Value) -> Value {
    server.answer("/v1/completions", body)["choices"][0].clone()
}

fn together(server: &Running, bodies: &[Value]) -> Vec<Value> {
    thread::scope(|scope| {
        let asking: Vec<_> = bodies.iter().map(|body| scope.spawn(move || choice(server, body))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    })
}

#[test]
fn a_text_is_the_same_alone_among_128_and_from_a_warm_cache() {
    let cold = Running::new(&["--enable-prefix-caching", "false"]);
    let bodies: Vec<Value> = (0..SEQUENCES).map(body).collect();
    let alone: Vec<Value> = bodies.iter().map(|body| choice(&cold, body)).collect();
    assert_eq!(cold.metric("vllm:prefix_cache_hits_total"), 0.0);
    assert_eq!(together(&cold, &bodies), alone, "among {SEQUENCES}");
    let warm = Running::new(&[]);
    assert_eq!(together(&warm, &bodies), alone, "among {SEQUENCES}, with a cache");
    let hits = warm.metric("vllm:prefix_cache_hits_total");
    assert_eq!(together(&warm, &bodies), alone, "from a warm cache");
    let more = warm.metric("vllm:prefix_cache_hits_total") - hits;
    assert!(more > 0.0, "the second time prompts are found");
}

#[test]
fn a_text_is_the_same_after_it_was_preempted() {
    // Short prompts with long answers: many are admitted, and then grow.
    let longer = |client: usize| {
        let mut body = body(40 * client);
        body["max_tokens"] = json!(80 + client);
        body
    };
    let bodies: Vec<Value> = (0..20).map(longer).collect();
    let roomy = Running::new(&[]);
    let alone: Vec<Value> = bodies.iter().map(|body| choice(&roomy, body)).collect();
    for caching in ["true", "false"] {
        let flags = ["--kv-tokens", "256", "--max-model-len", "256", "--enable-prefix-caching", caching];
        let scarce = Running::new(&flags);
        assert_eq!(together(&scarce, &bodies), alone, "caching {caching}");
        let preemptions = scarce.metric("vllm:num_preemptions_total");
        assert!(preemptions > 2.0, "{preemptions} preemptions, caching {caching}");
        scarce.idle();
    }
}

#[test]
fn choices_share_their_prompt() {
    let server = Running::new(&[]);
    let prompt: Vec<u32> = (0..200).map(|at| 10 + at * 13 % 700).collect();
    let body = json!({ "prompt": prompt, "n": 4, "seed": 9, "max_tokens": 6, "temperature": 1.2 });
    let four = server.answer("/v1/completions", &body);
    let hits = server.metric("vllm:prefix_cache_hits_total");
    assert!(hits >= 3.0 * 150.0, "three of four find the prompt: {hits} positions");
    for (index, choice) in four["choices"].as_array().unwrap().iter().enumerate() {
        let one = json!({ "prompt": prompt, "seed": 9 + index, "max_tokens": 6, "temperature": 1.2 });
        let one = server.answer("/v1/completions", &one);
        assert_eq!(one["choices"][0]["text"], choice["text"]);
        assert!(one["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() >= 150);
    }
}
