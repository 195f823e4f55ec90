//! What fuzzing starts from is as good as what it was made from.

use std::fs;

use samp_abi::plan::{Plan, unseal};

use crate::support::{SAMP, make};

/// Fuzzing starts from a manifest with a digest of zeros. The schema changed where this fails:
/// `SAMP_WRITE_SEEDS=1` has it written anew.
#[test]
fn the_seed_of_fuzzing_is_a_sound_manifest() {
    let zeros = |_: &[u8]| "0".repeat(64);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/plan_json/two_layers.json");
    let made = make(SAMP).manifest();
    if std::env::var_os("SAMP_WRITE_SEEDS").is_some() {
        let seed = Plan { digest: zeros(b""), ..made.clone() };
        fs::write(path, serde_json::to_string_pretty(&seed).unwrap() + "\n").unwrap();
    }
    let seed = unseal(&fs::read(path).unwrap(), zeros).unwrap();
    assert_eq!(samp_runtime::validate_manifest(&seed), []);
    assert_eq!(seed.weights, made.weights);
}
