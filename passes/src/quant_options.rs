//! Which passes trade time of the compile for quality, and how weights are rounded.

use crate::transform::Transform;

/// Which quality passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantOptions {
    /// Fold norm weights into the linears that read the norm.
    pub fold_norms: bool,
    /// Equalize channels between linears and those that read them.
    pub equalize: bool,
    /// Rotate the residual stream, and values, by the rotations of this seed.
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
    /// Everything but rotation, which gains nothing where channels are equalized.
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
