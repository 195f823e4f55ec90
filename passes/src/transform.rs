//! What is done to a weight's sources before it is encoded: the entries of `samp.weight {transforms = […]}`.

use std::{fmt, str::FromStr};

use samp_ir::{Module, OpId, WeightOp};

use crate::concat::CONCAT;

/// Which quality passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantOptions {
    /// Fold norm weights into the linears that read the norm.
    pub fold_norms: bool,
    /// Even out linears and those that read them.
    pub equalize: bool,
    /// Rotation the residual stream, and values, by the rotations of this seed.
    pub rotate: Option<u64>,
    /// Move weights to make up for what rounding those before them changed.
    pub correct: bool,
    /// How weights are rounded.
    pub rounding: Rounding,
}

impl QuantOptions {
    /// Weights as they are, rounded each by itself: all that can be done without calibration.
    pub const NONE: QuantOptions = QuantOptions {
        fold_norms: false,
        equalize: false,
        rotate: None,
        correct: false,
        rounding: Rounding::Nearest,
    };
    /// Everything but rotation, which gains nothing where weights are evened out.
    pub const ALL: QuantOptions = QuantOptions {
        fold_norms: true,
        equalize: true,
        rotate: None,
        correct: true,
        rounding: Rounding::Compensate,
    };

    /// The passes that shape the weights that are measured, as `--quality` names them, a rotation with its seed.
    /// Corrections come after the measurement and do not count.
    pub fn shaping(&self) -> Vec<String> {
        let named = |does: bool, name: &str| does.then(|| name.to_owned());
        let rotation = self.rotate.map(|seed| format!("rotate({seed})"));
        let passes = [named(self.fold_norms, "fold"), named(self.equalize, "equalize"), rotation];
        passes.into_iter().flatten().collect()
    }
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Each to the nearest value under the scale that just reaches the largest of its block.
    Nearest,
    /// Each to the nearest value under the best scale.
    Refine,
    /// Later columns make up for the errors of earlier ones.
    Compensate,
}

impl Rounding {
    /// What weights are marked with.
    pub const fn transform(self) -> Option<Transform> {
        match self {
            Rounding::Nearest => None,
            Rounding::Refine => Some(Transform::Refine),
            Rounding::Compensate => Some(Transform::Compensate),
        }
    }
}

/// A linear and the one after it, evened out channel by channel. Its text is `name/BLOCKxREPEAT`.
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
    /// The channel that column `column` of the consumer reads, counted from the producer's first that is evened.
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

/// Runs of channels, each turned by the same rotation. Its text is `SEED/WIDTHxRUNS`.
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
    /// The last rows are divided by the scales of this pair (its consumer's [`Transform::EvenColumns`] takes them up).
    ScaleRows(Pair),
    /// Each column is multiplied by a scale of this pair.
    EvenColumns(Pair),
    /// All columns are turned: what reads turned inputs, or looks up turned rows.
    RotateColumns(Rotation),
    /// The last rows are turned, and so the outputs.
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
            Transform::EvenColumns(_) => "even_columns",
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
            Transform::ScaleRows(pair) | Transform::EvenColumns(pair) => Some(pair.to_string()),
            Transform::RotateColumns(turn) | Transform::RotateRows(turn) => Some(turn.to_string()),
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
            ("even_columns", Some(pair)) => Ok(Transform::EvenColumns(pair.parse()?)),
            ("rotate_columns", Some(turn)) => Ok(Transform::RotateColumns(turn.parse()?)),
            ("rotate_rows", Some(turn)) => Ok(Transform::RotateRows(turn.parse()?)),
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
            Transform::EvenColumns(pair()),
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
