//! What a calibrated compile will take, said before anything is measured. Operations are counted roughly, and the time is
//! what they take at the speed of one product of matrices on this machine: an estimate, good within a small factor.

use std::time::Instant;

use samp_abi::plan::{Op, TensorId};
use samp_kernels::quantize::Hessian;
use schemars::JsonSchema;
use serde::Serialize;

use super::{baseline_model::BaselineModel, request::SearchRequest};
use crate::{
    certificate::tried_formats,
    lower::{LowerOptions, ModelSource, TensorSpec},
    quantize::{
        calibration_tokens::CalibrationTokens, data::CalibrationData, error::QuantizeError,
        measure_options::SensitivityMode, token_batch::TokenBatch,
    },
};

/// Plans that are rounded and audited: the one that is decided, and a uniform one to compare it with.
const ROUNDED: f64 = 2.0;
/// Members of a fused linear are measured on this part of the tokens that tell a divergence.
const MEMBERS_SHARE: f64 = 1.0 / 3.0;
/// Of each linear of a pass forward and back: what it gives again, the gradient, and what its reference rounding changes.
const GRADIENTS: usize = 3;

/// What a calibrated compile will take.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CalibrationForecast {
    /// Matrices to measure.
    pub weights: usize,
    /// Matrices that the profile has.
    pub known: usize,
    /// Formats of all matrices to measure.
    pub candidates: usize,
    /// How often the model, or a part of it, is run over the tokens that tell a divergence.
    pub passes: usize,
    /// The tokens of each use.
    pub tokens: TokenUses,
    /// Most bytes in memory beside the mapped weights, roughly.
    pub memory_bytes: u64,
    /// Most bytes of the work folder, roughly; it is removed in the end.
    pub work_bytes: u64,
    /// Multiplications and additions.
    pub operations: f64,
    /// How many of them this machine does in a second.
    pub operations_per_second: f64,
    /// The time that these take.
    pub seconds: f64,
}

/// How many tokens each use takes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenUses {
    /// Behind each output error.
    pub output_errors: usize,
    /// Predictions behind each divergence.
    pub divergences: usize,
    /// That weights are rounded under.
    pub rounding: usize,
    /// Held out for the audit.
    pub held_out: usize,
}

/// Counts what a search for this request takes.
pub(crate) fn forecast(
    source: ModelSource,
    options: LowerOptions,
    request: &SearchRequest,
    data: &CalibrationData,
) -> Result<CalibrationForecast, QuantizeError> {
    request.loss_limits.check(data)?;
    let model = BaselineModel::new(source, options, &[&data.calibration, &data.held_out])?;
    let (pass, page) = (model.pass_tokens(), model.page_tokens());
    let tokens = CalibrationTokens::new(&data.calibration, pass, page, &request.measure);
    let matrices = Matrices::new(&model, request);
    let sum = |batches: &[TokenBatch], of: fn(&TokenBatch) -> usize| batches.iter().map(of).sum();
    let (output_errors, divergences) =
        (sum(tokens.for_hessians(), TokenBatch::tokens), sum(tokens.for_divergence(), TokenBatch::outputs));
    let batches = tokens.into_rounding_batches(request.measure.mode.rounding_tokens());
    let held_out = data.held_out.iter().map(|record| record.tokens.len()).sum();
    let tokens =
        TokenUses { output_errors, divergences, rounding: sum(&batches, TokenBatch::tokens), held_out };
    let (operations, operations_per_second) = (matrices.operations(&tokens), speed());
    let vocabulary = model.spec.model.vocab_size as usize;
    Ok(CalibrationForecast {
        weights: matrices.unknown().count(),
        known: matrices.0.iter().filter(|matrix| matrix.known).count(),
        candidates: matrices.unknown().map(|matrix| matrix.formats).sum(),
        passes: matrices.unknown().map(|matrix| matrix.divergences + matrix.member_divergences).sum(),
        tokens,
        memory_bytes: matrices.memory_bytes(&tokens, vocabulary) + model.spec.arena_bytes,
        work_bytes: matrices.work_bytes(),
        operations,
        operations_per_second,
        seconds: operations / operations_per_second,
    })
}

/// The matrices of a model, in the order in which they are measured.
struct Matrices(Vec<Matrix>);

struct Matrix {
    rows: f64,
    cols: f64,
    /// Whether a linear multiplies with it; others are only looked up in.
    linear: bool,
    known: bool,
    /// Formats to try.
    formats: usize,
    /// Runs of the rest of the model with this matrix alone rounded.
    divergences: usize,
    /// The same with one member of it rounded.
    member_divergences: usize,
    /// Products with it that a pass forward and back takes, beside the run of the model.
    gradients: usize,
}

impl Matrices {
    fn new(model: &BaselineModel, request: &SearchRequest) -> Matrices {
        let linear = |id: TensorId| {
            let reads = |op: &Op| matches!(op, Op::Linear { weight, .. } if *weight == id);
            model.spec.program.steps.iter().any(|step| reads(&step.op))
        };
        let known = |tensor: &TensorSpec| {
            request.profile.iter().flat_map(|profile| &profile.weights).any(|w| w.key == tensor.name)
        };
        let matrix = |(index, tensor): (usize, &TensorSpec)| {
            let fits = |format: &samp_abi::Format| tensor.cols.is_multiple_of(format.column_multiple());
            let formats = tried_formats(&request.measure.formats, false).into_iter().filter(fits).count();
            let divergences = match request.measure.mode {
                SensitivityMode::Exact => formats,
                SensitivityMode::Fast => formats.min(1),
                SensitivityMode::Fisher => 0,
            };
            let members = if tensor.sources.len() > 1 { tensor.sources.len() } else { 0 };
            let linear = linear(TensorId(index as u32));
            Matrix {
                rows: tensor.rows as f64,
                cols: tensor.cols as f64,
                linear,
                known: known(tensor),
                formats,
                divergences,
                member_divergences: if linear { divergences * members } else { 0 },
                gradients: if linear && request.measure.mode == SensitivityMode::Fisher {
                    GRADIENTS
                } else {
                    0
                },
            }
        };
        let tensors = model.spec.tensors.iter().enumerate();
        Matrices(tensors.filter(|(_, tensor)| tensor.rows > 1).map(matrix).collect())
    }

