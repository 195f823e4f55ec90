//! A safetensors file: refused in words, or tensors that tile its data. The bytes are read as a file, and as the
//! header of one that is whole otherwise, which random lengths rarely give.
#![no_main]

#[path = "../entry.rs"]
mod entry;

use libfuzzer_sys::fuzz_target;
use samp_compiler::import::parse_safetensors;

const DATA_BYTES: usize = 64;

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut file = (data.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(data);
    file.resize(file.len() + DATA_BYTES, 0);
    check(&file);
});

fn check(file: &[u8]) {
    let Ok(entries) = parse_safetensors(file, "model.safetensors") else { return };
    let bytes: usize = entries.values().map(|entry| file[entry.start..entry.start + entry.len].len()).sum();
    let header = u64::from_le_bytes(file[..8].try_into().expect("a file that was read has a length"));
    assert_eq!(8 + header as usize + bytes, file.len());
}
