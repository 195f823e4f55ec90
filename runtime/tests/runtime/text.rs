//! Text in and text out: the tokenizer, the chat template and the generation loop.

use std::ops::ControlFlow;

use samp_runtime::{
    AddSpecial, CachedSequence, DeviceKind, Finish, GenerateError, Request, Sampling, SpecialTokens,
    Tokenizer, generate, generate_in,
};

use crate::support::{SAMP, make, tiny_llama};

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(&tiny_llama("tokenizer.json")).unwrap()
}

#[test]
fn special_tokens_are_added_as_transformers_adds_them() {
    let (bos, tokenizer) = (4088, tokenizer());
    let plain = tokenizer.encode("a b", AddSpecial::No).unwrap();
    let with = tokenizer.encode("a b", AddSpecial::Yes).unwrap();
    assert_eq!(with, [&[bos][..], &plain].concat());
    assert_eq!(tokenizer.decode(&with, SpecialTokens::Skip).unwrap(), "a b");
}

/// Files on which the tokenizers library panics.
#[test]
fn tokenizers_that_make_no_sense_are_refused() {
    for file in [
        r#"{"decoder": {"type""#,
        r#"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}}"#,
    ] {
        let refused = Tokenizer::from_bytes(file.as_bytes()).err().expect(file).to_string();
        assert!(refused.starts_with("tokenizer.json: ") && refused.contains("gave up"), "{refused}");
    }
}

#[test]
fn generation_streams_what_it_returns_and_repeats_with_its_seed() {
    let plan = make(SAMP);
    let tokenizer = tokenizer();
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let sampling = Sampling { temperature: 1.0, seed: 11, ..Sampling::default() };
    let request =
        Request { prompt: vec![1, 7, 20], sampling, max_tokens: 30, ignore_eos: true, ..Request::default() };
    let mut run = |request: Request| {
        let mut streamed = String::new();
        let generated = generate(&mut engine, &tokenizer, request, |delta| {
            streamed.push_str(&delta.text);
            ControlFlow::Continue(())
        });
        let generated = generated.unwrap();
        assert_eq!(streamed, generated.text);
        assert!(engine.is_idle(), "the sequence is released");
        generated
    };
    let first = run(request.clone());
    assert_eq!((first.tokens.len(), first.finish), (30, Finish::Length));
    assert_eq!(first.text, tokenizer.decode(&first.tokens, SpecialTokens::Skip).unwrap());
    assert_eq!(first, run(request.clone()));
    let other = Sampling { seed: 12, ..sampling };
    assert_ne!(first.tokens, run(Request { sampling: other, ..request.clone() }).tokens);
    // The first character of which no piece is the beginning: a stop text cut out of the middle.
    let middle = first.text.chars().nth(first.text.chars().count() / 2).unwrap().to_string();
    let stopped = run(Request { stop: vec![middle.clone()], ..request.clone() });
    assert_eq!(
        (stopped.text.as_str(), stopped.finish),
        (first.text.split(&middle).next().unwrap(), Finish::Stop)
    );
    let ended = run(Request { stop_tokens: vec![first.tokens[4]], ..request.clone() });
    assert!(ended.tokens.len() <= 5 && ended.finish == Finish::Stop);
    // A context of 48 positions has room for 45 tokens after 3.
    let full = run(Request { max_tokens: 1000, ..request.clone() });
    assert_eq!((full.tokens.len(), full.finish), (45, Finish::ContextFull));
    let exactly = run(Request { max_tokens: 45, ..request.clone() });
    assert_eq!((exactly.tokens.len(), exactly.finish), (45, Finish::Length));
    assert!(run(Request { max_tokens: 0, ..request }).tokens.is_empty());
}

#[test]
fn generation_can_be_broken_off_and_refuses_nonsense() {
    let plan = make(SAMP);
    let tokenizer = tokenizer();
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let request = Request { prompt: vec![3], max_tokens: 9, ignore_eos: true, ..Request::default() };
    let broken = generate(&mut engine, &tokenizer, request.clone(), |_| ControlFlow::Break(())).unwrap();
    assert_eq!((broken.tokens.len(), broken.finish), (1, Finish::Cancelled));
    let mut refused =
        |request| generate(&mut engine, &tokenizer, request, |_| ControlFlow::Continue(())).unwrap_err();
    let empty = Request { prompt: vec![], ..request.clone() };
    assert!(matches!(refused(empty), GenerateError::EmptyPrompt));
    let long = Request { prompt: vec![3; 48], ..request.clone() };
    assert!(matches!(refused(long), GenerateError::NoRoom { tokens: 48, limit: 48 }));
    let stop = Request { stop: vec![String::new()], ..request.clone() };
    assert!(matches!(refused(stop), GenerateError::EmptyStop));
    assert!(matches!(refused(Request { prompt: vec![80], ..request }), GenerateError::Engine(_)));
    assert!(engine.is_idle());
}

/// A conversation computes only what its last turn adds, and comes to the same.
#[test]
fn a_sequence_that_stays_computes_the_rest_of_a_prompt_alone() {
    let plan = make(SAMP);
    let tokenizer = tokenizer();
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let mut sequence = CachedSequence::new(&mut engine).unwrap();
    let request =
        |prompt: Vec<u32>| Request { prompt, max_tokens: 4, ignore_eos: true, ..Request::default() };
    let mut prompt = vec![3, 9, 27];
    for turn in 0..4 {
        let held = sequence.tokens().to_vec();
        let expected =
            generate(&mut engine, &tokenizer, request(prompt.clone()), |_| ControlFlow::Continue(()));
        let mut steps = 0;
        let generated = generate_in(&mut engine, &mut sequence, &tokenizer, request(prompt.clone()), |_| {
            steps += 1;
            ControlFlow::Continue(())
        });
        let generated = generated.unwrap();
        assert_eq!((&generated, steps), (&expected.unwrap(), 4));
        assert!(sequence.tokens().starts_with(&held[..held.len().min(prompt.len() - 1)]));
        let answered = &generated.tokens[..3];
        assert_eq!(sequence.tokens(), [&prompt[..], answered].concat());
        assert_eq!(engine.len(sequence.id()).unwrap(), sequence.tokens().len());
        prompt.extend(&generated.tokens);
        // The second turn takes its own first words back, the third says the same again.
        match turn {
            1 => prompt.truncate(2),
            2 => prompt.truncate(6),
            _ => prompt.push(5),
        }
    }
    engine.release(sequence.id());
    assert!(engine.is_idle());
}
