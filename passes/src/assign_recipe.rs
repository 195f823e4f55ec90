//! Gives every weight its number format, from a recipe.
//!
//! Before: `samp.weight {key = "layers.0.mlp.down_proj", …}`
//!
//! After: `samp.weight {key = "layers.0.mlp.down_proj", format = "nf4", …}`
//!
//! Requires: fusion and legalization are done, and linears whose members the recipe wants in different formats are split
//! (`split_linears`). Ensures: every weight has a format that its shape allows; vectors (norms and biases) stay in f32. Does not:
//! measure anything.

use samp_abi::Format;
use samp_ir::{Diagnostic, Module, OpId, Shape, WeightOp};

use crate::error_code;
use crate::{Changed, recipe::Recipe};

/// Sets the format of every weight. The warning, if there is one, names rules that have no effect.
pub fn assign_recipe(
    module: &mut Module,
    recipe: &Recipe,
) -> Result<(Changed, Option<Diagnostic>), Diagnostic> {
    let projections = projections(module);
    let keys: Vec<&str> = projections.iter().map(|p| p.key.as_str()).collect();
    let formats = recipe.resolve(&keys)?;
    let warning = recipe.overridden(&keys);
    let mut assigned: Vec<(OpId, Format)> = vec![];
    for (projection, &format) in projections.iter().zip(&formats) {
        match assigned.last() {
            Some(&(weight, first)) if weight == projection.weight => {
                agree(module, projection, first, format)?;
            }
            _ => assigned.push((projection.weight, storable(module, projection.weight, format)?)),
        }
    }
    let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w)).map(|w| (w.id(), Format::F32));
    assigned.extend(vectors.collect::<Vec<_>>());
    for &(weight, format) in &assigned {
        module.set_format(weight, format);
    }
    Ok((Changed(assigned.len()), warning))
}

/// One projection of the checkpoint and the weight that holds it.
pub(crate) struct Projection {
    pub(crate) key: String,
    pub(crate) weight: OpId,
}

/// The projections in program order; those of one weight are neighbours.
pub(crate) fn projections(module: &Module) -> Vec<Projection> {
    let matrices = module.views::<WeightOp>().filter(is_matrix);
    let all = matrices.flat_map(|w| w.sources().into_iter().map(move |s| (s, w.id())));
    all.map(|(source, weight)| Projection { key: projection_key(source).to_owned(), weight }).collect()
}

/// `model.layers.0.self_attn.q_proj.weight` is `layers.0.self_attn.q_proj` in recipes.
pub fn projection_key(source: &str) -> &str {
    let inner = source.strip_prefix("model.").unwrap_or(source);
    inner.strip_suffix(".weight").unwrap_or(inner)
}

fn is_matrix(weight: &WeightOp<'_>) -> bool {
    matches!(weight.tensor_type().shape, Shape::Matrix { .. })
}

fn agree(module: &Module, projection: &Projection, first: Format, format: Format) -> Result<(), Diagnostic> {
    if first == format {
        return Ok(());
    }
    let fused = module.op(projection.weight).label();
    Err(Diagnostic::compiler_bug(
        error_code::MEMBERS_DISAGREE,
        format!(
            "the members of `{fused}` are one tensor: expected {first} for `{}` too, found {format}",
            projection.key
        ),
    )
    .at_op(fused)
    .note("split_linears parts such members first"))
}

/// The formats that weights of so many input channels can have.
fn fitting(cols: u64) -> Vec<&'static str> {
    Format::ALL.into_iter().filter(|f| cols.is_multiple_of(f.column_multiple())).map(Format::name).collect()
}

/// `format`, if the weight's shape allows it.
fn storable(module: &Module, weight: OpId, format: Format) -> Result<Format, Diagnostic> {
    let weight: WeightOp = module.view(weight).expect("collected as such");
    let (cols, multiple) = (weight.tensor_type().width(), format.column_multiple());
    if !cols.is_multiple_of(multiple) {
        let message = format!("{format} needs a multiple of {multiple} input channels, found {cols}");
        return Err(Diagnostic::unsupported(error_code::COLUMN_MULTIPLE, message)
            .at_op(weight.key())
            .hint(format!("formats that divide {cols}: {}", fitting(cols).join(", "))));
    }
    Ok(format)
}
