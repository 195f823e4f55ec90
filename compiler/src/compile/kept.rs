//! What a quantized checkpoint compiles to without being rounded anew: each weight in the format that holds its very values.

use samp_abi::{ElementType, Format};
use samp_ir::Diagnostic;
use samp_passes::recipe::{Recipe, Rule, matches};

use crate::{
    error_code,
    import::{Checkpoint, Import, parameters},
    lower::recipe::LoadedRecipe,
};

/// Weights that are named; more are counted.
const NAMED: usize = 5;

/// The recipe that keeps every weight as it is stored, where `over` has no rule for it.
///
/// # Errors
/// No format of samp holds some weights, and `over` has no rule for them.
pub(super) fn kept_recipe(import: &Import, over: Option<&LoadedRecipe>) -> Result<LoadedRecipe, Diagnostic> {
    let over_rules = over.map_or(&[][..], |over| &over.recipe.rules);
    let is_ruled = |key: &str| over_rules.iter().any(|rule| matches(&rule.pattern, key));
    let mut rules = vec![];
    let mut lost = vec![];
    let matrices = parameters(&import.config).into_iter().filter(|parameter| parameter.shape.len() == 2);
    for parameter in matrices.filter(|parameter| !is_ruled(&parameter.key)) {
        match kept_format(&import.checkpoint, &parameter.source) {
            Ok(format) => rules.push(Rule { pattern: parameter.key, format }),
            Err(why) => lost.push((parameter.source, why)),
        }
    }
    if !lost.is_empty() {
        return Err(not_kept(&lost));
    }
    rules.extend_from_slice(over_rules);
    let (name, source) = match over {
        None => ("kept".into(), "kept".into()),
        Some(over) => (format!("kept, {}", over.recipe.name), over.source.clone()),
    };
    let kv = over.and_then(|over| over.recipe.kv);
    Ok(LoadedRecipe { recipe: Recipe { name, kv, rules }, source })
}

/// The format that holds a weight as it is stored.
fn kept_format(checkpoint: &Checkpoint, source: &str) -> Result<Format, String> {
    if let Some(kept) = checkpoint.kept_format(source) {
        return kept;
    }
    Ok(match checkpoint.weight(source).map(|weight| weight.dtype) {
        Some(ElementType::F16) => Format::F16,
        Some(ElementType::Bf16) => Format::Bf16,
        _ => Format::F32,
    })
}

fn not_kept(lost: &[(String, String)]) -> Diagnostic {
    let mut reasons: Vec<&str> = lost.iter().map(|(_, why)| why.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let message = format!(
        "expected quantized weights whose very values samp has a format for, found {} of others",
        lost.len()
    );
    let finding = Diagnostic::unsupported(error_code::KEPT_OR_REQUANTIZED, message).hint(
        "dequantize and round them anew with --requantize, name other formats for them in a recipe, or compile the \
         checkpoint that it was quantized from",
    );
    let more = reasons.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("and for {more} more reasons"));
    let note = |why: &&str| {
        let names: Vec<&str> = lost.iter().filter(|(_, w)| w == why).map(|(name, _)| name.as_str()).collect();
        let others = match names.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("`{}`{others}: {why}", names[0])
    };
    reasons.iter().take(NAMED).map(note).chain(more).fold(finding, Diagnostic::note)
}
