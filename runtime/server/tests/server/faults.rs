//! Clients that go away, dawdle or come in crowds; a server that is told to end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    client::{connect, read, request},
    support::{Running, accounts, plan},
};

const TEXT: &str = "/v1/completions";

fn long(tokens: usize) -> Value {
    json!({ "prompt": "The parser reads", "max_tokens": tokens, "ignore_eos": true, "stream": true, "seed": 1 })
}

/// A client that asks and goes away once it has read so many bytes.
fn abandon(server: &Running, bytes: usize) {
    let mut stream = connect(server.address);
    stream.write_all(request("POST", TEXT, &[], &long(1500).to_string()).as_bytes()).unwrap();
    let mut read = vec![0; bytes];
    if bytes > 0 {
        stream.read_exact(&mut read).unwrap();
    }
}

#[test]
fn whoever_goes_away_is_computed_for_no_longer() {
    let server = Running::new(&[]);
    for point in 0..50 {
        abandon(&server, point * 97);
        let took = server.idle();
        assert!(took < Duration::from_secs(2), "after {} bytes: {took:?}", point * 97);
    }
    // Not everyone's request had come before they went.
    let cancelled = server.metric("samp_requests_received_total");
    assert!(cancelled > 40.0, "{cancelled}");
    let (received, sum) = accounts(&server);
    assert_eq!(received, sum);
    let tokens = server.metric("vllm:generation_tokens_total");
    assert!(tokens < 50.0 * 750.0, "{tokens} tokens were computed for nobody");
}

#[test]
fn whoever_waits_for_a_whole_answer_may_go_away_too() {
    let server = Running::new(&[]);
    let mut body = long(1500);
    body["stream"] = json!(false);
    let mut stream = connect(server.address);
    stream.write_all(request("POST", TEXT, &[], &body.to_string()).as_bytes()).unwrap();
    while server.metric("samp_requests_running") == 0.0 {
        thread::sleep(Duration::from_millis(1));
    }
    drop(stream);
    assert!(server.idle() < Duration::from_secs(1));
    assert_eq!(accounts(&server), (1.0, 1.0));
}

#[test]
fn headers_and_bodies_that_never_end_are_cut_off() {
    let server = Running::new(&["--header-timeout", "1", "--body-timeout", "1"]);
    let begun = request("POST", TEXT, &[], &"x".repeat(1000));
    let slow: Vec<_> = (0..200)
        .map(|client| {
            let mut stream = connect(server.address);
            let sent = if client % 2 == 0 { 30 } else { begun.len() - 5 };
            stream.write_all(&begun.as_bytes()[..sent]).unwrap();
            (client, stream)
        })
        .collect();
    // Others are served meanwhile.
    let mut short = long(4);
    short["stream"] = json!(false);
    server.answer(TEXT, &short);
    for (client, mut stream) in slow {
        if client % 2 == 0 {
            let mut rest = vec![];
            // The system may report the cut as an error in place of an end.
            let _ = stream.read_to_end(&mut rest);
        } else {
            assert_eq!(read(&mut stream).status, 408);
        }
    }
    let large = "x".repeat(9 << 20);
    let mut stream = connect(server.address);
    // The server need not read what it refuses.
    let _ = stream.write_all(request("POST", TEXT, &[], &large).as_bytes());
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_again() {
    let server = Running::new(&["--max-num-seqs", "1", "--max-num-queued-reqs", "3"]);
    thread::scope(|scope| {
        let ask = |_| {
            scope.spawn(|| {
                let began = Instant::now();
                (server.post(TEXT, &long(200)), began.elapsed())
            })
        };
        let asking: Vec<_> = (0..40).map(ask).collect();
        let answers: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        let (served, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|(answer, _)| answer.status == 200);
        assert!(served.len() >= 4 && !refused.is_empty(), "{} served", served.len());
        for (answer, _) in &refused {
            assert_eq!(answer.status, 429);
            assert_eq!(answer.json()["error"]["code"], "queue_full");
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            let ms: u64 = answer.header("retry-after-ms").unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds) && ms <= 1000 * seconds);
        }
        for (answer, _) in &served {
            assert_eq!(answer.events().last().unwrap()["choices"][0]["finish_reason"], "length");
        }
    });
    let (received, sum) = accounts(&server);
    assert_eq!((received, sum), (40.0, 40.0));
}

