//! What a compile warned of, as the certificate keeps it.

use samp_ir::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something to know before relying on a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// Stable code, `E` and four digits.
    pub code: String,
    /// What was expected and what was found.
    pub message: String,
    /// Where: any of a file (its name alone, so that a plan does not depend on where its data lay), an op and a tensor.
    pub location: Option<String>,
    /// Further facts.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Warning {
    pub(super) fn new(warning: &Diagnostic) -> Warning {
        let location = &warning.location;
        let file = location.file.as_ref().map(|file| file.rsplit('/').next().unwrap_or(file).to_owned());
        let places: Vec<String> =
            [file, location.op.clone(), location.tensor.clone()].into_iter().flatten().collect();
        Warning {
            code: warning.code.into(),
            message: warning.message.clone(),
            location: (!places.is_empty()).then(|| places.join(", ")),
            notes: warning.notes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_where_but_not_in_which_folder() {
        let said = Diagnostic::bad_input("E1015", "expected more").warning().in_file("/home/me/data.jsonl:3");
        let kept = Warning::new(&said.at_tensor("w").note("`code`: 1"));
        assert_eq!(kept.location.as_deref(), Some("data.jsonl:3, w"));
        assert_eq!((kept.code.as_str(), kept.notes.as_slice()), ("E1015", &["`code`: 1".to_owned()][..]));
        assert_eq!(Warning::new(&Diagnostic::bad_input("E1", "a")).location, None);
    }
}
