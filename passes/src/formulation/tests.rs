use samp_abi::plan::OpKind;

use super::*;
use crate::{
    MemberSensitivity, WeightSensitivity,
    assignment::{Limit, SolveRequest, solve},
};

fn matrix(key: &str, reader: OpKind) -> Matrix {
    Matrix { key: key.into(), rows: 256, cols: 128, reader }
}

fn known(keys: [&str; 2]) -> Sensitivities {
    let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
    let formats = vec![cost(Format::Nf4, 1e-3), cost(Format::F16, -1e-9)];
    let weight = |key: &str| WeightSensitivity {
        key: key.into(),
        outliers: vec![],
        formats: formats.clone(),
        members: vec![],
    };
    Sensitivities { weights: keys.map(weight).into(), strata: vec![] }
}

fn selection() -> Selection {
    Selection { target: TargetName::Cpu, buckets: vec![1], kv: Format::F32, context: 64, exact: false }
}

#[test]
fn bits_are_counted_over_the_decoder_and_bytes_over_everything() {
    let matrices = [matrix("embed_tokens", OpKind::Embed), matrix("layers.0.a", OpKind::Linear)];
    let known = known(["embed_tokens", "layers.0.a"]);
    let formulation =
        formulate(&matrices, &[fixed(Format::F32, 0.0, 64)], &known, &[], &selection()).unwrap();
    let request = SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::BitsPerWeight, 8.0)]);
    let solution = solve(&formulation.problem, &request).unwrap();
    let formats: Vec<Format> = formulation.formats(&solution).into_iter().map(|f| f.1).collect();
    assert_eq!(formats, [Format::F16, Format::Nf4], "only the decoder's linear is limited");
    let bytes = [matrices[0].bytes(Format::F16, 0), matrices[1].bytes(Format::Nf4, 0)];
    let totals = &solution.totals;
    assert_eq!(totals[&Resource::Loss], 1e-3, "a loss below zero counts as none");
    assert_eq!(totals[&Resource::WeightBytes], (bytes[0] + bytes[1] + 12) as f64);
    assert_eq!(totals[&Resource::BitsPerWeight], 8.0 * bytes[1] as f64 / (256.0 * 128.0));
    let device = totals[&Resource::WeightBytes] + 64.0;
    assert_eq!(totals[&Resource::DeviceBytes], device, "the device holds more than weights");
}

/// 12 bytes of norms, a KV cache of `bytes` that loses `nats`.
fn fixed(format: Format, nats: f64, bytes: u64) -> FixedCosts {
    FixedCosts {
        kv: FormatCost { format, nats, strata: vec![] },
        bytes: 12,
        device_bytes: bytes,
        times: vec![],
    }
}

#[test]
fn the_cache_and_the_weights_share_the_device() {
    let matrices = [matrix("layers.0.a", OpKind::Linear)];
    let known = known(["embed_tokens", "layers.0.a"]);
    let [small, large] = [Format::Nf4, Format::F16].map(|format| matrices[0].bytes(format, 0));
    let chosen = |cache_nats: f64, most: u64| {
        let fixed = [fixed(Format::F32, 0.0, 100_000), fixed(Format::F16, cache_nats, 50_000)];
        let formulation = formulate(&matrices, &fixed, &known, &[], &selection()).unwrap();
        let request = SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::DeviceBytes, most as f64)]);
        let solution = solve(&formulation.problem, &request).unwrap();
        (formulation.formats(&solution)[0].1, formulation.kv_format(&solution))
    };
    let (roomy, tight) = (100_012 + large, 100_012 + small);
    assert_eq!(chosen(1e-4, roomy), (Format::F16, Format::F32), "nothing has to give");
    assert_eq!(chosen(1e-4, tight), (Format::F16, Format::F16), "the cache gives the room");
    assert_eq!(chosen(1e-2, tight), (Format::Nf4, Format::F32), "the weight gives the room");
}

/// A fused matrix of two members: queries lose nine times what values of as many rows do.
fn fused(tokens: &[u64]) -> Formulation {
    let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
    let member = |key: &str, nats: f64| MemberSensitivity {
        key: key.into(),
        rows: 128,
        formats: vec![cost(Format::Nf4, nats), cost(Format::F16, 0.0)],
    };
    let mut known = known(["layers.0.qv", "layers.0.a"]);
    known.weights[0].members = vec![member("layers.0.q", 1.8e-3), member("layers.0.v", 2e-4)];
    let matrices = [matrix("layers.0.qv", OpKind::Linear)];
    let fixed = FixedCosts { times: vec![Nanos(0.0); tokens.len()], ..fixed(Format::F32, 0.0, 64) };
    formulate(&matrices, &[fixed], &known, tokens, &selection()).unwrap()
}

