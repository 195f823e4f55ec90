//! The plan's tokenizer, with special tokens added as transformers adds them.

mod bytes;
mod error;
mod renamed;
mod special;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

pub use self::error::{TOKENIZER_FILE, TokenizerError};
use self::{bytes::Spelling, error::LIBRARY, renamed::RenamedTokenizer};
pub(crate) use self::{renamed::PRIVATE_USE, special::SpecialVocabulary};

use crate::{library_panic::catch_library_panic, plan::OpenPlan};

/// File with its settings.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// Whether encoding adds the tokens that begin (and end) a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddSpecial {
    /// As transformers does by default.
    Yes,
    /// Nothing but the text's own tokens: for rendered chat templates and continuations.
    No,
}

/// Whether decoding shows special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// Leave them out.
    Skip,
    /// Show them as text.
    Keep,
}

/// A plan's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: BTreeMap<u32, String>,
    vocabulary: SpecialVocabulary,
    spelling: Spelling,
    /// Made when a text first spells a special token that it may not name.
    renamed: OnceLock<RenamedTokenizer>,
}

impl Tokenizer {
    /// The tokenizer that `plan` carries.
    pub fn from_plan(plan: &OpenPlan) -> Result<Tokenizer, TokenizerError> {
        let tokenizer = plan.file(TOKENIZER_FILE).ok_or(TokenizerError::Missing)?;
        Tokenizer::from_bytes(tokenizer)
    }

    /// Reads `tokenizer.json`. Which special tokens begin and end a text, its own template says: transformers 5 lets go
    /// of `add_bos_token` and `add_eos_token` in `tokenizer_config.json` where there is this file.
    pub fn from_bytes(tokenizer: &[u8]) -> Result<Tokenizer, TokenizerError> {
        let wrong = |reason: &dyn std::fmt::Display| TokenizerError::File {
            file: TOKENIZER_FILE,
            reason: reason.to_string(),
        };
        let mut inner = catch_library_panic(LIBRARY, || tokenizers::Tokenizer::from_bytes(tokenizer))
            .map_err(|e| wrong(&e))?;
        // Truncation and padding are the caller's business, whatever the file was saved with.
        inner.with_padding(None).with_truncation(None).map_err(|e| wrong(&e))?;
        let added = inner.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special);
        let special: BTreeMap<u32, String> = special.map(|(id, token)| (id, token.content)).collect();
        let vocabulary = SpecialVocabulary::new(special.iter().map(|(id, text)| (text.clone(), *id)));
        let spelling = Spelling::new(&inner);
        Ok(Tokenizer { inner, special, vocabulary, spelling, renamed: OnceLock::new() })
    }

    /// The token ids of a text.
    pub fn encode(&self, text: &str, special: AddSpecial) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            catch_library_panic(LIBRARY, || self.inner.encode_fast(text, special == AddSpecial::Yes));
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| TokenizerError::Failed(e.to_string()))
    }

    /// The token ids of a text parts of which are not trusted, without added ones: as [`Tokenizer::encode`] gives them, save
    /// that a special token which an untrusted byte helps to spell is encoded as the text that it is. `untrusted` says for
    /// each byte of the text whether it is.
    pub(crate) fn encode_untrusted(
        &self,
        text: &str,
        untrusted: &[bool],
    ) -> Result<Vec<u32>, TokenizerError> {
        let meant = self.vocabulary.occurrences(text, |range| !untrusted[range].contains(&true));
        let ids = self.encode(text, AddSpecial::No)?;
        let special = ids.iter().filter(|id| self.is_special(**id));
        if special.eq(meant.iter().map(|(_, id)| id)) {
            return Ok(ids);
        }
        let make = |taken: &BTreeSet<char>| RenamedTokenizer::new(&self.inner, &self.vocabulary, taken);
        let renamed = match self.renamed.get() {
            Some(renamed) => renamed,
            None => {
                let made = make(&BTreeSet::new())?;
                self.renamed.get_or_init(|| made)
            }
        };
        if renamed.has_name_in(text) {
            return make(&text.chars().collect())?.encode(text, &meant);
        }
        renamed.encode(text, &meant)
    }

    /// The special tokens and what spells them.
    pub(crate) fn special_vocabulary(&self) -> &SpecialVocabulary {
        &self.vocabulary
    }

    /// The text of token ids. Ids that the tokenizer does not know are left out.
    pub fn decode(&self, ids: &[u32], special: SpecialTokens) -> Result<String, TokenizerError> {
        catch_library_panic(LIBRARY, || self.inner.decode(ids, special == SpecialTokens::Skip))
            .map_err(|e| TokenizerError::Failed(e.to_string()))
    }

    /// The token as it stands in the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The bytes that the token stands for inside a text: perhaps part of a character. A special token's are its name.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let text = self.token_text(id)?;
        let verbatim = self.inner.get_added_vocabulary().simple_id_to_token(id).is_some();
        Some(if verbatim { text.into_bytes() } else { self.spelling.bytes(&text) })
    }

    /// The id of a token as it stands in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The largest id that the tokenizer gives, with its token; `None` if it has no tokens. Looks at all of them.
    pub fn largest_id(&self) -> Option<(u32, String)> {
        self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).max()
    }

    /// Whether the token is a special one.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains_key(&id)
    }
}
