//! Metadata of a GGUF file by key, each of the kind that the key calls for.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;

use super::header::{MetaArray, MetaValue};
use crate::error_code;

/// The metadata of a file.
pub(super) struct Metadata<'a> {
    pub(super) values: &'a BTreeMap<String, MetaValue>,
    /// The whole file, which arrays lie in.
    pub(super) bytes: &'a [u8],
    /// Its name, for messages.
    pub(super) file: &'a str,
}

impl<'a> Metadata<'a> {
    pub(super) fn refuse(&self, message: String) -> Diagnostic {
        Diagnostic::bad_input(error_code::GGUF, message).in_file(self.file)
    }

    pub(super) fn unsupported(&self, message: String) -> Diagnostic {
        Diagnostic::unsupported(error_code::UNSUPPORTED, message).in_file(self.file)
    }

    fn wrong(&self, key: &str, expected: &str) -> Diagnostic {
        let found = match self.values.get(key) {
            Some(MetaValue::Array(array)) => format!("{} values", array.count),
            Some(MetaValue::Integer(n)) => n.to_string(),
            Some(MetaValue::Float(x)) => x.to_string(),
            Some(MetaValue::Flag(flag)) => flag.to_string(),
            Some(MetaValue::Text(text)) => format!("{:?}", text.chars().take(60).collect::<String>()),
            None => "no such key".into(),
        };
        self.refuse(format!("`{key}`: expected {expected}, found {found}"))
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<u64>, Diagnostic> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetaValue::Integer(n)) => {
                u64::try_from(*n).map(Some).map_err(|_| self.wrong(key, "an integer from 0 on"))
            }
            Some(_) => Err(self.wrong(key, "an integer")),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<u64, Diagnostic> {
        self.integer(key)?.ok_or_else(|| self.wrong(key, "an integer"))
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, Diagnostic> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetaValue::Float(x)) => Ok(Some(*x)),
            Some(_) => Err(self.wrong(key, "a number")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Diagnostic> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetaValue::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Diagnostic> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetaValue::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    fn array(&self, key: &str) -> Result<Option<&'a MetaArray>, Diagnostic> {
        match self.values.get(key) {
            None => Ok(None),
            Some(MetaValue::Array(array)) => Ok(Some(array)),
            Some(_) => Err(self.wrong(key, "an array")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Diagnostic> {
        let Some(array) = self.array(key)? else { return Ok(None) };
        array.texts(self.bytes).map(Some).ok_or_else(|| self.wrong(key, "texts"))
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, Diagnostic> {
        let Some(array) = self.array(key)? else { return Ok(None) };
        array.numbers(self.bytes).map(Some).ok_or_else(|| self.wrong(key, "numbers"))
    }
}