#[test]
fn members_split_where_that_pays_and_share_what_the_fused_loses() {
    let formulation = fused(&[]);
    let formats = |bits: f64| {
        let request = SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::BitsPerWeight, bits)]);
        let solution = solve(&formulation.problem, &request).unwrap();
        (formulation.formats(&solution), solution.totals[&Resource::Loss])
    };
    let (found, nats) = formats(11.0);
    assert_eq!(found, [("layers.0.q".into(), Format::F16), ("layers.0.v".into(), Format::Nf4)]);
    assert!((nats - 1e-4).abs() < 1e-12, "a tenth of what the fused matrix loses: {nats}");
    assert_eq!(formats(16.0).0, [("layers.0.qv".into(), Format::F16)], "members that agree are together");
    let both = formulation.chosen(Format::F32, |key| (key != "layers.0.qv").then_some(Format::Nf4));
    let [fused, split] = [0, 1].map(|alternative| {
        let mut chosen = both.clone().unwrap();
        let members = formulation.problem.groups[0].alternatives[alternative].members.len();
        chosen[0] = GroupChoice { alternative, choices: vec![0; members] };
        formulation.problem.totals(&chosen)[&Resource::Loss]
    });
    assert!((fused - split).abs() < 1e-12, "{fused} {split}");
}

#[test]
fn split_members_take_longer_by_their_launches_and_the_concatenation() {
    let formulation = fused(&[1]);
    let time = |alternative: usize, at: usize| {
        let members = &formulation.problem.groups[0].alternatives[alternative].members;
        members.iter().map(|member| member.choices[at].costs[&Resource::StepTime { tokens: 1 }]).sum::<f64>()
    };
    let launch = samp_kernels::target::Target::of(TargetName::Cpu).launch_ns;
    assert!(time(1, 1) > time(0, 1) + 1.9 * launch, "{} {}", time(1, 1), time(0, 1));
    let request = SolveRequest::new(Resource::StepTime { tokens: 1 }, vec![]);
    let solution = solve(&formulation.problem, &request).unwrap();
    assert_eq!(formulation.formats(&solution).len(), 1, "time does not split them");
}

#[test]
fn what_the_target_has_no_kernel_for_is_named() {
    let matrices = [matrix("layers.0.a", OpKind::Linear)];
    let mut known = known(["embed_tokens", "layers.0.a"]);
    let int6 = Format::Int6 { group: samp_abi::Group::G128 };
    known.weights.iter_mut().flat_map(|w| &mut w.formats).for_each(|cost| cost.format = int6);
    let selection = Selection { target: TargetName::H100, ..selection() };
    let refused = formulate(&matrices, &[fixed(Format::F16, 0.0, 64)], &known, &[], &selection).unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("h100 has no kernel for `layers.0.a` in any of int6"), "{said}");
}

/// Both formats were measured, and bf16 loses less.
#[test]
fn a_gpu_is_given_linears_of_one_plain_type() {
    let matrices = [matrix("embed_tokens", OpKind::Embed), matrix("layers.0.a", OpKind::Linear)];
    let mut known = known(["embed_tokens", "layers.0.a"]);
    let bf16 = FormatCost { format: Format::Bf16, nats: 0.0, strata: vec![] };
    for weight in &mut known.weights {
        weight.formats.iter_mut().for_each(|cost| cost.nats = 1e-3);
        weight.formats.push(bf16.clone());
    }
    let chosen = |target, tokens: &[u64]| {
        let (selection, kv) = (Selection { target, ..selection() }, fixed(Format::F16, 0.0, 64));
        let fixed = FixedCosts { times: vec![Nanos(0.0); tokens.len()], ..kv };
        let formulation = formulate(&matrices, &[fixed], &known, tokens, &selection).unwrap();
        let solution = solve(&formulation.problem, &SolveRequest::new(Resource::Loss, vec![])).unwrap();
        formulation.formats(&solution).into_iter().map(|(_, format)| format).collect::<Vec<_>>()
    };
    for tokens in [&[][..], &[1, 64]] {
        assert_eq!(chosen(TargetName::Cpu, tokens), [Format::Bf16; 2]);
        let [table, linear] = chosen(TargetName::H100, tokens)[..] else { panic!("two matrices") };
        assert_eq!(table, Format::Bf16, "a table gives f32 whatever it is in");
        assert!(linear != Format::Bf16, "f16 was among the formats measured");
    }
}

#[test]
fn a_matrix_without_a_measurement_is_named() {
    let matrices = [matrix("layers.1.b", OpKind::Linear)];
    let known = known(["embed_tokens", "layers.0.a"]);
    let refused = formulate(&matrices, &[], &known, &[], &selection()).unwrap_err();
    assert!(refused.to_string().contains("layers.1.b"), "{refused}");
}
