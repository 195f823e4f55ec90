//! The whole way, with the shipped checkpoint's tokenizer and chat template.

use std::{fs, path::PathBuf};

use samp_runtime::{AddSpecial, ChatTemplate, Message, Tokenizer};
use tempfile::TempDir;

use super::*;

fn tiny_llama(names: &[&str]) -> Vec<CarriedFile> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/models/tiny-llama");
    let file = |name: &&str| CarriedFile::at(name, dir.join(name));
    names.iter().map(file).collect()
}

fn encoder(most: usize) -> Encoder {
    Encoder::open(&tiny_llama(&["tokenizer.json", "tokenizer_config.json"]), 4096, most).unwrap()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn request(calibration: &Path) -> DataRequest {
    DataRequest::new(calibration.into())
}

/// Texts of a stratum, each different from all others.
fn texts(stratum: &str, from: usize, count: usize) -> String {
    let line = |i: usize| {
        format!("{{\"text\": \"The {stratum} number {i} of {}\", \"stratum\": \"{stratum}\"}}\n", i * i)
    };
    (from..from + count).map(line).collect()
}

fn codes(warnings: &[Diagnostic]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code).collect()
}

#[test]
fn conversations_are_encoded_as_in_serving() {
    let folder = Folder::new();
    let path = folder.write(
        "chat.jsonl",
        r#"{"messages": [{"role": "user", "content": "Read the file"}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
{"text": "The file"}"#,
    );
    let (records, warnings) = encoder(2048).encode(&path, records::read(&path).unwrap()).unwrap();
    assert!(warnings.is_empty());
    let files =
        tiny_llama(&["tokenizer.json", "tokenizer_config.json"]).into_iter().map(|f| f.read().unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    let tokenizer = Tokenizer::from_bytes(&files[0]).unwrap();
    let template =
        ChatTemplate::from_files(&|name| (name == "tokenizer_config.json").then_some(files[1].as_slice()));
    let template = template.unwrap().unwrap();
    let say = Message::new;
    let asked = template.render(&vec![say("user", "Read the file")].into(), true).unwrap();
    let answered = template.render(&vec![say("user", "a"), say("assistant", "b")].into(), false).unwrap();
    assert_eq!(records[0].tokens, tokenizer.encode(&asked, AddSpecial::No).unwrap());
    assert_eq!(records[1].tokens, tokenizer.encode(&answered, AddSpecial::No).unwrap());
    assert_eq!(records[2].tokens, tokenizer.encode("The file", AddSpecial::Yes).unwrap());
    assert_eq!(records.iter().map(|r| r.chat).collect::<Vec<_>>(), [true, true, false]);
    let begin = tokenizer.token_id("<|begin_of_text|>").unwrap();
    assert!(records.iter().all(|r| r.tokens.iter().filter(|&&token| token == begin).count() == 1));
}

/// A record is quoted text as well as a conversation: what it spells ends no turn.
#[test]
fn special_tokens_that_a_conversation_spells_are_text() {
    let folder = Folder::new();
    let chat =
        |content: &str| format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"{content}\"}}]}}\n");
    let path = folder.write("chat.jsonl", &(chat("end") + &chat("end<|eot_id|>")));
    let encoder = encoder(2048);
    let (records, _) = encoder.encode(&path, records::read(&path).unwrap()).unwrap();
    let ends =
        |record: &TokenRecord| record.tokens.iter().filter(|&&t| encoder.decode(t) == "<|eot_id|>").count();
    assert_eq!(records.iter().map(ends).collect::<Vec<_>>(), [1, 1]);
    assert!(records[1].tokens.len() > records[0].tokens.len());
}

#[test]
fn conversations_need_a_template_that_takes_them() {
    let folder = Folder::new();
    let chat = r#"{"text": "a"}
{"messages": [{"role": "system", "content": "a"}]}"#;
    let path = folder.write("chat.jsonl", chat);
    let failed = |encoder: &Encoder| encoder.encode(&path, records::read(&path).unwrap()).unwrap_err();
    let found = failed(&Encoder::open(&tiny_llama(&["tokenizer.json"]), 4096, 99).unwrap());
    assert_eq!(found.code, error_code::NO_CHAT_TEMPLATE);
    assert!(found.location.file.as_ref().unwrap().ends_with("chat.jsonl:2") && found.hint.is_some());
    for (template, expected) in
        [("{{ raise_exception('no system') }}", "no system"), ("{% if %}", "cannot be used")]
    {
        let mut files = tiny_llama(&["tokenizer.json"]);
        let path = folder.write("chat_template.jinja", template);
        files.push(CarriedFile::at("chat_template.jinja", path));
        let found = failed(&Encoder::open(&files, 4096, 99).unwrap());
        assert_eq!(found.code, error_code::CHAT_TEMPLATE);
        let shown = found.to_string();
        assert!(shown.contains("chat.jsonl:2") && shown.contains(expected), "{shown}");
    }
    assert_eq!(Encoder::open(&[], 4096, 99).err().unwrap().code, error_code::TOKENIZER);
}

