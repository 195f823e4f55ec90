//! Measurement by one pass forward and one back: a second-order model of the divergence.
//!
//! Where rounding changes a linear by `E`, each token's output changes by `E x`, and the divergence of the model's predictions
//! grows by `½ Σ (g · E x)²` over tokens, `g` being the gradient by that output of a draw of the divergence's root
//! ([`samp_kernels::gradient::draw_divergence_root`]). That sum is taken token by token for one *reference* rounding of each
//! weight, by record. From it to any other rounding leads the Kronecker approximation `Σ_i G_ii (E H Eᵀ)_ii` with `G = Σ g gᵀ`
//! and `H = Σ x xᵀ`, which needs no further pass: of it, the ratio alone counts. Terms between tokens are left out, and so
//! are those between weights, as by every sum of losses.

mod basis;
mod linear_sums;
mod losses;
mod row_squares;
mod table_sums;

use std::{collections::BTreeMap, ops::Range};

use samp_abi::plan::Op;
use samp_kernels::gradient::draw_divergence_root;

use self::{
    basis::{Basis, DRAWS},
    linear_sums::LinearSums,
    table_sums::TableSums,
};
use super::{TableWeight, scope::MeasureScope};
use crate::{
    certificate::WeightProfile,
    quantize::{
        backward::{Backward, GradientVisitor, StepGradient, Tape},
        calibration_tokens::CalibrationTokens,
        error::QuantizeError,
        forward::{Forward, LinearStep},
        measure_options::MeasureOptions,
    },
};

/// What they are drawn by.
const SEED: u64 = 0x5a3b_f15e;

/// Who hears of each measured weight.
pub(super) type Take<'a> = dyn FnMut(&WeightProfile) -> Result<(), QuantizeError> + 'a;

/// Measures every weight of the scope that is not known; `take` hears of each, from the last layer to the first. Gives all
/// that are in the scope, by name.
pub(super) fn measure(
    tokens: &CalibrationTokens,
    options: &MeasureOptions,
    scope: &MeasureScope<'_>,
    forward: &mut Forward,
    tables: &[TableWeight],
    take: &mut Take<'_>,
) -> Result<BTreeMap<String, WeightProfile>, QuantizeError> {
    let wanted = |key: &str| scope.wants(key);
    let mut linears: BTreeMap<usize, LinearStep> =
        forward.linears().into_iter().map(|l| (l.step, l)).collect();
    linears.retain(|_, linear| wanted(&linear.key));
    let tables: Vec<&TableWeight> = tables.iter().filter(|table| wanted(&table.key)).collect();
    let known = scope.known.iter().filter(|(key, _)| (scope.contains)(key));
    let mut measured: BTreeMap<String, WeightProfile> =
        known.map(|(key, weight)| (key.clone(), weight.clone())).collect();
    if linears.is_empty() && tables.is_empty() {
        return Ok(measured);
    }
    let batches = tokens.for_hessians();
    let basis = Basis { tokens, options };
    let mut collector = Collector {
        basis,
        linears,
        tables,
        sums: BTreeMap::new(),
        table: None,
        measured: &mut measured,
        take,
    };
    let vocab = forward.vocab();
    let root = |logits: &mut [f32], batch: usize, draw: u64| {
        // No batch has 2³² predictions, so that each has signs of its own.
        draw_divergence_root(logits, vocab, SEED.wrapping_add(draw), (batch as u64) << 32);
    };
    Backward { forward, batches, draws: DRAWS, root: &root }.run(&mut collector)?;
    Ok(measured)
}

/// Sums up what is shown, and measures each weight when all of it was.
struct Collector<'a, 'b> {
    basis: Basis<'a>,
    /// Those to measure, by step.
    linears: BTreeMap<usize, LinearStep>,
    tables: Vec<&'a TableWeight>,
    /// Of the linears that are being shown, and of a tied head until the tokens' embedding was.
    sums: BTreeMap<usize, LinearSums>,
    table: Option<TableSums<'a>>,
    measured: &'a mut BTreeMap<String, WeightProfile>,
    take: &'a mut Take<'b>,
}

impl Collector<'_, '_> {
    fn note(&mut self, weight: WeightProfile) -> Result<(), QuantizeError> {
        (self.take)(&weight)?;
        self.measured.insert(weight.key.clone(), weight);
        Ok(())
    }
}

impl GradientVisitor for Collector<'_, '_> {
    fn begin(&mut self, forward: &mut Forward, steps: &Range<usize>) -> Result<(), QuantizeError> {
        for (&step, linear) in self.linears.range(steps.clone()) {
            self.sums.insert(step, LinearSums::new(forward, linear, &self.basis)?);
        }
        let embedded = forward.program().steps[steps.clone()].iter().find_map(|step| match step.op {
            Op::Embed { weight, .. } => Some(weight),
            _ => None,
        });
        let table = self.tables.iter().find(|table| Some(table.id) == embedded);
        self.table = table.map(|table| TableSums::new(forward, table, &self.basis)).transpose()?;
        Ok(())
    }

    fn ran(&mut self, forward: &Forward, tape: &Tape) {
        self.sums.values_mut().for_each(|sums| sums.look_at_heads(forward, tape));
    }

    fn visit(&mut self, at: &StepGradient<'_>) -> Result<(), QuantizeError> {
        let batch = self.basis.batch(at.batch);
        if let Some(sums) = self.sums.get_mut(&at.step) {
            return sums.add(at, batch);
        }
        if at.x.is_empty() {
            self.table.iter_mut().for_each(|table| table.add(at.gradient, batch));
            self.sums.values_mut().for_each(|sums| sums.add_embedded(at.gradient, batch));
        }
        Ok(())
    }

    fn finish(&mut self, forward: &mut Forward, steps: &Range<usize>) -> Result<(), QuantizeError> {
        // A tied head waits for the embedding of tokens, which is the first step.
        let done = |sums: &LinearSums| !sums.linear.tied || steps.start == 0;
        let done: Vec<usize> =
            self.sums.iter().filter(|(_, sums)| done(sums)).map(|(&step, _)| step).collect();
        for step in done {
            let sums = self.sums.remove(&step).expect("just found");
            let weight = losses::linear(&sums, forward, &self.basis)?;
            self.note(weight)?;
        }
        if let Some(table) = self.table.take() {
            let weight = table.profile(forward, &self.basis)?;
            self.note(weight)?;
        }
        Ok(())
    }
}
