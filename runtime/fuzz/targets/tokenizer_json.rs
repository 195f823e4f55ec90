//! `tokenizer.json`: refused in words, or text becomes tokens and tokens become text. Panics of the library that
//! reads it are caught by the runtime; libFuzzer's hook, which would end at them, is therefore taken out. A panic
//! that nobody contains still ends the run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use samp_runtime::{AddSpecial, SpecialTokens, Tokenizer};

fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |data: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_bytes(data) else { return };
    if let Ok(ids) = tokenizer.encode("The parser reads é.", AddSpecial::Yes) {
        drop(tokenizer.decode(&ids, SpecialTokens::Skip));
    }
    drop(tokenizer.decode(&[0, 1, u32::MAX], SpecialTokens::Keep));
});
