//! What lies in a plan's folder without being named by its manifest.

use std::io;

use samp_runtime::{OpenPlan, named_files, unnamed_entries};

use super::finding::Finding;
use crate::error_code;

/// What is said of an entry that the manifest does not name.
const UNNAMED: &str = "the manifest does not name it, and nothing reads it";

/// The entries that the manifest does not name, as far as the folder can be listed.
#[derive(Default)]
pub struct Beside {
    /// Their paths in the folder, sorted.
    pub entries: Vec<String>,
    unlisted: Option<io::Error>,
}

impl Beside {
    /// Lists the folder of a plan.
    pub fn list(plan: &OpenPlan) -> Beside {
        match unnamed_entries(plan.dir(), &named_files(plan.manifest())) {
            Ok(entries) => Beside { entries, unlisted: None },
            Err(error) => Beside { entries: vec![], unlisted: Some(error) },
        }
    }

    /// All of it as findings, for those who want nothing else in the folder.
    pub fn findings(&self) -> Vec<Finding> {
        let unnamed =
            self.entries.iter().map(|path| Finding::new(error_code::FILE_UNNAMED, path, UNNAMED.into()));
        let unlisted =
            self.unlisted.iter().map(|error| Finding::new(error_code::FILE_UNNAMED, ".", unlisted(error)));
        unnamed.chain(unlisted).collect()
    }

    /// A line for each entry.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|path| format!("{}: {UNNAMED}", path.escape_debug()))
    }

    /// What keeps entries from being seen.
    pub fn warning(&self) -> Option<String> {
        self.unlisted.as_ref().map(unlisted)
    }
}

fn unlisted(error: &io::Error) -> String {
    format!("the folder cannot be listed, so that files in it go unseen: {error}")
}
