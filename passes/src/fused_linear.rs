//! Fusing linears that read the same input into one, which the passes `fuse_qkv` and `fuse_gate_up` share.

use samp_ir::{Dtype, LinearOp, Module, OpId, TensorType, ValueId, WeightOp};

/// The transform of a weight that is made of several tensors, their rows one after another.
pub const CONCAT: &str = "concat";

/// Whether these linears can be fused: same input, all with a bias or none, results and weights used once.
pub fn can_fuse(members: &[LinearOp<'_>]) -> bool {
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
/// If one of the members is no linear.
pub fn fuse(module: &mut Module, place: OpId, label: &str, members: &[OpId]) -> ValueId {
    let operands = FusedOperands::from_members(module, label, members);
    let mut builder = module.before(place);
    let weight = builder.weight(label, &operands.weights, &[CONCAT], operands.weight_type);
    let bias = operands
        .bias_type
        .map(|ty| builder.weight(&format!("{label}.bias"), &operands.biases, &[CONCAT], ty));
    builder.linear(label, operands.x, weight, bias)
}

/// What the fused linear is made of.
struct FusedOperands {
    x: ValueId,
    weights: Vec<String>,
    weight_type: TensorType,
    biases: Vec<String>,
    bias_type: Option<TensorType>,
}

impl FusedOperands {
    fn from_members(module: &Module, label: &str, members: &[OpId]) -> FusedOperands {
        let members: Vec<LinearOp<'_>> = members
            .iter()
            .map(|&id| module.view(id).unwrap_or_else(|| panic!("{label} fuses linears")))
            .collect();
        let weights: Vec<WeightOp<'_>> = members.iter().map(|m| m.weight()).collect();
        let biases: Vec<WeightOp<'_>> = members.iter().filter_map(|m| m.bias()).collect();
        let rows = |w: &WeightOp<'_>| w.tensor_type().rows().unwrap_or(0);
        let cols = weights[0].tensor_type().width();
        FusedOperands {
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
