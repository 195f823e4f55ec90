//! What of a measurement a target can run, so that only that is chosen from.

use samp_abi::{ElementType, Format, TargetName, plan::OpKind};
use samp_kernels::{
    registry::{Shape, cheapest},
    target::Target,
};

use crate::{FormatCost, Sensitivities, formulation::Matrix};

impl Sensitivities {
    /// What activations of `target` are stored as, whichever formats are chosen: of the types that linears were measured in
    /// plainly, the one that the target rather takes.
    pub fn activations(&self, matrices: &[Matrix], target: TargetName) -> ElementType {
        let linear = |key: &str| matrices.iter().any(|m| m.key == key && m.reader == OpKind::Linear);
        let linears = self.weights.iter().filter(|weight| linear(&weight.key));
        let formats: Vec<Format> = linears.flat_map(|w| &w.formats).map(|cost| cost.format).collect();
        Target::of(target).activations_beside(&formats)
    }

    /// Leaves out the formats that no kernel of `target` takes beside [such activations](Self::activations): where these are f16, a
    /// linear is not in bf16.
    pub fn runnable(mut self, matrices: &[Matrix], target: TargetName) -> Sensitivities {
        let activations = self.activations(matrices, target);
        for weight in &mut self.weights {
            let Some(matrix) = matrices.iter().find(|matrix| matrix.key == weight.key) else { continue };
            let runs = |rows: u64, cost: &FormatCost| {
                let format = Some(cost.format);
                let shape = Shape { tokens: 1, rows, cols: matrix.cols, format, activations, context: 0 };
                cheapest(target, matrix.reader, shape).is_some()
            };
            weight.formats.retain(|cost| runs(matrix.rows, cost));
            weight.parts.iter_mut().for_each(|part| part.formats.retain(|cost| runs(part.rows, cost)));
        }
        self
    }
}
