//! A chat template: refused in words, or it renders a conversation within its bounds.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use samp_runtime::{ChatTemplate, Message};

fuzz_target!(|source: &str| {
    let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    let Ok(template) = ChatTemplate::new(source.to_owned(), tokens) else { return };
    let messages = [("system", "Be brief."), ("user", " Why? {{ é }}"), ("assistant", "So.")];
    let messages: Vec<Message> = messages.map(|(role, content)| Message::new(role, content)).into();
    drop(template.render(&messages.into(), true));
});
