//! What is done to a weight's sources before it is encoded: the entries of `samp.weight {transforms = […]}`.

use std::{fmt, str::FromStr};

use samp_ir::{Module, OpId, WeightOp};

use crate::fused_linear::CONCAT;

/// A linear and the one after it, equalized channel by channel. Its text is `name/BLOCKxREPEAT`.
///
/// The consumer reads each block of channels `repeat` times over: the heads of values once for every query head of their
/// group. Without such groups all channels are one block, read once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Label of the op between the two.
    pub name: String,
    /// Channels of a block.
    pub block: u64,
    /// How often each block is read.
    pub repeat: u64,
}

impl Pair {
    /// The channel that column `column` of the consumer reads, counted from the producer's first that is equalized.
    pub fn channel(&self, column: usize) -> usize {
        let (block, repeat) = (self.block as usize, self.repeat as usize);
        column / (block * repeat) * block + column % block
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}x{}", self.name, self.block, self.repeat)
    }
}

impl FromStr for Pair {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Pair, UnknownTransform> {
        let parse = || {
            let (name, numbers) = text.rsplit_once('/')?;
            let (block, repeat) = numbers.split_once('x')?;
            let (block, repeat) = (block.parse().ok()?, repeat.parse().ok()?);
            (block > 0 && repeat > 0).then(|| Pair { name: name.into(), block, repeat })
        };
        parse().ok_or_else(|| UnknownTransform(text.into()))
    }
}

/// Runs of channels, each rotated by the same matrix. Its text is `SEED/WIDTHxRUNS`.
///
/// The residual stream is one run; every head of values is one, and so is every head that reads them: one rotation for
/// all needs not know which heads share values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rotation {
    /// Seed of the rotation.
    pub seed: u64,
    /// Channels of a run.
    pub width: u64,
    /// Number of runs.
    pub runs: u64,
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}x{}", self.seed, self.width, self.runs)
    }
}

impl FromStr for Rotation {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Rotation, UnknownTransform> {
        let parse = || {
            let (seed, numbers) = text.split_once('/')?;
            let (width, runs) = numbers.split_once('x')?;
            let (seed, width, runs) = (seed.parse().ok()?, width.parse().ok()?, runs.parse().ok()?);
            (width > 0 && runs > 0).then_some(Rotation { seed, width, runs })
        };
        parse().ok_or_else(|| UnknownTransform(text.into()))
    }
}

/// One transform. Its text in the graph is its name, with its argument in parentheses where it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transform {
    /// The rows of all sources one after another.
    Concat,
    /// Every element becomes 1: a norm weight that was folded away.
    Ones,
    /// Each column is multiplied by an element of this norm weight, a tensor of the checkpoint.
    FoldColumns(String),
    /// The last rows are divided by the scales of this pair (its consumer's [`Transform::ScaleColumns`] takes them up).
    ScaleRows(Pair),
    /// Each column is multiplied by a scale of this pair.
    ScaleColumns(Pair),
    /// All columns are rotated: what reads rotated inputs, or looks up rotated rows.
    RotateColumns(Rotation),
    /// The last rows are rotated, and so the outputs.
    RotateRows(Rotation),
    /// Moved to make up for what rounding the weights before it changed.
    Correct,
    /// These columns, ascending, are kept in f16 beside the codes: those of outlier channels.
    KeepColumns(Vec<u32>),
    /// Rounded with knowledge of the inputs: later columns make up for the errors of earlier ones (GPTQ).
    Compensate,
    /// Scales searched for the least error under the inputs' energy.
    Refine,
}

