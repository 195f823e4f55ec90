//! Splits a fused linear whose members a recipe wants in different formats, or whose scales none can stand for: one linear for
//! each, their results put together.
//!
//! Before: `%y = samp.linear(%x, %w)` over one `samp.weight {sources = [gate, up], transforms = ["concat"]}`
//!
//! After:
//! ```mlir
//! %gate = samp.linear(%x, %w_gate)   %up = samp.linear(%x, %w_up)
//! %y = samp.concat(%gate, %up)
//! ```
//! Requires: the annotated phase. Ensures: all sources of each matrix have one format by the recipe. Does not: set formats;
//! `assign_recipe` does.

use samp_abi::Format;
use samp_ir::{
    Builder, Diagnostic, LinearOp, Module, OpId, OpRef, RopeAppendOp, Shape, SiluMulOp, TensorType, ValueId,
    View, WeightOp,
};

use crate::error_code;
use crate::{
    Changed,
    assign_recipe::{projection_key, projections},
    member_scales::MemberScales,
    recipe::Recipe,
    transform::{Transform, UnknownTransform},
};

/// Splits every fused linear whose members differ by `recipe`, or need what their format keeps once for a tensor each by itself.
pub fn split_linears(
    module: &mut Module,
    recipe: &Recipe,
    scales: &MemberScales,
) -> Result<Changed, Diagnostic> {
    let projections = projections(module);
    let keys: Vec<&str> = projections.iter().map(|p| p.key.as_str()).collect();
    let formats = recipe.resolve(&keys)?;
    let of = |weight: OpId| projections.iter().zip(&formats).filter(move |(p, _)| p.weight == weight);
    let differ = |weight: OpId| {
        let formats: Vec<Format> = of(weight).map(|(_, &format)| format).collect();
        let sources: WeightOp = module.view(weight).expect("a linear has a weight");
        formats.iter().any(|&format| format != formats[0])
            || formats.first().is_some_and(|&format| scales.need_own(&sources.sources(), format))
    };
    let matches: Vec<Match> = module.views::<LinearOp>().filter_map(|op| match_linear(op, &differ)).collect();
    for found in &matches {
        rewrite_linear(module, found)?;
    }
    module.eliminate_dead_ops();
    Ok(Changed(matches.len()))
}

/// A fused linear to be split.
struct Match {
    linear: OpId,
    x: ValueId,
    weight: OpId,
    bias: Option<OpId>,
    /// Outputs of each member.
    rows: Vec<u64>,
}

fn match_linear(linear: LinearOp<'_>, differ: &dyn Fn(OpId) -> bool) -> Option<Match> {
    let (module, weight) = (linear.module(), linear.weight());
    let [reader] = module.users(linear.result(0))[..] else { return None };
    let rows = member_rows(reader)?;
    let has_members = weight.sources().len() == rows.len() && module.use_count(weight.value()) == 1;
    (has_members && differ(weight.id())).then(|| Match {
        linear: linear.id(),
        x: linear.x(),
        weight: weight.id(),
        bias: linear.bias().map(|bias| bias.id()),
        rows,
    })
}

/// How wide each member of a fused linear is, by what reads them together.
fn member_rows(reader: OpRef<'_>) -> Option<Vec<u64>> {
    if let Some(rope) = RopeAppendOp::from_op(reader) {
        let spec = rope.spec();
        return Some(vec![spec.q_width(), spec.kv_width(), spec.kv_width()]);
    }
    let gated = SiluMulOp::from_op(reader)?;
    let both = gated.module().tensor_type(gated.gate()).width();
    Some(vec![both / 2; 2])
}

fn rewrite_linear(module: &mut Module, found: &Match) -> Result<(), Diagnostic> {
    let Match { linear, x, weight, bias, rows } = found;
    let members = members(module, *weight, rows)?;
    let biases = bias.map(|bias| self::members(module, bias, rows)).transpose()?;
    let label = module.op(*linear).label().to_owned();
    let (mut builder, mut results) = (module.before(*linear), vec![]);
    for (index, member) in members.iter().enumerate() {
        let weight = member.add(&mut builder);
        let bias = biases.as_ref().map(|biases| biases[index].add(&mut builder));
        results.push(builder.linear(&member.key, *x, weight, bias));
    }
    let y = builder.concat(&label, &results);
    let old = module.op(*linear).result(0);
    module.replace_all_uses(old, y);
    Ok(())
}

/// A weight or bias of one member.
struct Member {
    key: String,
    source: String,
    transforms: Vec<Transform>,
    ty: TensorType,
}

impl Member {
    fn add(&self, builder: &mut Builder<'_>) -> ValueId {
        let transforms: Vec<String> = self.transforms.iter().map(Transform::to_string).collect();
        let transforms: Vec<&str> = transforms.iter().map(String::as_str).collect();
        builder.weight(&self.key, &[&self.source], &transforms, self.ty)
    }
}

/// The members of a fused weight or bias. What is done to its last rows is done to the last member, the only one that it
/// reaches.
fn members(module: &Module, fused: OpId, rows: &[u64]) -> Result<Vec<Member>, Diagnostic> {
    let weight: WeightOp = module.view(fused).expect("matched as such");
    let parse = |text: &str| {
        let unknown = |unknown: UnknownTransform| {
            let message = unknown.to_string();
            Diagnostic::unsupported(error_code::UNKNOWN_TRANSFORM, message).at_op(weight.key())
        };
        text.parse::<Transform>().map_err(unknown)
    };
    let transforms: Vec<Transform> = weight.transforms().into_iter().map(parse).collect::<Result<_, _>>()?;
    let ty = weight.tensor_type();
    let matrix = matches!(ty.shape, Shape::Matrix { .. });
    let member = |(index, (source, &rows)): (usize, (&str, &u64))| {
        let reaches = |transform: &&Transform| match transform {
            Transform::Concat => false,
            Transform::ScaleRows(_) | Transform::RotateRows(_) => index + 1 == weight.sources().len(),
            _ => true,
        };
        Member {
            key: projection_key(source).to_owned(),
            source: source.to_owned(),
            transforms: transforms.iter().filter(reaches).cloned().collect(),
            ty: if matrix {
                TensorType::matrix(rows, ty.width(), ty.dtype)
            } else {
                TensorType::vector(rows, ty.dtype)
            },
        }
    };
    Ok(weight.sources().into_iter().zip(rows).enumerate().map(member).collect())
}
