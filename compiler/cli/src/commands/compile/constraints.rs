//! What the formats of a calibrated compile have to keep: flags become the constraints of the search.

use std::{path::PathBuf, str::FromStr};

use samp_kernels::cost::Nanos;
use samp_passes::{Constraints, LatencyLimit, Objective};

use samp_compiler::{
    lower::{DEFAULT_MAX_SEQUENCES, size::Bytes},
    quantize::search::LossLimits,
};

/// What the formats have to keep
#[derive(clap::Args)]
#[command(next_help_heading = "Constraints")]
pub struct ConstraintArgs {
    /// Most bits per weight over the decoder's linears, scales counted
    #[arg(long, value_name = "BITS", requires = "calib", value_parser = bits)]
    pub max_bits: Option<f64>,
    /// Most bytes on the device, such as 24GB: weights, KV cache and activation arena
    ///
    /// The KV cache counts with --max-num-seqs sequences of --max-model-len positions. With --kv-cache-dtype auto its
    /// format is chosen along with those of the weights, by what each was measured to lose.
    #[arg(long, value_name = "BYTES", requires = "calib")]
    pub max_memory: Option<Bytes>,
    /// Most growth of perplexity, overall and in every stratum, with 95 % confidence; such as 0.5%
    ///
    /// May be given again for strata that have a limit of their own, such as code=0.3%. What counts is not the loss that
    /// the held-out records show but its one-sided 95 % bound: few records bound it from afar, one not at all. A limit
    /// that they cannot confirm is refused, where possible before anything is measured.
    #[arg(long, value_name = "[STRATUM=]PERCENT", requires = "calib")]
    pub max_loss: Vec<LossLimit>,
    /// Most predicted time of a step, such as 12ms@1 for one token; may be given several times
    #[arg(long, value_name = "TIME@TOKENS", requires = "calib")]
    pub max_latency: Vec<Latency>,
    /// What to have least of within the limits
    ///
    /// All but quality keep --max-loss 1% unless it is given.
    #[arg(long, value_name = "WHAT", requires = "calib", default_value = "quality")]
    pub optimize_for: Goal,
    /// First audit so many random assignments, and say how their losses correlate with those predicted
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 0)]
    pub trials: usize,
    /// What `samp measure` found; only weights that it lacks are measured
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub profile: Option<PathBuf>,
}

fn bits(text: &str) -> Result<f64, String> {
    let bits = text.parse().ok().filter(|bits: &f64| bits.is_finite() && *bits > 0.0);
    bits.ok_or_else(|| "expected a number above 0, such as 4.8".into())
}

/// A growth of perplexity, of one stratum or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct LossLimit {
    stratum: Option<String>,
    growth: f64,
}

impl FromStr for LossLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<LossLimit, String> {
        let (stratum, percent) = text.rsplit_once('=').map_or((None, text), |(name, p)| (Some(name), p));
        let number = percent.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let number = number.filter(|n| n.is_finite() && *n > 0.0 && stratum != Some(""));
        let limit = |n| LossLimit { stratum: stratum.map(str::to_owned), growth: n / 100.0 };
        number.map(limit).ok_or_else(|| "expected a percentage above 0, such as 0.5% or code=0.3%".into())
    }
}

/// A time for a step of so many tokens.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    nanos: f64,
    tokens: u64,
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Latency, String> {
        let parse = || {
            let (time, tokens) = text.split_once('@')?;
            let unit = time.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let scale =
                [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)].into_iter().find(|u| u.0 == unit)?.1;
            let number: f64 = time.strip_suffix(unit)?.parse().ok()?;
            let tokens = tokens.parse().ok().filter(|&t| t > 0)?;
            (number > 0.0).then_some(Latency { nanos: number * scale, tokens })
        };
        parse().ok_or_else(|| "expected a time and a number of tokens, such as 12ms@1 or 800us@16".into())
    }
}

/// What `--optimize-for` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Goal {
    /// Least loss
    Quality,
    /// Fewest bytes on the device, counted as for --max-memory
    Memory,
    /// Least predicted time of a step over one token
    Latency,
    /// Least predicted time per token of a step over --max-num-seqs tokens, which is what a token costs on a busy machine
    Cost,
    /// As memory, for one sequence at a time unless --max-num-seqs says otherwise
    Edge,
}

/// Growth of perplexity that optimizing for anything but quality keeps to: without a limit the smallest formats would
/// always win, whatever they lose.
const IMPLIED_LOSS: f64 = 0.01;

impl Goal {
    /// Maximum concurrent sequences unless told otherwise.
    pub fn sequences(self) -> u64 {
        if self == Goal::Edge { 1 } else { DEFAULT_MAX_SEQUENCES }
    }

    /// What is minimised by a plan for steps that decode at most so many sequences at once.
    fn objective(self, sequences: u64) -> Objective {
        match self {
            Goal::Quality => Objective::Quality,
            Goal::Memory | Goal::Edge => Objective::DeviceBytes,
            Goal::Latency => Objective::Time(1),
            Goal::Cost => Objective::Time(sequences),
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Goal::Quality => "quality",
            Goal::Memory => "memory",
            Goal::Latency => "latency",
            Goal::Cost => "cost",
            Goal::Edge => "edge",
        })
    }
}

impl ConstraintArgs {
    /// Limits and objective, for steps that decode at most so many sequences at once; the limits on losses come from
    /// [`ConstraintArgs::loss_limits`].
    pub fn constraints(&self, sequences: u64) -> Constraints {
        Constraints {
            objective: self.optimize_for.objective(sequences),
            device_bytes: self.max_memory.map(|bytes| bytes.0 as f64),
            bits_per_weight: self.max_bits,
            latency: self
                .max_latency
                .iter()
                .map(|l| LatencyLimit { tokens: l.tokens, most: Nanos(l.nanos) })
                .collect(),
            ..Constraints::default()
        }
    }

    /// How much perplexity may grow; of several limits on the same the least holds.
    pub fn loss_limits(&self) -> LossLimits {
        loss_limits(&self.max_loss, self.optimize_for)
    }
}

fn loss_limits(flags: &[LossLimit], goal: Goal) -> LossLimits {
    let mut limits = LossLimits::default();
    for LossLimit { stratum, growth } in flags {
        match stratum {
            None => limits.overall = Some(limits.overall.map_or(*growth, |most| most.min(*growth))),
            Some(name) => {
                let most = limits.strata.entry(name.clone()).or_insert(*growth);
                *most = most.min(*growth);
            }
        }
    }
    let implied = (goal != Goal::Quality).then_some(IMPLIED_LOSS);
    LossLimits { overall: limits.overall.or(implied), ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_limits_are_read_by_stratum() {
        let read = |text: &str| text.parse::<LossLimit>();
        let limits = ["0.5%", "code=0.3 %", "code=0.2%"].map(|text| read(text).unwrap());
        let kept = loss_limits(&limits, Goal::Memory);
        assert_eq!((kept.overall, kept.strata["code"]), (Some(0.005), 0.002));
        assert_eq!(loss_limits(&limits[1..], Goal::Memory).overall, Some(IMPLIED_LOSS));
        assert_eq!(loss_limits(&limits[1..], Goal::Quality).overall, None);
        for wrong in ["", "0.5", "-1%", "nan%", "=1%", "code=", "code=0%"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
