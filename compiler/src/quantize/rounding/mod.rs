//! The final weights: linear after linear in program order, each first corrected for what the rounded weights before it
//! changed, then rounded under the Hessian of the inputs that they give. A linear that a plan holds split stays fused here:
//! its members are corrected together, and each is rounded to its own format.

mod effects;
mod function_snapshot;
mod pass;
mod plan_tensors;
mod program_pair;
mod statistics;
mod store;

use samp_abi::plan::TensorId;
use samp_kernels::encoded::Encoded;
use samp_runtime::Progress;

pub(super) use effects::EFFECT_TOKENS;
pub(super) use function_snapshot::FunctionSnapshot;
pub(super) use program_pair::ProgramPair;
pub(crate) use store::RoundedStore;

use self::{
    pass::RoundingPass,
    plan_tensors::{PlanTensorSlice, slices},
};
use super::{
    baseline::decoded,
    error::{QuantizeError, advance},
    forward::Forward,
    token_batch::TokenBatch,
};
use crate::{certificate::PassEffect, lower::PlanSpec};

/// What is rounded: the tensors of `baseline`, which the programs of a [`ProgramPair`] have, to those of `plan`, which holds
/// each of them fused or split.
#[derive(Clone, Copy)]
pub(super) struct RoundingTask<'a> {
    /// The f32 program.
    pub baseline: &'a PlanSpec,
    /// The plan.
    pub plan: &'a PlanSpec,
    /// The tokens that weights are rounded under.
    pub batches: &'a [TokenBatch],
    /// What this rounding is called, such as `rounding, attempt 1`.
    pub stage: &'a str,
}

impl RoundingTask<'_> {
    /// Rounds every tensor of the plan, leaves the decoded values in the rounded program, and puts every tensor of the plan
    /// that has transforms into `store`. `progress` hears of each linear, and where a Hessian took more damping than usual. Gives what the
    /// passes that work on rounding did, in their order.
    ///
    /// Holds the activations of all batches between two steps, of both programs, and the Hessian of one linear.
    pub(super) fn run(
        &self,
        programs: &mut ProgramPair,
        store: &mut RoundedStore,
        progress: &dyn Progress,
    ) -> Result<Vec<PassEffect>, QuantizeError> {
        programs.rounded.set_weights(programs.original.weights().clone());
        let linears = programs.rounded.linears();
        for (index, tensor) in self.baseline.tensors.iter().enumerate() {
            let id = TensorId(index as u32);
            if linears.iter().all(|linear| linear.weight != id || linear.tied) {
                let values = programs.rounded.weights().matrix(id);
                let slices = slices(tensor, self.plan);
                let encoded =
                    slices.iter().map(|slice| slice.plain(&values)).collect::<Result<Vec<_>, _>>()?;
                commit(&mut programs.rounded, id, &slices, &encoded, store)?;
            }
        }
        progress.begin(self.stage, linears.iter().filter(|linear| !linear.tied).count() as u64);
        let mut pass = RoundingPass::new(programs, self.batches, progress);
        for linear in linears.iter().filter(|linear| !linear.tied) {
            let slices = slices(&self.baseline.tensors[linear.weight.0 as usize], self.plan);
            let encoded = pass.round(linear, &slices)?;
            commit(&mut pass.programs.rounded, linear.weight, &slices, &encoded, store)?;
            advance(progress, &linear.key)?;
        }
        progress.end();
        Ok(pass.stats.effects())
    }
}

/// Makes the encoded slices of a tensor what is run with, and keeps those that emission could not make.
fn commit(
    forward: &mut Forward,
    id: TensorId,
    slices: &[PlanTensorSlice<'_>],
    encoded: &[Encoded],
    store: &mut RoundedStore,
) -> Result<(), QuantizeError> {
    let values: Vec<f32> = encoded.iter().flat_map(|slice| decoded(slice.view())).collect();
    forward.weights_mut().commit(id, &values)?;
    for (slice, encoded) in
        slices.iter().zip(encoded).filter(|(slice, _)| !slice.tensor.transforms.is_empty())
    {
        store.put(&slice.tensor.name, encoded).map_err(QuantizeError::Store)?;
    }
    Ok(())
}
