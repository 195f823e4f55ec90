//! What became of every weight of an exported plan.

use samp_abi::Format;
use samp_ir::Diagnostic;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error_code;

/// A weight of the plan, and what it was written as.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExportedTensor {
    /// Its name in the checkpoint that was written.
    pub name: String,
    /// Its formats in the plan: one, unless its rows lie in tensors of several.
    pub formats: Vec<Format>,
    /// What it was written as.
    pub encoding: String,
    /// The largest difference to the plan's value of any weight, relative to that value; 0 where all are equal.
    pub largest_relative_error: f32,
    /// Why the values are not those of the plan, where they need not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounded: Option<String>,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Exported {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Every weight.
    pub tensors: Vec<ExportedTensor>,
    /// What readers of the checkpoint should know.
    pub notes: Vec<String>,
}

/// Weights of one kind that came out alike, as one line for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedGroup {
    /// Their name; where they are of several layers, these stand in braces: `model.layers.{0..3,5}.mlp.up_proj.weight`.
    pub name: String,
    /// What all of them came to, with the largest error of any.
    pub tensor: ExportedTensor,
}

/// The weights by kind, each in the place of its first.
pub fn grouped(tensors: &[ExportedTensor]) -> Vec<ExportedGroup> {
    let mut groups: Vec<(Kind<'_>, ExportedTensor)> = vec![];
    for tensor in tensors {
        let kind = Kind::of(&tensor.name);
        let alike = |(other, of): &&mut (Kind<'_>, ExportedTensor)| {
            other.before == kind.before
                && other.after == kind.after
                && (&of.formats, &of.encoding, &of.rounded)
                    == (&tensor.formats, &tensor.encoding, &tensor.rounded)
        };
        match groups.iter_mut().find(alike) {
            Some((known, of)) if !kind.layers.is_empty() => {
                known.layers.extend(&kind.layers);
                of.largest_relative_error = of.largest_relative_error.max(tensor.largest_relative_error);
            }
            _ => groups.push((kind, tensor.clone())),
        }
    }
    groups.into_iter().map(|(kind, tensor)| ExportedGroup { name: kind.name(), tensor }).collect()
}

/// A name with the layers that it stands for.
struct Kind<'a> {
    before: &'a str,
    layers: Vec<u64>,
    after: &'a str,
}

impl<'a> Kind<'a> {
    /// The number that is a part of a name by itself is the layer's.
    fn of(name: &'a str) -> Kind<'a> {
        let mut start = 0;
        for part in name.split('.') {
            if let Ok(layer) = part.parse() {
                let (before, after) = (&name[..start], &name[start + part.len()..]);
                return Kind { before, layers: vec![layer], after };
            }
            start += part.len() + 1;
        }
        Kind { before: name, layers: vec![], after: "" }
    }

    fn name(&self) -> String {
        let Kind { before, layers, after } = self;
        match layers.as_slice() {
            [] => (*before).into(),
            [layer] => format!("{before}{layer}{after}"),
            _ => format!("{before}{{{}}}{after}", ranges(layers)),
        }
    }
}

/// Ascending numbers, those that follow one another as a range.
fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let run = |run: &[u64]| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}..{last}"),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(",")
}

/// Refuses an export that would change weights, with every reason.
pub(super) fn refuse_rounding(
    stack: &str,
    holds: &str,
    tensors: &[ExportedTensor],
) -> Result<(), Diagnostic> {
    let rounded: Vec<ExportedTensor> =
        tensors.iter().filter(|tensor| tensor.rounded.is_some()).cloned().collect();
    if rounded.is_empty() {
        return Ok(());
    }
    let message = format!(
        "expected weights whose very values {stack} can hold, found {} of {} of which it cannot; nothing was written",
        rounded.len(),
        tensors.len()
    );
    let finding = Diagnostic::unsupported(error_code::INEXACT_EXPORT, message)
        .hint(format!("round them with --allow-rounding, or compile in formats that {stack} holds: {holds}"));
    let note = |group: ExportedGroup| {
        let ExportedTensor { formats, encoding, rounded, .. } = group.tensor;
        let formats: Vec<&str> = formats.iter().map(|format| format.name()).collect();
        let why = rounded.unwrap_or_default();
        format!("`{}` in {}: {why}; rounded it would be {encoding}", group.name, formats.join(" and "))
    };
    Err(grouped(&rounded).into_iter().map(note).fold(finding, Diagnostic::note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, encoding: &str) -> ExportedTensor {
        ExportedTensor {
            name: name.into(),
            formats: vec![Format::Nf4],
            encoding: encoding.into(),
            largest_relative_error: if name.contains('3') { 0.5 } else { 0.0 },
            rounded: None,
        }
    }

    #[test]
    fn layers_that_came_out_alike_are_one_line() {
        let up = |layer: u64, encoding| tensor(&format!("model.layers.{layer}.up_proj.weight"), encoding);
        let tensors = [
            tensor("lm_head.weight", "f16"),
            up(0, "a"),
            up(1, "a"),
            up(2, "b"),
            up(3, "a"),
            tensor("model.norm.weight", "f32"),
        ];
        let found: Vec<(String, f32)> = grouped(&tensors)
            .into_iter()
            .map(|group| (group.name, group.tensor.largest_relative_error))
            .collect();
        let expected = [
            ("lm_head.weight", 0.0),
            ("model.layers.{0..1,3}.up_proj.weight", 0.5),
            ("model.layers.2.up_proj.weight", 0.0),
            ("model.norm.weight", 0.0),
        ];
        assert_eq!(found, expected.map(|(name, error)| (name.to_owned(), error)));
    }

    #[test]
    fn what_would_be_rounded_is_refused_by_name_with_the_reason() {
        let fine = [tensor("lm_head.weight", "f16")];
        assert!(refuse_rounding("GGUF", "int4", &fine).is_ok());
        let rounded =
            ExportedTensor { rounded: Some("it has no such table".into()), ..tensor("a.0.b", "F16") };
        let finding = refuse_rounding("GGUF", "int4", &[fine[0].clone(), rounded]).unwrap_err();
        assert_eq!(finding.code, error_code::INEXACT_EXPORT);
        assert!(finding.message.contains("1 of 2"), "{}", finding.message);
        assert_eq!(finding.notes, ["`a.0.b` in nf4: it has no such table; rounded it would be F16"]);
    }
}
