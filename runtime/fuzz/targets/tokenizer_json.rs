//! `tokenizer.json`: refused in words, or text becomes tokens and tokens become text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use samp_runtime::{AddSpecial, SpecialTokens, Tokenizer};

fuzz_target!(|data: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_bytes(data, None) else { return };
    if let Ok(ids) = tokenizer.encode("The parser reads é.", AddSpecial::Yes) {
        drop(tokenizer.decode(&ids, SpecialTokens::Skip));
    }
    drop(tokenizer.decode(&[0, 1, u32::MAX], SpecialTokens::Keep));
});