#[test]
fn a_server_that_ends_lets_requests_end_and_takes_no_more() {
    let mut server = Running::new(&[]);
    let address = server.address;
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let mut stream = connect(address);
            stream.write_all(request("POST", TEXT, &[], &long(400).to_string()).as_bytes()).unwrap();
            read(&mut stream)
        });
        while server.metric("samp_requests_running") == 0.0 {
            thread::sleep(Duration::from_millis(1));
        }
        server.tell_to_end();
        while server.get("/ready").status == 200 {
            thread::sleep(Duration::from_millis(1));
        }
        let refused = server.post(TEXT, &long(4));
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        asking.join().unwrap()
    });
    let events = answer.events();
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
    server.end().unwrap();
}

#[test]
fn the_time_to_end_in_is_bounded() {
    let mut server = Running::new(&["--shutdown-timeout", "0.2"]);
    let mut stream = connect(server.address);
    stream.write_all(request("POST", TEXT, &[], &long(1900).to_string()).as_bytes()).unwrap();
    while server.metric("samp_requests_running") == 0.0 {
        thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    server.tell_to_end();
    server.end().unwrap();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

/// The process itself: it says where it listens, ends by a signal with 0, and keeps keys and texts to itself.
#[test]
fn the_process_ends_by_a_signal_and_logs_no_texts() {
    let binary = env!("CARGO_BIN_EXE_samp-server");
    let mut command = Command::new(binary);
    command.arg(plan()).args(["--port", "0", "--api-key", "sesame"]).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&listening["event"], &listening["level"]), (&json!("listening"), &json!("info")));
    let address = listening["address"].as_str().unwrap().parse().unwrap();
    let body = json!({ "prompt": "a secret text", "max_tokens": 3, "ignore_eos": true }).to_string();
    let headers = [("authorization", "Bearer sesame"), ("x-request-id", "asked-by-a-test")];
    assert_eq!(crate::client::ask(address, "POST", TEXT, &headers, &body).status, 200);
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(process.wait().unwrap().success(), "{rest}");
    let events: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let asked = events.iter().find(|event| event["event"] == "request").expect("a line for the request");
    assert_eq!((&asked["request_id"], &asked["outcome"]), (&json!("asked-by-a-test"), &json!("length")));
    assert_eq!((&asked["completion_tokens"], &asked["status"]), (&json!(3), &json!(200)));
    assert!(asked["latency_ms"].as_f64().unwrap() >= asked["ttft_ms"].as_f64().unwrap());
    assert!(asked["quantization_level"].as_str().unwrap().contains("nf4"));
    assert!(!rest.contains("secret") && !rest.contains("sesame"), "{rest}");
}

#[test]
fn what_cannot_be_served_ends_with_a_code() {
    for (flags, code, exit) in [
        (vec!["/no/such/plan"], "E13", 2),
        (vec![plan().to_str().unwrap(), "--max-num-seqs", "129"], "E1602", 2),
        (vec![plan().to_str().unwrap(), "--digest", "00"], "E1604", 2),
        (vec![plan().to_str().unwrap(), "--api-key-file", "/no/such/file"], "E1603", 2),
        (vec![plan().to_str().unwrap(), "--host", "203.0.113.1"], "E1601", 3),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_samp-server")).args(&flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("error[{code}")), "{flags:?}: {said}");
        assert_eq!(output.status.code(), Some(exit), "{said}");
    }
}
