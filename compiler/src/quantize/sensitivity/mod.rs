//! Measurement: what each format costs each weight, by a second-order model of the divergence ([`fisher`]), or by one weight
//! changed at a time, resumed from the weight's own inputs.

mod fisher;
mod members;
mod probe;
mod reuse;
mod scope;
mod trial_rounding;

use self::probe::WeightProbe;
use super::{
    calibration_tokens::CalibrationTokens,
    error::QuantizeError,
    forward::{Forward, LinearStep, State},
    linear_inputs::LinearInputs,
    measure_options::{MeasureOptions, SensitivityMode},
};
use crate::certificate::WeightProfile;

pub(super) use probe::TableWeight;
pub(super) use scope::MeasureScope;

/// A measurement of some weights of a model.
pub(super) struct Measurement<'a> {
    /// What they are measured on.
    pub tokens: &'a CalibrationTokens,
    /// How they are measured.
    pub options: &'a MeasureOptions,
    /// Which they are.
    pub scope: MeasureScope<'a>,
}

impl Measurement<'_> {
    /// Measures every table and every linear that is in the scope and not known; `take` hears of each. Gives all that are in
    /// the scope, in program order.
    pub(super) fn run(
        &self,
        forward: &mut Forward,
        tables: &[TableWeight],
        take: &mut dyn FnMut(&WeightProfile) -> Result<(), QuantizeError>,
    ) -> Result<Vec<WeightProfile>, QuantizeError> {
        if self.options.mode != SensitivityMode::Fisher {
            return self.one_by_one(forward, tables, take);
        }
        let mut measured = fisher::measure(self.tokens, self.options, &self.scope, forward, tables, take)?;
        let linears = forward.linears().into_iter().map(|linear| linear.key);
        let keys = tables.iter().map(|table| table.key.clone()).chain(linears);
        Ok(keys.filter_map(|key| measured.remove(&key)).collect())
    }

    /// Measures every table, then every linear, that is in the scope and not known; `take` hears of each, in program order.
    /// Gives all that are in the scope.
    fn one_by_one(
        &self,
        forward: &mut Forward,
        tables: &[TableWeight],
        take: &mut dyn FnMut(&WeightProfile) -> Result<(), QuantizeError>,
    ) -> Result<Vec<WeightProfile>, QuantizeError> {
        let Measurement { tokens, options, scope } = self;
        let contains = |key: &str| (scope.contains)(key);
        let linears: Vec<LinearStep> =
            forward.linears().into_iter().filter(|linear| contains(&linear.key)).collect();
        let begin = vec![State::default(); tokens.for_divergence().len()];
        let mut measured = vec![];
        let mut finish = |weight: WeightProfile| -> Result<(), QuantizeError> {
            if !scope.known.contains_key(&weight.key) {
                take(&weight)?;
            }
            measured.push(weight);
            Ok(())
        };
        for table in tables.iter().filter(|table| contains(&table.key)) {
            finish(match scope.known.get(&table.key) {
                Some(weight) => weight.clone(),
                None => WeightProbe::new(forward, tokens, options, &begin)?.table(table)?,
            })?;
        }
        let mut states = vec![State::default(); tokens.for_hessians().len()];
        for linear in linears {
            if let Some(weight) = scope.known.get(&linear.key) {
                finish(weight.clone())?;
                continue;
            }
            let inputs = LinearInputs::collect(forward, tokens.for_hessians(), &mut states, &linear)?;
            // With a tied head what the tokens are looked up in changes, too.
            let from = if linear.tied { &begin } else { &states };
            finish(WeightProbe::new(forward, tokens, options, from)?.linear(&linear, &inputs)?)?;
        }
        Ok(measured)
    }
}
