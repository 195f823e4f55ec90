//! What kernels were measured to take, in tables that `samp-gpu table` writes from a benchmark: the cost model trusts them
//! more than the roofline.

use crate::{
    attention,
    cost::Nanos,
    kernel::{Kernel, OpShape},
    registry,
    target::Target,
};
use samp_abi::{TargetName, plan::OpKind};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// What was measured on one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Date, device, driver and command; none where nothing was measured.
    pub source: Option<String>,
    /// Every kernel and shape.
    pub rows: Vec<MeasuredTime>,
}

/// The time of one kernel over one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredTime {
    /// Its name in the registry.
    pub kernel: String,
    /// What it computed.
    pub shape: OpShape,
    /// The median of a launch's time.
    pub microseconds: f64,
}

static A100: LazyLock<Measured> = LazyLock::new(|| read(include_str!("targets/a100.measured.json")));
static H100: LazyLock<Measured> = LazyLock::new(|| read(include_str!("targets/h100.measured.json")));
static H200: LazyLock<Measured> = LazyLock::new(|| read(include_str!("targets/h200.measured.json")));
static NOTHING: Measured = Measured { source: None, rows: vec![] };

fn read(json: &str) -> Measured {
    serde_json::from_str(json).expect("measured tables are part of the source, and a test reads each")
}

impl Measured {
    /// The table of a target.
    pub fn for_target(target: TargetName) -> &'static Measured {
        match target {
            TargetName::Cpu => &NOTHING,
            TargetName::A100 => &A100,
            TargetName::H100 => &H100,
            TargetName::H200 => &H200,
        }
    }

    /// What `kernel` takes on a shape of `target`: the roofline's time, times by how much it was missed on the nearest shape
    /// of that kernel, or at the median by the kernels of the same operation. Attention of one token of each sequence and
    /// attention of many are launches of their own, of which neither says anything of the other.
    pub fn time(&self, kernel: &Kernel, shape: &OpShape, target: &Target) -> Nanos {
        let own = self.of_op(kernel.op, shape);
        let own = own.filter(|row| row.kernel == kernel.name && row.shape.format == shape.format);
        let nearest = own.min_by(|a, b| a.distance(shape).total_cmp(&b.distance(shape)));
        let missed = match nearest {
            Some(row) => row.missed(kernel, target),
            None => self.median(kernel, shape, target),
        };
        Nanos(kernel.roofline(shape, target).0 * missed)
    }

    /// What was measured of an operation by the launch that a shape takes.
    fn of_op(&self, op: OpKind, shape: &OpShape) -> impl Iterator<Item = &MeasuredTime> {
        let decodes = (op == OpKind::PagedAttention).then(|| attention::decodes(shape));
        self.rows
            .iter()
            .filter(move |row| decodes.is_none_or(|expected| attention::decodes(&row.shape) == expected))
    }

    /// By how much the roofline misses kernels of the same operation; 1 where none was measured.
    fn median(&self, kernel: &Kernel, shape: &OpShape, target: &Target) -> f64 {
        let known = |row: &MeasuredTime| registry::find(&row.kernel).filter(|other| other.op == kernel.op);
        let own = self.of_op(kernel.op, shape);
        let each = own.filter_map(|row| Some(row.missed(known(row)?, target)));
        let mut each: Vec<f64> = each.collect();
        each.sort_by(f64::total_cmp);
        each.get(each.len() / 2).copied().unwrap_or(1.0)
    }
}

impl MeasuredTime {
    /// How many times the roofline's time it took.
    fn missed(&self, kernel: &Kernel, target: &Target) -> f64 {
        1e3 * self.microseconds / kernel.roofline(&self.shape, target).0
    }

