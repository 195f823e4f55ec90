//! Signatures that are none: each is refused for what it is, and none keeps a plan from opening.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use samp_abi::plan::SIGNATURE_FILE;
use samp_runtime::{PublicKey, PublicKeyError, SignatureError, open};

use crate::support::{SAMP, TinyPlan, make};

/// A public key whose secret half nobody here has.
const KEY: &str = "untrusted comment: a key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
/// A sound signature of other bytes by that key's holder, as minisign's documentation shows it.
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
    RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
    trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
    wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

fn key(plan: &TinyPlan) -> PublicKey {
    let path = plan.path().join("key.pub");
    fs::write(&path, KEY).unwrap();
    PublicKey::read(&path).unwrap()
}

/// Why the plan is refused with such a signature beside it.
fn refusal(plan: &TinyPlan, key: &PublicKey, signature: &[u8]) -> SignatureError {
    fs::write(plan.path().join(SIGNATURE_FILE), signature).unwrap();
    open(plan.path()).unwrap().verify(key).unwrap_err()
}

#[test]
fn what_is_no_signature_of_this_plan_is_refused_for_what_it_is() {
    let plan = make(SAMP);
    let key = key(&plan);
    assert!(matches!(open(plan.path()).unwrap().verify(&key), Err(SignatureError::Missing)));
    assert!(matches!(refusal(&plan, &key, SIGNATURE.as_bytes()), SignatureError::Wrong));
    let other = SIGNATURE.replace("RUQf6", "RUQg6");
    assert!(matches!(refusal(&plan, &key, other.as_bytes()), SignatureError::OtherKey));
    for text in [&b""[..], b"\n\n\n\n", b"\xff\xfe", &SIGNATURE.as_bytes()[..150], &[b'a'; 1 << 20]] {
        assert!(
            matches!(refusal(&plan, &key, text), SignatureError::Malformed),
            "{:?}",
            &text[..text.len().min(9)]
        );
    }
    fs::remove_file(plan.path().join(SIGNATURE_FILE)).unwrap();
    fs::create_dir(plan.path().join(SIGNATURE_FILE)).unwrap();
    assert!(matches!(open(plan.path()).unwrap().verify(&key), Err(SignatureError::Malformed)));
}

#[test]
fn a_manifest_that_was_exchanged_after_opening_is_not_taken_for_the_one_that_was_opened() {
    let plan = make(SAMP);
    let key = key(&plan);
    let opened = open(plan.path()).unwrap();
    fs::write(plan.path().join(SIGNATURE_FILE), SIGNATURE).unwrap();
    plan.edit(|manifest| manifest.provenance.recipe = "another".into());
    assert!(matches!(opened.verify(&key), Err(SignatureError::Changed)));
}

#[test]
fn what_is_no_public_key_is_refused() {
    let plan = make(SAMP);
    let path = plan.path().join("key.pub");
    for text in ["", "one line", SIGNATURE, &KEY.replace("RWQf", "RWRf="), &KEY[..60]] {
        fs::write(&path, text).unwrap();
        assert!(matches!(PublicKey::read(&path), Err(PublicKeyError::Malformed(_))), "{text}");
    }
    let nowhere = PathBuf::from("/nowhere/key.pub");
    assert!(matches!(PublicKey::read(&nowhere), Err(PublicKeyError::Io { path, .. }) if path == nowhere));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_a_signature_makes_it_sound(at in 0..SIGNATURE.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let plan = make(SAMP);
        let mut text = SIGNATURE.as_bytes().to_vec();
        if cut { text.truncate(at) } else { text[at] = byte }
        refusal(&plan, &key(&plan), &text);
    }
}
