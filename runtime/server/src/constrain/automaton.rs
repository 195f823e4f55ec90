//! A form as an automaton over bytes, made state by state as answers need them and shared by all answers of the form.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use regex_automata::{
    Anchored, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson,
    util::{start, syntax},
};
use samp_runtime::Tokenizer;

use super::vocabulary::Vocabulary;

/// Bytes that the states of one form may take.
const MAX_STATE_BYTES: usize = 32 << 20;
/// Bytes that a form may take before any state is made.
const MAX_FORM_BYTES: usize = 32 << 20;

/// A form that answers may be asked to have.
pub struct Form {
    dfa: DFA,
    vocabulary: Arc<Vocabulary>,
    tokenizer: Arc<Tokenizer>,
    /// Tokens that end an answer; allowed where the form is complete.
    ends: Vec<u32>,
    made: Mutex<Made>,
}

/// The states that were made so far, and the mask of each that one was asked of.
struct Made {
    cache: Cache,
    masks: HashMap<LazyStateID, Arc<Vec<u32>>>,
    goes_on: HashMap<LazyStateID, bool>,
}

/// The form is too intricate: its states do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form of the answer takes more than {MAX_STATE_BYTES} bytes of states; ask for a simpler one")]
pub struct TooIntricate;

impl Form {
    /// The texts that `expression` matches as a whole.
    pub fn new(
        expression: &str,
        tokenizer: Arc<Tokenizer>,
        vocabulary: Arc<Vocabulary>,
        ends: Vec<u32>,
    ) -> Result<Form, String> {
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(MAX_STATE_BYTES)
            .skip_cache_capacity_check(true)
            // States are never let go: answers hold on to theirs.
            .minimum_cache_clear_count(Some(0));
        let dfa = DFA::builder()
            .configure(config)
            .syntax(syntax::Config::new().nest_limit(500))
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_FORM_BYTES)))
            .build(expression)
            .map_err(|error| error.to_string())?;
        let made =
            Mutex::new(Made { cache: dfa.create_cache(), masks: HashMap::new(), goes_on: HashMap::new() });
        Ok(Form { dfa, vocabulary, tokenizer, ends, made })
    }

    /// The state after a byte, if a text of the form goes on from there.
    fn next(
        &self,
        made: &mut Made,
        state: LazyStateID,
        byte: u8,
    ) -> Result<Option<LazyStateID>, TooIntricate> {
        let next = self.dfa.next_state(&mut made.cache, state, byte).map_err(|_| TooIntricate)?;
        if next.is_dead() || next.is_quit() {
            return Ok(None);
        }
        // That a text was complete the automaton says one byte late: such a state may be all there is to it.
        let goes_on = !next.is_match() || self.goes_on(made, next)?;
        Ok(goes_on.then_some(next))
    }

    /// Whether a text may end in a state, or any byte leads on from it.
    fn goes_on(&self, made: &mut Made, state: LazyStateID) -> Result<bool, TooIntricate> {
        if let Some(known) = made.goes_on.get(&state) {
            return Ok(*known);
        }
        let mut goes_on = self.may_end(&mut made.cache, state)?;
        for byte in 0..=u8::MAX {
            if goes_on {
                break;
            }
            let next = self.dfa.next_state(&mut made.cache, state, byte).map_err(|_| TooIntricate)?;
            goes_on = !next.is_dead() && !next.is_quit();
        }
        made.goes_on.insert(state, goes_on);
        Ok(goes_on)
    }

    fn may_end(&self, cache: &mut Cache, state: LazyStateID) -> Result<bool, TooIntricate> {
        Ok(self.dfa.next_eoi_state(cache, state).map_err(|_| TooIntricate)?.is_match())
    }
}

/// How far an answer of a form has come.
pub struct FormState {
    form: Arc<Form>,
    state: LazyStateID,
}

impl FormState {
    /// Before the first token.
    pub fn new(form: Arc<Form>) -> Result<FormState, TooIntricate> {
        let mut made = form.made.lock().unwrap_or_else(PoisonError::into_inner);
        let config = start::Config::new().anchored(Anchored::Yes);
        let state = form.dfa.start_state(&mut made.cache, &config).map_err(|_| TooIntricate)?;
        drop(made);
        Ok(FormState { form, state })
    }

