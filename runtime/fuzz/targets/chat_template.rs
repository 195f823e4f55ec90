//! A chat template: refused in words, or it renders a conversation within its bounds.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use samp_runtime::{ChatTemplate, Message};

fuzz_target!(|source: &str| {
    let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    let Ok(template) = ChatTemplate::new(source.to_owned(), tokens) else { return };
    let turn = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let messages = [turn("system", "Be brief."), turn("user", " Why? {{ é }}"), turn("assistant", "So.")];
    drop(template.render(&messages, true));
});
