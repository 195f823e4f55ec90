//! What the cases of GPU kernels leave nothing out of. Both lists are read from the sources.

use std::collections::BTreeSet;

use rayon::prelude::*;
use samp_kernel_cases as cases;
use samp_kernels::cuda::{HEADERS, KERNELS, PROBES};

/// Whether a source includes a header, itself or by others.
fn includes(text: &str, wanted: &str) -> bool {
    let names = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'));
    let header = |name: &str| HEADERS.iter().find(|header| header.name == name).map_or("", |h| h.text);
    let mut found = names.map(|name| name == wanted || includes(header(name), wanted));
    found.any(|found| found)
}

#[test]
fn every_kernel_is_tried_for_every_activation_that_it_takes() {
    let of = |group: &fn() -> Vec<cases::KernelCase>| {
        let bf16 = |case: &cases::KernelCase| case.source.defines.contains_key("ACT_BF16");
        group().iter().map(|case| (case.source.stem, bf16(case))).collect::<BTreeSet<_>>()
    };
    let tried: BTreeSet<_> = cases::kernels().par_iter().flat_map_iter(of).collect();
    let mut wanted = BTreeSet::new();
    for (stem, text) in KERNELS {
        let (f16, bf16) = (!text.contains("#ifndef ACT_BF16"), !text.contains("#ifdef ACT_BF16"));
        wanted.extend(f16.then_some((*stem, false)));
        wanted.extend((bf16 && includes(text, "activation.cuh")).then_some((*stem, true)));
    }
    let untried: Vec<_> = wanted.difference(&tried).collect();
    assert!(untried.is_empty(), "no case of (kernel, with ACT_BF16): {untried:?}");
}

/// The words of a text that can be names.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

/// The functions that `dev.cuh` defines: the word before the first bracket of a line that defines one, or of the lines that
/// spell out families of them.
fn wrappers() -> Vec<&'static str> {
    let dev = HEADERS.iter().find(|header| header.name == "dev.cuh").expect("a header").text;
    let name = |line: &'static str| match line.strip_prefix("SAMP_WGMMAS(") {
        Some(rest) => rest.split(',').next(),
        None if line.starts_with("DEV ") || line.starts_with("template") => {
            line.split('(').next()?.split_whitespace().next_back()
        }
        None => None,
    };
    dev.lines().filter_map(name).collect()
}

#[test]
fn every_wrapper_of_the_device_is_probed() {
    let names = |texts: &[&'static str]| texts.iter().flat_map(|text| words(text)).collect::<BTreeSet<_>>();
    let probes = names(&PROBES.iter().map(|(_, text)| *text).collect::<Vec<_>>());
    let headers = HEADERS.iter().filter(|header| header.name != "dev.cuh").map(|header| header.text);
    let users = names(&KERNELS.iter().map(|(_, text)| *text).chain(headers).collect::<Vec<_>>());
    let wrappers = wrappers();
    for name in ["copy_wait", "atomic_add", "wgmma_64xNx16_bf16"] {
        assert!(wrappers.contains(&name), "{name} is not among {wrappers:?}");
    }
    // Others are parts of those in `dev.cuh` alone.
    let unprobed: Vec<_> =
        wrappers.iter().filter(|name| users.contains(*name) && !probes.contains(*name)).collect();
    assert!(unprobed.is_empty(), "no probe names {unprobed:?}");
}