impl Transform {
    /// The name without the argument.
    pub const fn name(&self) -> &'static str {
        match self {
            Transform::Concat => CONCAT,
            Transform::Ones => "ones",
            Transform::FoldColumns(_) => "fold_columns",
            Transform::ScaleRows(_) => "even_rows",
            Transform::ScaleColumns(_) => "even_columns",
            Transform::RotateColumns(_) => "rotate_columns",
            Transform::RotateRows(_) => "rotate_rows",
            Transform::Correct => "correct",
            Transform::KeepColumns(_) => "keep_columns",
            Transform::Compensate => "gptq",
            Transform::Refine => "refine",
        }
    }

    fn argument(&self) -> Option<String> {
        match self {
            Transform::FoldColumns(norm) => Some(norm.clone()),
            Transform::ScaleRows(pair) | Transform::ScaleColumns(pair) => Some(pair.to_string()),
            Transform::RotateColumns(rotation) | Transform::RotateRows(rotation) => {
                Some(rotation.to_string())
            }
            Transform::KeepColumns(columns) => {
                Some(columns.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument() {
            Some(argument) => write!(f, "{}({argument})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// A transform that samp does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected transforms that samp knows, found `{0}`")]
pub struct UnknownTransform(pub String);

impl FromStr for Transform {
    type Err = UnknownTransform;

    fn from_str(text: &str) -> Result<Transform, UnknownTransform> {
        let (name, argument) = match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
            Some((name, argument)) => (name, Some(argument.to_owned())),
            None => (text, None),
        };
        match (name, argument) {
            (CONCAT, None) => Ok(Transform::Concat),
            ("ones", None) => Ok(Transform::Ones),
            ("correct", None) => Ok(Transform::Correct),
            ("gptq", None) => Ok(Transform::Compensate),
            ("refine", None) => Ok(Transform::Refine),
            ("keep_columns", Some(columns)) => {
                let columns: Result<Vec<u32>, _> = columns.split(',').map(str::parse).collect();
                Ok(Transform::KeepColumns(columns.map_err(|_| UnknownTransform(text.into()))?))
            }
            ("fold_columns", Some(norm)) => Ok(Transform::FoldColumns(norm)),
            ("even_rows", Some(pair)) => Ok(Transform::ScaleRows(pair.parse()?)),
            ("even_columns", Some(pair)) => Ok(Transform::ScaleColumns(pair.parse()?)),
            ("rotate_columns", Some(rotation)) => Ok(Transform::RotateColumns(rotation.parse()?)),
            ("rotate_rows", Some(rotation)) => Ok(Transform::RotateRows(rotation.parse()?)),
            _ => Err(UnknownTransform(text.into())),
        }
    }
}

/// Adds a transform after those that a weight has.
pub(crate) fn append(module: &mut Module, weight: OpId, transform: &Transform) {
    let view: WeightOp = module.view(weight).expect("collected as a weight");
    let mut transforms: Vec<String> = view.transforms().into_iter().map(String::from).collect();
    transforms.push(transform.to_string());
    module.set_transforms(weight, &transforms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        let norm = || "model.norm.weight".to_owned();
        let pair = || Pair { name: "layers.0.self_attn".into(), block: 32, repeat: 4 };
        for transform in [
            Transform::Concat,
            Transform::Ones,
            Transform::Correct,
            Transform::Compensate,
            Transform::Refine,
            Transform::KeepColumns(vec![3, 17]),
            Transform::FoldColumns(norm()),
            Transform::ScaleRows(pair()),
            Transform::ScaleColumns(pair()),
            Transform::RotateColumns(Rotation { seed: u64::MAX, width: 64, runs: 1 }),
            Transform::RotateRows(Rotation { seed: 0, width: 16, runs: 2 }),
        ] {
            assert_eq!(transform.to_string().parse(), Ok(transform));
        }
        for text in [
            "",
            "fold_columns",
            "ones(x)",
            "keep_columns()",
            "gptq(",
            "even_rows(a/0x1)",
            "rotate_rows(7)",
            "rotate_rows(-1/2x1)",
        ] {
            assert!(text.parse::<Transform>().is_err(), "{text}");
        }
    }

    #[test]
    fn grouped_heads_read_the_values_of_their_group() {
        let pair = Pair { name: "a".into(), block: 2, repeat: 3 };
        let channels: Vec<usize> = (0..12).map(|column| pair.channel(column)).collect();
        assert_eq!(channels, [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]);
    }
}
