//! Joining linears that read the same input into one.

use samp_ir::{Dtype, LinearOp, Module, OpId, TensorType, ValueId, WeightOp};

/// The transform of a weight that is made of several tensors, their rows one after another.
pub const CONCAT: &str = "concat";

/// Whether these linears can become one: same input, all with a bias or none, results and weights used once.
pub fn are_joinable(members: &[LinearOp<'_>]) -> bool {
    let first = members[0];
    members.iter().all(|m| {
        m.x() == first.x()
            && m.bias().is_some() == first.bias().is_some()
            && m.module().use_count(m.result(0)) == 1
            && m.module().use_count(m.weight().value()) == 1
    })
}

/// Adds one linear before `place` that computes the outputs of all `members` side by side. The members stay; they
/// are dead once their uses are gone.
///
/// # Panics
/// If the members are not joinable.
pub fn join(module: &mut Module, place: OpId, label: &str, members: &[OpId]) -> ValueId {
    let parts = Parts::of(module, label, members);
    let mut builder = module.before(place);
    let weight = builder.weight(label, &parts.weights, &[CONCAT], parts.weight_type);
    let bias =
        parts.bias_type.map(|ty| builder.weight(&format!("{label}.bias"), &parts.biases, &[CONCAT], ty));
    builder.linear(label, parts.x, weight, bias)
}

/// What the joined linear is made of.
struct Parts {
    x: ValueId,
    weights: Vec<String>,
    weight_type: TensorType,
    biases: Vec<String>,
    bias_type: Option<TensorType>,
}

impl Parts {
    fn of(module: &Module, label: &str, members: &[OpId]) -> Parts {
        let members: Vec<LinearOp<'_>> = members
            .iter()
            .map(|&id| module.view(id).unwrap_or_else(|| panic!("{label} joins linears")))
            .collect();
        let weights: Vec<WeightOp<'_>> = members.iter().map(|m| m.weight()).collect();
        let biases: Vec<WeightOp<'_>> = members.iter().filter_map(|m| m.bias()).collect();
        let rows = |w: &WeightOp<'_>| w.tensor_type().rows().unwrap_or(0);
        let cols = weights[0].tensor_type().width();
        Parts {
            x: members[0].x(),
            weight_type: TensorType::matrix(weights.iter().map(rows).sum(), cols, common_dtype(&weights)),
            bias_type: (!biases.is_empty()).then(|| {
                TensorType::vector(
                    biases.iter().map(|b| b.tensor_type().width()).sum(),
                    common_dtype(&biases),
                )
            }),
            weights: sources(&weights),
            biases: sources(&biases),
        }
    }
}

/// The element type that all have, or f32, which holds every value of each.
fn common_dtype(weights: &[WeightOp<'_>]) -> Dtype {
    let first = weights[0].tensor_type().dtype;
    if weights.iter().all(|w| w.tensor_type().dtype == first) { first } else { Dtype::F32 }
}

fn sources(weights: &[WeightOp<'_>]) -> Vec<String> {
    weights.iter().flat_map(|w| w.sources()).map(String::from).collect()
}
