//! Whether a plan fits the memory that it is given, known before a weight is read.

use samp_ir::Diagnostic;

use super::{
    size::{Bytes, SizeTable},
    spec::PlanSpec,
};
use crate::error_code;

/// Refuses a plan whose weights do not fit, and shows where the bytes are. The budget is one of weights: how many
/// sequences of what length share the rest of a machine is known when it serves, not here. Where the weights fit but
/// not even one sequence beside them would, a warning says so.
pub fn check_budget(spec: &PlanSpec, budget: u64) -> Result<Option<Diagnostic>, Diagnostic> {
    let sizes = SizeTable::new(spec);
    let table =
        |finding| sizes.to_string().lines().fold(finding, |finding: Diagnostic, line| finding.note(line));
    let [weights, least, room] = [sizes.weights_bytes, sizes.least_bytes_to_run, budget].map(Bytes);
    if weights.0 > budget {
        let missing = Bytes(weights.0 - budget);
        let message = format!(
            "the plan's weights need {weights}, the budget is {room}: {missing} too much; running takes {least} or more"
        );
        let finding = table(Diagnostic::bad_input(error_code::OVER_BUDGET, message));
        return Err(finding.hint("choose smaller formats with --recipe, or raise --budget"));
    }
    if least.0 <= budget {
        return Ok(None);
    }
    let message = format!(
        "the plan's weights need {weights} of the budget of {room}, but running takes {least} or more: \
         beside the weights, {} of activation arena and {} of KV cache for one sequence of {} positions",
        Bytes(sizes.arena_bytes),
        Bytes(sizes.kv_bytes_of_one_sequence),
        spec.limits.max_context,
    );
    let hint = "if the budget is all the memory there is: --kv-cache-dtype, --max-model-len and \
                --max-num-batched-tokens take less";
    Ok(Some(Diagnostic::bad_input(error_code::TIGHT_BUDGET, message).warning().hint(hint)))
}
