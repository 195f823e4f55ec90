//! What evaluation counts, leaves out and refuses, over a model that is made up.

use super::*;
use samp_runtime::Silent;

/// Predicts nothing in particular over bytes; begins every text with byte 0.
struct Bytes {
    context: usize,
    /// What it gives after a `!`.
    after_bang: f32,
    logits: Vec<f32>,
}

impl Bytes {
    fn new(context: usize) -> Bytes {
        Bytes { context, after_bang: 1.0, logits: vec![] }
    }
}

impl LanguageModel for Bytes {
    fn vocab_size(&self) -> usize {
        256
    }

    fn max_context(&self) -> usize {
        self.context
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, EvalError> {
        Ok([0].into_iter().chain(text.bytes().map(u32::from)).collect())
    }

    fn conversation(&self, conversation: &samp_runtime::Conversation) -> Result<Vec<u32>, EvalError> {
        self.tokenize(&conversation.messages.iter().filter_map(|message| message.text()).collect::<String>())
    }

    fn logits(&mut self, tokens: &[u32]) -> Result<&[f32], EvalError> {
        assert!(tokens.len() <= self.context, "{} tokens for a context of {}", tokens.len(), self.context);
        let value = |token: u32, j: u32| {
            if token == u32::from(b'!') { self.after_bang } else { (token * j % 7) as f32 }
        };
        self.logits = tokens.iter().flat_map(|&token| (0..256).map(move |j| value(token, j))).collect();
        Ok(&self.logits)
    }
}

/// An error with its sources, as the command prints them.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map_or(String::new(), |source| format!(": {}", chain(source)));
    format!("{error}{source}")
}

fn text(line: usize, text: &str) -> Record {
    Record { number: line, stratum: NO_STRATUM.into(), task: Task::Text(text.into()) }
}

fn question(prompt: &str, choices: &[&str]) -> Record {
    let choices = choices.iter().map(|&choice| choice.into()).collect();
    Record {
        number: 1,
        stratum: NO_STRATUM.into(),
        task: Task::Choice { prompt: prompt.into(), choices, answer: 0 },
    }
}

#[test]
fn texts_are_cut_to_the_smaller_context_and_counted() {
    let records = [text(1, "one two three"), text(2, "four")];
    let alone = evaluate(&mut Bytes::new(64), None, &records, None, &Silent).unwrap();
    assert_eq!((alone.overall.truncated, alone.overall.tokens, alone.max_tokens), (0, 17, 64));
    for (context, other, asked, cut_to) in
        [(64, 8, None, 8), (8, 64, None, 8), (64, 64, Some(8), 8), (8, 8, Some(99), 8)]
    {
        let (mut model, mut baseline) = (Bytes::new(context), Bytes::new(other));
        let found = evaluate(&mut model, Some(&mut baseline), &records, asked, &Silent).unwrap();
        assert_eq!((found.overall.truncated, found.overall.tokens, found.max_tokens), (1, 11, cut_to));
        assert_eq!(found.strata[NO_STRATUM].truncated, 1);
    }
}

#[test]
fn questions_beyond_the_context_are_left_out_and_counted() {
    let records = [question("ab", &["c", "d"]), question("ab", &["c", "much too long a choice"])];
    let found = evaluate(&mut Bytes::new(12), None, &records, None, &Silent).unwrap().overall;
    assert_eq!((found.records, found.skipped), (2, 1));
    let fitting = evaluate(&mut Bytes::new(12), None, &records[..1], None, &Silent).unwrap().overall;
    assert_eq!(found.choice_accuracy, fitting.choice_accuracy);
    let none = evaluate(&mut Bytes::new(12), None, &records[1..], None, &Silent).unwrap().overall;
    assert_eq!(none.choice_accuracy, None);
}

#[test]
fn logits_that_are_not_finite_are_errors_that_name_the_record() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let broken = || Bytes { after_bang: value, ..Bytes::new(64) };
        let records = [text(1, "sound"), text(5, "ab! ")];
        let error = evaluate(&mut broken(), None, &records, None, &Silent).unwrap_err();
        let said = chain(&error);
        assert!(
            said.starts_with(
                "record 5 of the data (its line, row or document): expected finite logits of the plan"
            ),
            "{said}"
        );
        assert!(said.contains("after position 3"), "{said}");
        let error = evaluate(&mut Bytes::new(64), Some(&mut broken()), &records, None, &Silent).unwrap_err();
        assert!(chain(&error).contains("finite logits of the baseline"), "{error}");
        assert!(evaluate(&mut broken(), None, &[question("!", &["a", "b"])], None, &Silent).is_err());
    }
}