    /// How many times larger or smaller each size is, multiplied, as a logarithm.
    fn distance(&self, shape: &OpShape) -> f64 {
        let sizes = |s: &OpShape| [s.tokens, s.rows, s.cols, s.context].map(|size| (size.max(1) as f64).ln());
        sizes(&self.shape).iter().zip(sizes(shape)).map(|(a, b)| (a - b).abs()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_abi::{ElementType, Format};

    const KERNEL: &str = "linear_nf4_fragments_mma16";

    fn shape(tokens: u64, rows: u64) -> OpShape {
        let (format, activations) = (Some(Format::Nf4), ElementType::F16);
        OpShape { tokens, rows, cols: 4096, format, activations, context: 0 }
    }

    /// A table in which a kernel takes so many times the roofline on a shape of so many tokens and rows.
    fn table(entries: &[(&str, u64, u64, f64)]) -> Measured {
        let target = Target::of(TargetName::H200);
        let row = |&(name, tokens, rows, times): &(&str, u64, u64, f64)| {
            let shape = shape(tokens, rows);
            let roofline = registry::find(name).expect("a kernel").roofline(&shape, target);
            MeasuredTime { kernel: name.into(), shape, microseconds: times * roofline.0 / 1e3 }
        };
        Measured { source: Some("a test".into()), rows: entries.iter().map(row).collect() }
    }

    #[test]
    fn the_nearest_measured_shape_corrects_the_roofline() {
        let (target, kernel) = (Target::of(TargetName::H200), registry::find(KERNEL).unwrap());
        let measured = table(&[(KERNEL, 16, 4096, 1.5), (KERNEL, 16, 28672, 1.2)]);
        let times =
            |shape: &OpShape| measured.time(kernel, shape, target).0 / kernel.roofline(shape, target).0;
        for (tokens, rows, expected) in [(16, 4096, 1.5), (8, 5120, 1.5), (16, 28672, 1.2), (12, 20000, 1.2)]
        {
            let found = times(&shape(tokens, rows));
            assert!((found - expected).abs() < 1e-9, "{tokens} tokens, {rows} rows: {found}");
        }
    }

    #[test]
    fn kernels_that_were_not_measured_miss_the_roofline_as_their_like_do() {
        let target = Target::of(TargetName::H200);
        let measured = table(&[(KERNEL, 16, 4096, 1.1), (KERNEL, 16, 8192, 1.3), (KERNEL, 16, 28672, 2.0)]);
        let times = |name: &str| {
            let (kernel, shape) = (registry::find(name).unwrap(), shape(32, 4096));
            measured.time(kernel, &shape, target).0 / kernel.roofline(&shape, target).0
        };
        assert!((times("linear_nf4_fragments_mma32") - 1.3).abs() < 1e-9);
        assert!((times("silu_mul_cuda") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn decoding_says_nothing_of_prompts() {
        let (target, kernel) =
            (Target::of(TargetName::H200), registry::find("paged_attention_cuda").unwrap());
        let of = |tokens: u64, context: u64| OpShape {
            context,
            format: Some(Format::F16),
            ..OpShape { cols: 0, ..shape(tokens, 4096) }
        };
        let row = |shape: OpShape, times: f64| {
            let microseconds = times * kernel.roofline(&shape, target).0 / 1e3;
            MeasuredTime { kernel: kernel.name.into(), shape, microseconds }
        };
        let mut measured = Measured { source: None, rows: vec![row(of(128, 2048), 3.0)] };
        let times = |measured: &Measured, shape: OpShape| {
            measured.time(kernel, &shape, target).0 / kernel.roofline(&shape, target).0
        };
        assert!((times(&measured, of(256, 2048)) - 3.0).abs() < 1e-9);
        assert!((times(&measured, of(512, 2048)) - 1.0).abs() < 1e-9, "only the roofline is known");
        measured.rows.push(row(of(8192, 8192), 0.5));
        assert!((times(&measured, of(512, 2048)) - 0.5).abs() < 1e-9);
        assert!((times(&measured, of(256, 8192)) - 3.0).abs() < 1e-9);
    }

    /// Says how far the roofline errs for each kernel that was measured on a target.
    #[test]
    fn what_was_measured_is_of_known_kernels_and_says_where_it_is_from() {
        for name in [TargetName::A100, TargetName::H100, TargetName::H200] {
            let (measured, target) = (Measured::for_target(name), Target::of(name));
            assert_eq!(measured.source.is_some(), !measured.rows.is_empty(), "{name}: what is the source?");
            println!("{name}: {}", measured.source.as_deref().unwrap_or("nothing measured"));
            for kernel in registry::kernels() {
                let own = measured.rows.iter().filter(|row| row.kernel == kernel.name);
                let mut missed: Vec<f64> = own.map(|row| row.missed(kernel, target)).collect();
                missed.sort_by(f64::total_cmp);
                if let (Some(least), Some(most)) = (missed.first(), missed.last()) {
                    let median = missed[missed.len() / 2];
                    println!("  {}: {median:.2} times the roofline, {least:.2} to {most:.2}", kernel.name);
                }
            }
            let known = |row: &&MeasuredTime| registry::find(&row.kernel).is_some() && row.microseconds > 0.0;
            assert_eq!(measured.rows.iter().filter(known).count(), measured.rows.len(), "{name}");
        }
    }
}