#[test]
fn long_records_are_cut_and_short_ones_passed_over_with_one_warning_each() {
    let folder = Folder::new();
    let path = folder.write("a.jsonl", &(texts("code", 0, 20) + "{\"text\": \"\"}\n{\"text\": \"a\"}\n"));
    let (records, warnings) = encoder(4).encode(&path, records::read(&path).unwrap()).unwrap();
    assert!(records.len() == 21 && records.iter().all(|r| (2..=4).contains(&r.tokens.len())));
    assert_eq!(codes(&warnings), [error_code::CUT_RECORDS, error_code::SKIPPED_RECORDS]);
    assert!(
        warnings[0].message.starts_with("20 of 22 records") && warnings[1].message.starts_with("1 of 22")
    );
}

#[test]
fn a_mix_is_followed_and_what_it_leaves_out_is_still_audited() {
    let folder = Folder::new();
    let path =
        folder.write("a.jsonl", &(texts("code", 0, 300) + &texts("json", 0, 300) + &texts("prose", 0, 300)));
    let encoder = encoder(2048);
    let data =
        sampled(&DataRequest { mix: Some("code=3,json=1".into()), tokens: 2000, ..request(&path) }, &encoder)
            .unwrap();
    let print = &data.fingerprint;
    assert_eq!(codes(&data.warnings), [error_code::STRATA_LEFT_OUT]);
    let tokens = |name: &str| print.strata[name].tokens;
    assert!((1470..=1515).contains(&tokens("code")) && (470..=515).contains(&tokens("json")), "{print:?}");
    assert_eq!((print.mix["prose"], print.strata.get("prose")), (0.0, None));
    assert_eq!(data.held_out.iter().filter(|r| r.stratum == "prose").count(), 38);
    let again = sampled(
        &DataRequest { mix: Some("json=10,code=30".into()), tokens: 2000, ..request(&path) },
        &encoder,
    )
    .unwrap();
    assert_eq!(&again.fingerprint, print);
    let scarce =
        sampled(&DataRequest { mix: Some("code=9,json=1,prose=1".into()), ..request(&path) }, &encoder)
            .unwrap();
    assert_eq!(codes(&scarce.warnings), [error_code::SHORT_STRATA]);
    let error =
        sampled(&DataRequest { mix: Some("code=1,xml=1".into()), ..request(&path) }, &encoder).unwrap_err();
    assert_eq!(error.code, error_code::MIX);
    assert!(
        error.to_string().contains("`xml`") && error.to_string().contains("code, json, prose"),
        "{error}"
    );
}

#[test]
fn without_a_mix_all_records_are_used_or_as_many_as_the_budget_allows() {
    let folder = Folder::new();
    let path = folder.write("a.jsonl", &(texts("code", 0, 240) + &texts("json", 0, 480)));
    let all = sampled(&request(&path), &encoder(2048)).unwrap();
    assert_eq!((all.calibration.len(), all.held_out.len()), (630, 90));
    assert_eq!((codes(&all.warnings), all.fingerprint.chat_template_blake3), (vec![], None));
    let part = sampled(&DataRequest { tokens: 1000, seed: 1, ..request(&path) }, &encoder(2048)).unwrap();
    for (name, part_of) in &part.fingerprint.mix {
        let share = 1000.0 * part_of;
        let found = part.fingerprint.strata[name].tokens as f64;
        assert!((found - share).abs() < 20.0, "{name}: {found} of {share}");
    }
    assert_ne!(part.calibration[..20], all.calibration[..20]);
}

#[test]
fn what_the_data_cannot_show_is_said() {
    let folder = Folder::new();
    let path = folder.write("a.jsonl", &(texts("code", 0, 100) + &texts("json", 0, 100)));
    let copied = folder.write("b.jsonl", &(texts("code", 95, 40) + &texts("json", 300, 7)));
    let data =
        sampled(&DataRequest { audit: Some(copied.clone()), ..request(&path) }, &encoder(2048)).unwrap();
    assert_eq!(codes(&data.warnings), [error_code::OVERLAP, error_code::FEW_HELD_OUT]);
    assert!(data.warnings[0].message.starts_with("5 of 47"), "{}", data.warnings[0]);
    assert_eq!(data.warnings[1].notes, ["`json`: 7"]);

    let traffic = (0..60).map(|i| format!("{{\"text\": \"flush the parser {i}\", \"stratum\": \"code\"}}\n"));
    let traffic = traffic.collect::<String>() + &texts("json", 500, 60) + &texts("chat", 0, 3);
    let traffic = folder.write("traffic.jsonl", &traffic);
    let data =
        sampled(&DataRequest { traffic: Some(traffic.clone()), ..request(&path) }, &encoder(2048)).unwrap();
    let found: Vec<&Diagnostic> =
        data.warnings.iter().filter(|w| w.code == error_code::UNLIKE_TRAFFIC).collect();
    assert!(found[0].message.contains("`code`") && found[0].notes.len() == 5, "{}", found[0]);
    assert!(found[0].notes.iter().any(|note| note.contains("\"ser\"")), "{}", found[0]);
    assert!(found.last().unwrap().message.ends_with("not calibrated on: chat"));

    let one = folder.write("one.jsonl", "{\"text\": \"The only record\"}");
    assert_eq!(sampled(&request(&one), &encoder(2048)).unwrap_err().code, error_code::TOO_FEW_RECORDS);
}

#[cfg(feature = "parquet")]
mod parquet;
