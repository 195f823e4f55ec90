//! Gives every weight its number format, from a recipe.
//!
//! Before: `samp.weight {key = "layers.0.mlp.down_proj", …}`
//!
//! After: `samp.weight {key = "layers.0.mlp.down_proj", format = "nf4", …}`
//!
//! Requires: fusion and legalization are done, and linears whose members the recipe wants in different formats are split
//! (`split_linears`). Ensures: every weight has a format that its shape allows, another than the recipe's where blocks do not divide
//! its input channels; vectors (norms and biases) stay in f32. Does not: measure anything.

use samp_abi::{Format, Group};
use samp_ir::{Diagnostic, Module, OpId, Shape, WeightOp};

use crate::error_code;
use crate::{Changed, recipe::Recipe};

/// Sets the format of every weight. Warnings name rules that have no effect, and weights that get another format than theirs.
pub fn assign_recipe(module: &mut Module, recipe: &Recipe) -> Result<(Changed, Vec<Diagnostic>), Diagnostic> {
    let projections = projections(module);
    let keys: Vec<&str> = projections.iter().map(|p| p.key.as_str()).collect();
    let formats = recipe.resolve(&keys)?;
    let mut warnings: Vec<Diagnostic> = recipe.overridden(&keys).into_iter().collect();
    let mut assigned: Vec<(OpId, Format)> = vec![];
    for (projection, &format) in projections.iter().zip(&formats) {
        match assigned.last() {
            Some(&(weight, first)) if weight == projection.weight => {
                agree(module, projection, first, format)?;
            }
            _ => assigned.push((projection.weight, format)),
        }
    }
    let mut replaced = vec![];
    for (weight, format) in &mut assigned {
        let op: WeightOp = module.view(*weight).expect("collected as such");
        let (wanted, channels) = (*format, op.tensor_type().width());
        *format = storable(wanted, channels);
        if *format != wanted {
            replaced.push(format!("`{}` ({channels} input channels): {format} for {wanted}", op.key()));
        }
    }
    warnings.extend(replacement(&replaced));
    let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w)).map(|w| (w.id(), Format::F32));
    assigned.extend(vectors.collect::<Vec<_>>());
    for &(weight, format) in &assigned {
        module.set_format(weight, format);
    }
    Ok((Changed(assigned.len()), warnings))
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

/// `format`, where its blocks divide the input channels. Else the same codes in groups of 64; else int8, whose scale is of a
/// whole row.
fn storable(format: Format, channels: u64) -> Format {
    let fits = |format: &Format| channels.is_multiple_of(format.column_multiple());
    let in_shorter_groups = match format {
        Format::Int4 { zero_point, .. } => Some(Format::Int4 { group: Group::G64, zero_point }),
        Format::Int5 { .. } => Some(Format::Int5 { group: Group::G64 }),
        Format::Int6 { .. } => Some(Format::Int6 { group: Group::G64 }),
        _ => None,
    };
    [Some(format), in_shorter_groups]
        .into_iter()
        .flatten()
        .find(fits)
        .unwrap_or(Format::Int8 { outliers: false })
}

/// A warning of weights that get another format than the recipe's.
fn replacement(replaced: &[String]) -> Option<Diagnostic> {
    const SHOWN: usize = 4;
    let more = replaced.len().saturating_sub(SHOWN);
    let message = match replaced.len() {
        0 => return None,
        1 => "1 weight gets another format than the recipe's, whose blocks do not divide it".to_owned(),
        count => {
            format!("{count} weights get other formats than the recipe's, whose blocks do not divide them")
        }
    };
    let warning = Diagnostic::bad_input(error_code::COLUMN_MULTIPLE, message).warning();
    let named = replaced.iter().take(SHOWN).fold(warning, |warning, what| warning.note(what.clone()));
    Some(if more > 0 { named.note(format!("and {more} more")) } else { named })
}
