//! The compiler at work on samp's kernels. It must be there: `.ci/setup` fetches it.

mod around;
mod code;
mod linears;

use std::{collections::BTreeSet, path::Path};

use rayon::prelude::*;
use samp_kernels::cuda::Source;
use samp_nvrtc::{Arch, Cache, Nvrtc, NvrtcError};

fn nvrtc() -> Nvrtc {
    Nvrtc::find().unwrap_or_else(|error| panic!("{error}"))
}

/// A kernel that compiles quickly.
fn small() -> Source {
    let source = Source::find("linear_f16_gemv").expect("a kernel");
    source.define("ROWS", 64).define("COLS", 64).define("TOKENS", 1).define("STAGES", 3)
}

#[test]
fn the_same_source_gives_the_same_bytes_on_any_number_of_threads() {
    let nvrtc = nvrtc();
    let alone = nvrtc.compile(&small(), Arch::Sm80).unwrap();
    assert_eq!(&alone.bytes[..4], b"\x7fELF");
    assert!((16..=255).contains(&alone.report.registers), "{:?}", alone.report);
    let together: Vec<_> =
        (0..4).into_par_iter().map(|_| nvrtc.compile(&small(), Arch::Sm80).unwrap()).collect();
    assert!(together.iter().all(|cubin| *cubin == alone));
    let other = nvrtc.compile(&small().define("ROWS", 48), Arch::Sm80).unwrap();
    assert_ne!(other.bytes, alone.bytes);
}

#[test]
fn every_kind_of_kernel_gives_the_same_bytes_again() {
    let mut stems = BTreeSet::new();
    let mut sources: Vec<Source> = linears::of_each_kind();
    sources.extend(around::sources());
    // One embedding stands for all.
    sources.retain(|source| stems.insert(source.stem.split_once("embed").map_or(source.stem, |_| "embed")));
    assert!(stems.len() > 12, "{stems:?}");
    let nvrtc = nvrtc();
    let both = |source: &Source| [Arch::Sm80, Arch::Sm90a].map(|arch| (source.clone(), arch));
    let hopper = |(source, arch): &(Source, Arch)| source.stem.ends_with("wgmma") && *arch == Arch::Sm80;
    let jobs: Vec<_> = sources.iter().flat_map(both).filter(|job| !hopper(job)).collect();
    let compile = |(source, arch): &(Source, Arch)| nvrtc.compile(source, *arch).unwrap();
    let first: Vec<_> = jobs.par_iter().map(compile).collect();
    let second: Vec<_> = jobs.par_iter().rev().map(compile).collect();
    for ((source, arch), (a, b)) in jobs.iter().zip(first.iter().zip(second.iter().rev())) {
        assert!(a == b, "{} for {arch} is not the same twice", source.stem);
    }
}

#[test]
fn a_cache_keeps_results_by_content_and_sees_damage() {
    let folder = tempfile::tempdir().unwrap();
    let nvrtc = nvrtc().with_cache(Cache::at(&folder.path().join("kernels")));
    let entries = || {
        let listed = std::fs::read_dir(folder.path().join("kernels")).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let first = nvrtc.compile(&small(), Arch::Sm90).unwrap();
    assert_eq!(entries().len(), 1);
    assert_eq!(nvrtc.compile(&small(), Arch::Sm90).unwrap(), first);
    let without_compiler = Cache::at(&folder.path().join("kernels"));
    assert_eq!(without_compiler.find(&small(), Arch::Sm90), Some(first.clone()));
    assert_eq!(without_compiler.find(&small(), Arch::Sm80), None);
    nvrtc.compile(&small(), Arch::Sm90a).unwrap();
    assert_eq!(entries().len(), 2);
    for entry in entries() {
        let mut bytes = std::fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(entry, bytes).unwrap();
    }
    assert_eq!(nvrtc.compile(&small(), Arch::Sm90).unwrap(), first);
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let Err(absent) = Nvrtc::open(Path::new("/nowhere")) else { panic!("no compiler is there") };
    let text = absent.to_string();
    assert!(
        text.contains("/nowhere") && text.contains("make setup") && text.contains("SAMP_NVRTC"),
        "{text}"
    );

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libnvrtc.so.13"), "not a library").unwrap();
    let Err(unusable) = Nvrtc::open(folder.path()) else { panic!("no library") };
    assert!(matches!(unusable, NvrtcError::Unusable { .. }), "{unusable}");

    let nvrtc = nvrtc();
    let wrong = Source { text: "KERNEL(32) f(int x) { y = x; }".into(), ..small() };
    let text = nvrtc.compile(&wrong, Arch::Sm80).unwrap_err().to_string();
    assert!(text.contains("linear_f16_gemv") && text.contains("sm_80"), "{text}");
    assert!(text.contains("error"), "{text}");
    let zero = Source { text: "\0".into(), ..small() };
    assert!(matches!(nvrtc.compile(&zero, Arch::Sm80), Err(NvrtcError::Text { .. })));
}

#[test]
fn a_kernel_is_exported_under_the_name_of_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let nvrtc = nvrtc().with_cache(Cache::at(folder.path()));
    let row = "linear_f16_fragments_gemv1";
    let [plain, named] =
        [small(), small().named(row)].map(|source| nvrtc.compile(&source, Arch::Sm80).unwrap().bytes);
    assert!(code::exports(&named, row) && !code::exports(&named, "linear_f16_gemv"));
    assert!(code::exports(&plain, "linear_f16_gemv") && !code::exports(&plain, row));
}