    /// The tokens that may come next: those that a text of the form goes on with, and where it is complete those that end an
    /// answer.
    pub fn allowed(&self) -> Result<Arc<Vec<u32>>, TooIntricate> {
        let form = &*self.form;
        let mut made = form.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = made.masks.get(&self.state) {
            return Ok(mask.clone());
        }
        let mut mask = vec![0u32; form.vocabulary.mask_words()];
        let mut allow = |id: u32| mask[id as usize / 32] |= 1 << (id % 32);
        form.vocabulary.walk(self.state, |state, byte| form.next(&mut made, state, byte), &mut allow)?;
        if form.may_end(&mut made.cache, self.state)? {
            form.ends.iter().copied().filter(|id| form.vocabulary.has(*id)).for_each(&mut allow);
        }
        let mask = Arc::new(mask);
        made.masks.insert(self.state, mask.clone());
        Ok(mask)
    }

    /// A token came. One that ends the answer, or is not allowed, changes nothing.
    pub fn advance(&mut self, token: u32) -> Result<(), TooIntricate> {
        let form = &*self.form;
        let Some(bytes) = form.vocabulary.token(&form.tokenizer, token) else { return Ok(()) };
        let mut made = form.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state;
        for byte in bytes {
            match form.next(&mut made, state, byte)? {
                Some(next) => state = next,
                None => return Ok(()),
            }
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_runtime::{AddSpecial, TokenMask};

    fn allows(mask: &[u32], token: u32) -> bool {
        TokenMask(mask).allows(token)
    }

    fn tokenizer() -> Arc<Tokenizer> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/models/tiny-llama/tokenizer.json");
        Arc::new(Tokenizer::from_bytes(&std::fs::read(path).unwrap()).unwrap())
    }

    fn form(expression: &str) -> Arc<Form> {
        let tokenizer = tokenizer();
        let vocabulary = Arc::new(Vocabulary::new(&tokenizer, 4096));
        Arc::new(Form::new(expression, tokenizer, vocabulary, vec![4089, 4092]).unwrap())
    }

    /// Whether a text is allowed token by token, and may end there.
    fn takes(form: &Arc<Form>, text: &str) -> bool {
        let mut state = FormState::new(form.clone()).unwrap();
        for token in form.tokenizer.encode(text, AddSpecial::No).unwrap() {
            if !allows(&state.allowed().unwrap(), token) {
                return false;
            }
            state.advance(token).unwrap();
        }
        allows(&state.allowed().unwrap(), 4092)
    }

    #[test]
    fn texts_of_the_form_are_taken_and_no_others() {
        let form = form(r#"(?:yes|no, (?:never|"naïve 😀")!)"#);
        for text in ["yes", "no, never!", "no, \"naïve 😀\"!"] {
            assert!(takes(&form, text), "{text}");
        }
        for text in ["ye", "yes!", "no", "maybe", "yes yes", ""] {
            assert!(!takes(&form, text), "{text}");
        }
    }

    #[test]
    fn a_shorter_alternative_does_not_hide_a_longer_one() {
        let form = form("(?:a|ab|abc)");
        assert!(["a", "ab", "abc"].into_iter().all(|text| takes(&form, text)));
        assert!(!takes(&form, "abcd"));
    }

    #[test]
    fn special_tokens_are_never_part_of_a_form() {
        let form = form(".*");
        let allowed = FormState::new(form).unwrap().allowed().unwrap();
        let special: Vec<u32> = (4088..4096).filter(|id| allows(&allowed, *id)).collect();
        assert_eq!(special, [4089, 4092], "those that end an answer");
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let tokenizer = tokenizer();
        let vocabulary = Arc::new(Vocabulary::new(&tokenizer, 4096));
        let made = |expression: &str| Form::new(expression, tokenizer.clone(), vocabulary.clone(), vec![]);
        assert!(made("((((.{1000}){1000}){1000}){1000})").is_err());
        assert!(made("(unclosed").is_err());
        // An automaton of 2^n states: none of them is made before it is needed.
        let intricate = Arc::new(made("(?:a|b)*a(?:a|b){30}").unwrap());
        let mut state = FormState::new(intricate).unwrap();
        let ab = ["a", "b"].map(|text| tokenizer.encode(text, AddSpecial::No).unwrap()[0]);
        let mut random = 1u32;
        for _ in 0..2000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state.advance(ab[random as usize >> 31]).is_err() {
                return;
            }
        }
    }
}