    fn unknown(&self) -> impl Iterator<Item = &Matrix> {
        self.0.iter().filter(|matrix| !matrix.known)
    }

    /// Multiplications and additions of measuring, rounding and auditing; attention, and what is not a product of
    /// matrices, is left out.
    fn operations(&self, tokens: &TokenUses) -> f64 {
        let [errors, divergences, rounding, held_out] =
            [tokens.output_errors, tokens.divergences, tokens.rounding, tokens.held_out].map(|n| n as f64);
        let run: f64 = self.linears().map(Matrix::multiply).sum();
        let mut rest = run;
        let mut measuring = 0.0;
        for matrix in &self.0 {
            if !matrix.known {
                let runs = matrix.divergences as f64 + MEMBERS_SHARE * matrix.member_divergences as f64;
                measuring += divergences * rest * runs;
                measuring += errors * (matrix.gradients as f64 * matrix.multiply() + matrix.gather());
                measuring += matrix.formats as f64 * matrix.round();
            }
            rest -= if matrix.linear { matrix.multiply() } else { 0.0 };
        }
        let baselines = (errors + divergences + held_out) * run;
        let one: f64 =
            self.linears().map(|m| rounding * (2.0 * m.multiply() + 2.0 * m.gather()) + m.round()).sum();
        baselines + measuring + ROUNDED * (one + held_out * run)
    }

    fn linears(&self) -> impl Iterator<Item = &Matrix> {
        self.0.iter().filter(|matrix| matrix.linear)
    }

    /// Recorded logits, the activations of both programs between two steps, and what rounding the largest matrix takes.
    fn memory_bytes(&self, tokens: &TokenUses, vocabulary: usize) -> u64 {
        let logits = 4.0 * ((tokens.divergences + tokens.held_out) * vocabulary) as f64;
        let widest = self.linears().map(|matrix| matrix.cols).fold(0.0, f64::max);
        let states = 2.0 * 4.0 * 2.0 * widest * tokens.rounding.max(tokens.output_errors) as f64;
        let largest =
            |matrix: &Matrix| 4.0 * 4.0 * matrix.rows * matrix.cols + 3.0 * 8.0 * matrix.cols.powi(2);
        (logits + states + self.linears().map(largest).fold(0.0, f64::max)) as u64
    }

    /// The weights in f32 before and after rounding, and rounded weights of at most 16 bits of both plans.
    fn work_bytes(&self) -> u64 {
        let elements: f64 = self.0.iter().map(|matrix| matrix.rows * matrix.cols).sum();
        ((2.0 * 4.0 + ROUNDED * 2.0) * elements) as u64
    }
}

impl Matrix {
    /// For one token.
    fn multiply(&self) -> f64 {
        2.0 * self.rows * self.cols
    }

    /// Adding one token to the Hessian.
    fn gather(&self) -> f64 {
        if self.linear { 2.0 * self.cols * self.cols } else { 0.0 }
    }

    /// Factoring the Hessian, rounding under it to one format, and the error of that.
    fn round(&self) -> f64 {
        if !self.linear {
            return self.rows * self.cols;
        }
        4.0 * self.rows * self.cols * self.cols + self.cols.powi(3)
    }
}

/// Multiplications and additions in a second, of the kind that most of the time goes to.
fn speed() -> f64 {
    const COLS: usize = 512;
    const TOKENS: usize = 256;
    let inputs: Vec<f32> = (0..COLS * TOKENS).map(|i| (i % 7) as f32 - 3.0).collect();
    let once = || {
        let (mut hessian, begun) = (Hessian::new(COLS), Instant::now());
        // Finite inputs are not refused.
        let _ = hessian.add(&inputs);
        (2 * TOKENS * COLS * COLS) as f64 / begun.elapsed().as_secs_f64().max(1e-9)
    };
    (0..3).map(|_| once()).fold(1.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(known: bool) -> Matrix {
        Matrix {
            rows: 64.0,
            cols: 32.0,
            linear: true,
            known,
            formats: 3,
            divergences: 1,
            member_divergences: 3,
            gradients: 0,
        }
    }

    #[test]
    fn more_tokens_and_weights_take_longer_and_what_is_known_takes_nothing() {
        let tokens = TokenUses { output_errors: 100, divergences: 50, rounding: 100, held_out: 10 };
        let count = |known: [bool; 2], tokens: &TokenUses| {
            Matrices(known.map(matrix).into_iter().collect()).operations(tokens)
        };
        let all = count([false, false], &tokens);
        let known = count([true, true], &tokens);
        assert!(known < count([true, false], &tokens) && count([true, false], &tokens) < all);
        assert!(all < count([false, false], &TokenUses { divergences: 60, ..tokens }));
        // By hand: the model is run over 160 tokens, and twice over 10; rounding does the rest.
        let (run, one) = (2.0 * 4096.0, 100.0 * 2.0 * (4096.0 + 2048.0) + 4.0 * 64.0 * 1024.0 + 32768.0);
        assert_eq!(known, 160.0 * run + 2.0 * (2.0 * one + 10.0 * run));
    }
}
