//! Findings about tensors, told together instead of one per run.

use samp_ir::Diagnostic;

/// More than these are counted, not listed.
const LISTED: usize = 40;

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    listed: Vec<Finding>,
    unlisted: usize,
}

#[derive(Debug)]
struct Finding {
    file: Option<String>,
    tensor: String,
    message: String,
}

impl Findings {
    /// `file` is where the tensor was found, if it was; `message` says what was expected and found.
    pub(super) fn add(&mut self, file: Option<&str>, tensor: &str, message: String) {
        if self.listed.len() < LISTED {
            self.listed.push(Finding { file: file.map(str::to_owned), tensor: tensor.to_owned(), message });
        } else {
            self.unlisted += 1;
        }
    }

    /// The one finding itself, or `summary` of their number with a note for each. `file` stands where a finding has
    /// none.
    pub(super) fn into_result(
        mut self,
        code: &'static str,
        file: &str,
        summary: &str,
    ) -> Result<(), Diagnostic> {
        if self.listed.len() == 1
            && let Some(Finding { file: found, tensor, message }) = self.listed.pop()
        {
            let file = found.unwrap_or_else(|| file.to_owned());
            return Err(Diagnostic::bad_input(code, message).in_file(file).at_tensor(tensor));
        }
        let count = self.listed.len() + self.unlisted;
        if count == 0 {
            return Ok(());
        }
        let mut diagnostic =
            Diagnostic::bad_input(code, format!("{summary}, found {count} faults")).in_file(file);
        for Finding { file, tensor, message } in self.listed {
            let place = file.map_or(String::new(), |file| format!(" in {file}"));
            diagnostic = diagnostic.note(format!("`{tensor}`{place}: {message}"));
        }
        match self.unlisted {
            0 => Err(diagnostic),
            more => Err(diagnostic.note(format!("and {more} more"))),
        }
    }
}
