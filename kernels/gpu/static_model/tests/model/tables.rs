//! What machine code takes, and how much of each target's bandwidth and matrix units it can use.

use rayon::prelude::*;
use samp_abi::{Format, ScaleAxis, TargetName};
use samp_kernels::{
    attention::{KvGeometry, cuda::Attention},
    target::Target,
};
use samp_static_model::{AttentionModel, LinearModel, Pipe, Profile};

use super::{machine::Tools, rows};

/// Slots by pipe that have a column of their own.
const NAMED: [Pipe; 4] = [Pipe::Alu, Pipe::Fma, Pipe::Memory, Pipe::Matrix];

/// Issue slots of all pipes and of some, of the others together, and wavefronts, each times `scale`.
fn slots(profile: &Profile, scale: f64) -> String {
    let per = |slots: u64| slots as f64 * scale;
    let named: Vec<u64> = NAMED.iter().map(|pipe| profile.slots_of(*pipe)).collect();
    let other = profile.all_slots() - named.iter().sum::<u64>();
    let each: String = named.iter().map(|slots| format!(" {:5.0}", per(*slots))).collect();
    let (all, other, wavefronts) = (per(profile.all_slots()), per(other), per(profile.wavefronts));
    format!("{all:4.0}{each} {other:5.0} | {wavefronts:5.0}")
}

const HEAD: &str = "\
registers of a thread, KiB of shared memory of a block, blocks on a multiprocessor; issue slots and wavefronts for 1024 weights;
KiB of weights on their way to a multiprocessor, clocks of the producer for a part; weights a clock and multiprocessor that are
taken, and that arrive; shares of bandwidth and of the 16-bit matrix peak, and what limits
kernel           cols  regs  KiB blocks |  all   alu   fma   mem   mat other | waves | flight  prod | taken arriving";

/// One line for each linear kernel, with columns for each of the targets that run the same code.
fn linears(tools: &Tools, targets: &[&Target]) -> String {
    let line = |linear| {
        let models: Vec<LinearModel> = tools.linear(&linear, targets);
        let model = &models[0];
        let producer = model.producer_clocks.map_or("-".to_owned(), |clocks| format!("{clocks:.0}"));
        let mut line = format!(
            "{:<15} {:5} {:5} {:4.0} {:5}  | {} | {:5.1} {producer:>6} | {:5.1} {:8.1}",
            rows::name(&linear),
            linear.cols,
            model.block.registers,
            f64::from(model.block.shared_bytes) / 1024.0,
            model.blocks,
            slots(&model.profile, 1024.0 / model.weights as f64),
            f64::from(model.bytes_in_flight) / 1024.0,
            model.consumed,
            model.arriving,
        );
        for (model, target) in models.iter().zip(targets) {
            let [bandwidth, peak] =
                [model.share_of_bandwidth(target), model.share_of_peak(target)].map(|share| 100.0 * share);
            line += &format!(" | {bandwidth:3.0}% {peak:3.0}% {:8}", model.limit(target));
        }
        line.trim_end().to_owned()
    };
    let names: String = targets.iter().map(|target| format!(" | {:<18}", target.name.to_string())).collect();
    let head = format!("{HEAD}{}", names.trim_end());
    let lines: Vec<String> = rows::linears(targets[0]).into_par_iter().map(line).collect();
    format!("{head}\n{}\n", lines.join("\n"))
}

const ATTENTION_HEAD: &str = "\
attention of Llama-3-70B: registers, blocks on a multiprocessor; issue slots and wavefronts of a warp's round; clocks of a round;
shares of bandwidth and of the 16-bit matrix peak
kernel   cache     regs blocks |  all   alu   fma   mem   mat other | waves | clocks";

/// One line for each attention kernel and format of the cache.
fn attention(tools: &Tools, target: &Target) -> String {
    let (kv_heads, head_dim) = (8, 128);
    let mut table = format!("{ATTENTION_HEAD} | {}\n", target.name);
    for format in [Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)] {
        let kv = KvGeometry { format, scales: [1.0; 2], kv_heads, head_dim, page_tokens: 16 };
        let attention = Attention::new(64, kv, None).expect("kernels");
        let grid = attention.decode_grid(1, attention.decode_splits(1, 4096, target));
        let launched = grid.blocks.iter().product::<u32>().div_ceil(target.units);
        let decode = tools.attention(&attention.decode(), &grid, target, |code, block| {
            AttentionModel::decode(code, block, launched, target)
        });
        let grid = attention.prefill_grid(4096, 1);
        let prefill = tools.attention(&attention.prefill(), &grid, target, |code, block| {
            AttentionModel::prefill(code, block, target)
        });
        for (name, model) in [("decode", decode), ("prefill", prefill)] {
            let bandwidth = model.share_of_bandwidth(head_dim as u32, format.code_bits() as u32, target);
            let share = match name {
                "decode" => format!("{:3.0}% of bandwidth", 100.0 * bandwidth),
                _ => format!("{:3.0}% of peak", 100.0 * model.share_of_peak(target)),
            };
            table += &format!(
                "{name:<8} {:<9} {:4} {:5}  | {} | {:6.0} | {share}\n",
                format.to_string(),
                model.block.registers,
                model.blocks,
                slots(&model.profile, 1.0),
                model.clocks,
            );
        }
    }
    table
}

/// Holds what is seen of targets that run the same code to a snapshot.
fn hold(name: &str, targets: &[TargetName]) {
    let (tools, targets) = (Tools::find(), targets.iter().map(|name| Target::of(*name)).collect::<Vec<_>>());
    let attention: Vec<String> = targets.iter().map(|target| attention(&tools, target)).collect();
    insta::assert_snapshot!(name, format!("{}\n{}", linears(&tools, &targets), attention.join("\n")));
}

#[test]
fn code_for_hopper_is_what_was_seen() {
    hold("sm_90a", &[TargetName::H100, TargetName::H200]);
}

#[test]
fn code_for_ampere_is_what_was_seen() {
    hold("sm_80", &[TargetName::A100]);
}
