//! Findings about tensors, told together instead of one per run, and once where they have one cause.

use samp_ir::Diagnostic;

/// More causes than these are counted, not listed.
const LISTED: usize = 40;
/// Tensors that are named for a cause.
const NAMED: usize = 3;

/// Findings in the order in which their causes were met.
#[derive(Debug, Default)]
pub(super) struct Findings {
    groups: Vec<Group>,
}

/// Tensors of one file, or of none, that have the same fault.
#[derive(Debug)]
struct Group {
    file: Option<String>,
    /// What is wrong with each; for all of them.
    cause: String,
    /// What is wrong with the first.
    message: String,
    tensors: Vec<String>,
    count: usize,
}

impl Findings {
    /// `file` is where the tensor was found, if it was; `message` says what was expected and found. Tensors with the same
    /// message are one finding.
    pub(super) fn add(&mut self, file: Option<&str>, tensor: &str, message: String) {
        self.add_caused(file, tensor, &message.clone(), message);
    }

    /// As [`Findings::add`], where messages differ and `cause` is what several tensors share.
    pub(super) fn add_caused(&mut self, file: Option<&str>, tensor: &str, cause: &str, message: String) {
        let same = |group: &&mut Group| group.cause == cause && group.file.as_deref() == file;
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.count += 1;
            if group.tensors.len() < NAMED {
                group.tensors.push(tensor.to_owned());
            }
            return;
        }
        let (file, cause) = (file.map(str::to_owned), cause.to_owned());
        self.groups.push(Group { file, cause, message, tensors: vec![tensor.to_owned()], count: 1 });
    }

    /// A note for each cause.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let more = self.groups.len().saturating_sub(LISTED);
        let unlisted = (more > 0).then(|| format!("and {more} more"));
        self.groups.iter().take(LISTED).map(Group::note).chain(unlisted)
    }

    /// The one finding itself, or `summary` of their number with a note for each cause. `file` stands where a finding has
    /// none.
    pub(super) fn into_result(self, code: &'static str, file: &str, summary: &str) -> Result<(), Diagnostic> {
        let count: usize = self.groups.iter().map(|group| group.count).sum();
        match (count, self.groups.first()) {
            (0, _) | (_, None) => Ok(()),
            (1, Some(Group { file: found, tensors, message, .. })) => {
                let file = found.as_deref().unwrap_or(file);
                Err(Diagnostic::bad_input(code, message).in_file(file).at_tensor(&tensors[0]))
            }
            _ => {
                let message = format!("{summary}, found {count} faults");
                Err(self.notes().fold(Diagnostic::bad_input(code, message).in_file(file), Diagnostic::note))
            }
        }
    }
}

impl Group {
    fn note(&self) -> String {
        let names: Vec<String> = self.tensors.iter().map(|tensor| format!("`{tensor}`")).collect();
        let place = self.file.as_ref().map_or(String::new(), |file| format!(" in {file}"));
        let (names, unnamed) = (names.join(", "), self.count - self.tensors.len());
        match (self.count, unnamed) {
            (1, _) => format!("{names}{place}: {}", self.message),
            (_, 0) => format!("{names}{place}: {}", self.cause),
            _ => format!("{names} and {unnamed} more{place}: {}", self.cause),
        }
    }
}
