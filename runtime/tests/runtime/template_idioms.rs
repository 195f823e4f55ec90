//! Chat templates in the idioms of public checkpoints against transformers, which wrote `testdata/chat/idioms.json`.

use std::{collections::BTreeMap, fs, path::Path};

use samp_runtime::{ChatTemplate, Conversation, Message, TemplateValue};
use serde::Deserialize;

/// A template, what it is run on, and what transformers makes of it: a text, or a refusal.
#[derive(Deserialize)]
struct Idiom {
    name: String,
    template: String,
    messages: Vec<Message>,
    add_generation_prompt: bool,
    tools: Option<TemplateValue>,
    documents: Option<TemplateValue>,
    variables: BTreeMap<String, TemplateValue>,
    text: Option<String>,
    refusal: Option<String>,
}

impl Idiom {
    fn render(self) -> Result<String, String> {
        let tokens = [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
        let tokens = tokens.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let template = ChatTemplate::new(self.template, tokens).map_err(|e| e.to_string())?;
        let Idiom { messages, tools, documents, variables, .. } = self;
        let conversation = Conversation { messages, tools, documents, variables };
        template.render(&conversation, self.add_generation_prompt).map_err(|e| e.to_string())
    }
}

#[test]
fn templates_render_as_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/chat/idioms.json");
    let idioms: Vec<Idiom> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let names: std::collections::BTreeSet<&str> = idioms.iter().map(|idiom| idiom.name.as_str()).collect();
    assert!(names.len() >= 60 && idioms.len() >= 100, "{} idioms", names.len());
    let mut differing = vec![];
    for idiom in idioms {
        let (name, text, refusal) = (idiom.name.clone(), idiom.text.clone(), idiom.refusal.clone());
        match (idiom.render(), text) {
            (Ok(found), Some(expected)) if found == expected => {}
            (Ok(found), Some(expected)) => differing.push(format!("{name}\n  {expected:?}\n  {found:?}")),
            (Ok(found), None) => differing.push(format!("{name}: accepted {found:?}, not {refusal:?}")),
            (Err(error), Some(_)) => differing.push(format!("{name}: {error}")),
            (Err(_), None) => {}
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
