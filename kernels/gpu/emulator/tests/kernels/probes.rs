//! Probes: what single wrappers of the device do, against what they are defined to do.

use samp_emulator::{Arg, Buffer, Build, Launch, Options, Stats};
use samp_kernel_cases::probes;

use crate::harness::*;

#[test]
fn every_probe_shows_what_it_must() {
    hold(&probes::cases());
}

#[test]
fn launches_say_what_they_did() {
    let kernel = compiled(&source("probe_bulk", &[]), &[], Build::Plain);
    let input = Buffer::from(&vec![1u8; 2048][..]);
    let mut out = Buffer::<u8>::poisoned(2048);
    let args = [Arg::read(&input), Arg::write(&mut out), 2.into()];
    let launch = |seed| {
        let options = Options { seed, ..Default::default() };
        kernel.launch(Launch::linear(3, 64).shared(1032), options, &args).expect("runs")
    };
    let stats: Stats = launch(1);
    assert_eq!((stats.blocks, stats.copied_bytes, stats.checked), (3, 3 * 2048, 0));
    assert_eq!(stats, launch(1), "the same seed gives the same schedule");
    assert_ne!(stats.switches, launch(2).switches);
}
