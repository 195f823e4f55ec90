//! Sessions: one plan for several threads.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rayon::prelude::*;
use samp_runtime::{
    ChatTemplate, Completion, Detokenizer, Engine, Finish, Generated, Generation, OpenPlan, Outputs, Prompt,
    Request, Sampling, Session, SessionError, SessionOptions, Tokenizer, TokenizerError,
};

use crate::support::{SAMP, TinyPlan, VOCAB, make};

/// A plan with a tokenizer, of whose tokens the model knows the first 80.
fn plan() -> TinyPlan {
    let plan = make(SAMP);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/models/tiny-llama/tokenizer.json");
    plan.add("tokenizer.json", &std::fs::read(file).unwrap());
    plan
}

fn open(plan: &TinyPlan, options: SessionOptions) -> Session {
    Session::open(plan.path(), options).unwrap()
}

fn request(seed: u64) -> Request {
    let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
    Request { prompt: vec![1, 7, 20], sampling, max_tokens: 12, ignore_eos: true, ..Request::default() }
}

fn whole(session: &Session, request: Request) -> Generated {
    session.generate(request, |_| ControlFlow::Continue(())).unwrap()
}

fn is_idle(session: &Session) -> bool {
    session.with_engine(|engine| engine.is_idle()).unwrap()
}

/// What the pages say may be shared between threads, and what may only be moved.
#[test]
fn what_may_be_shared_is_sync_and_what_may_be_moved_is_send() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moved<T: Send + 'static>() {}
    shared::<Session>();
    shared::<OpenPlan>();
    shared::<Tokenizer>();
    shared::<ChatTemplate>();
    shared::<SessionError>();
    moved::<Engine>();
    moved::<Generation>();
    moved::<Completion<Arc<Tokenizer>>>();
    moved::<Detokenizer<Arc<Tokenizer>>>();
}

#[test]
fn threads_that_share_a_session_get_what_each_alone_gets() {
    let plan = plan();
    let session = open(&plan, SessionOptions::default());
    let alone: Vec<Generated> = (0..4).map(|seed| whole(&session, request(seed))).collect();
    assert_ne!(alone[0], alone[1], "seeds matter");
    let workers: Vec<_> = (0..4)
        .map(|seed| {
            let session = session.clone();
            std::thread::spawn(move || whole(&session, request(seed)))
        })
        .collect();
    let together: Vec<Generated> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert_eq!(alone, together);
    assert!(is_idle(&session));
}

/// A thread of a pool that waits takes up other work, which may want the session, too.
#[test]
fn a_session_may_be_called_from_the_threads_of_a_pool() {
    let plan = plan();
    let session = open(&plan, SessionOptions { threads: Some(2), ..SessionOptions::default() });
    let lengths: Vec<usize> =
        (0..32u64).into_par_iter().map(|seed| whole(&session, request(seed)).tokens.len()).collect();
    assert_eq!(lengths, vec![12; 32]);
    assert_eq!(session.with_engine(|_| rayon::current_num_threads()).unwrap(), 2);
}

#[test]
fn streams_take_turns_and_end_their_sequences() {
    let plan = plan();
    let session = open(&plan, SessionOptions::default());
    let mut streams: Vec<Generation> = (0..3).map(|seed| session.stream(request(seed)).unwrap()).collect();
    let mut texts = vec![String::new(); 3];
    for _ in 0..12 {
        for (stream, text) in streams.iter_mut().zip(&mut texts) {
            text.push_str(&stream.next().unwrap().unwrap().text);
        }
    }
    for (seed, (stream, text)) in streams.iter_mut().zip(&texts).enumerate() {
        assert!(stream.next().is_none());
        let expected = whole(&session, request(seed as u64));
        assert_eq!((stream.tokens(), text), (&expected.tokens[..], &expected.text));
        assert_eq!(stream.finish(), Some(Finish::Length));
    }
    assert!(is_idle(&session), "what has ended holds nothing");
    let mut left = session.stream(request(9)).unwrap();
    left.next().unwrap().unwrap();
    assert!(!is_idle(&session));
    drop(left);
    assert!(is_idle(&session), "what is dropped holds nothing");
    let broken = session.generate(request(9), |_| ControlFlow::Break(())).unwrap();
    assert_eq!((broken.tokens.len(), broken.finish), (1, Finish::Cancelled));
}

#[test]
fn logits_are_those_of_the_engine() {
    let plan = plan();
    let session = open(&plan, SessionOptions::default());
    let tokens = [1, 5, 9, 2];
    let found = session.logits(&tokens).unwrap();
    let mut engine = plan.engine(samp_runtime::DeviceKind::Cpu, None);
    let sequence = engine.create().unwrap();
    let expected = engine.append_tokens(sequence, &tokens, Outputs::All).unwrap();
    assert_eq!((found.len(), found.vocab() as u64), (4, VOCAB));
    assert_eq!(found.as_slice(), expected.as_slice());
    let refused = session.logits(&[1, 80]).unwrap_err();
    assert!(matches!(refused, SessionError::Engine(_)), "{refused}");
    assert!(is_idle(&session));
}

#[test]
fn what_a_session_cannot_do_it_refuses() {
    let plan = plan();
    let refused = |options| Session::open(plan.path(), options).unwrap_err();
    let none = refused(SessionOptions { threads: Some(0), ..SessionOptions::default() });
    assert!(none.code() == "E1418" && none.cause().exit_code() == 2, "{none}");
    let other = refused(SessionOptions { digest: Some("0".repeat(64)), ..SessionOptions::default() });
    assert!(other.to_string().contains(&plan.manifest().digest), "{other}");
    assert_eq!((other.code(), other.cause()), ("E1402", samp_abi::Cause::Refusal));
    let digest = Some(format!("blake3:{}", plan.manifest().digest));
    let session = open(&plan, SessionOptions { digest, ..SessionOptions::default() });
    let chat = session.encode(Prompt::Chat(&[])).unwrap_err();
    assert!(matches!(chat, SessionError::NoChatTemplate), "{chat}");
    let without = open(&make(SAMP), SessionOptions::default());
    let text = without.encode(Prompt::Text("a")).unwrap_err();
    assert!(matches!(text, SessionError::Tokenizer(TokenizerError::Missing)), "{text}");
    assert_eq!(without.logits(&[1]).unwrap().len(), 1, "tokens need no tokenizer");
}

/// A defect leaves the engine in an unknown state.
#[test]
fn after_a_panic_a_session_computes_nothing() {
    let plan = plan();
    let session = open(&plan, SessionOptions::default());
    let defect = catch_unwind(AssertUnwindSafe(|| session.with_engine(|_| panic!("a defect"))));
    assert!(defect.is_err());
    let refused = session.logits(&[1]).unwrap_err();
    assert!(matches!(refused, SessionError::Failed), "{refused}");
}
