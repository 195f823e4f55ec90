//! The runner of `testdata/cases`: each `.mlir` file's first line says what to run (`// verify model`), and a
//! snapshot beside it holds the outcome. Only for tests, and so the one place of this crate that reads files.

use std::{fs, path::Path};

use crate::{Context, Diagnostic, Module};

/// One file of a case folder.
pub struct Case {
    /// File name, `linear_shapes.mlir`.
    pub file: String,
    /// The words of the first line after `//`.
    pub command: Vec<String>,
    /// The whole text.
    pub text: String,
}

impl Case {
    /// The graph in the file.
    ///
    /// # Errors
    /// As [`Module::parse`].
    pub fn module(&self, context: &Context) -> Result<Module, Diagnostic> {
        Module::parse(context, &self.text, &self.file)
    }

    /// Word `index` of the command, read as what the runner needs.
    ///
    /// # Panics
    /// If it is missing or does not read.
    pub fn word<T: std::str::FromStr>(&self, index: usize) -> T {
        let word = self.command.get(index).and_then(|word| word.parse().ok());
        word.unwrap_or_else(|| panic!("{}: word {index} of `// {}`", self.file, self.command.join(" ")))
    }
}

/// Runs every case of `testdata/cases/FOLDER`, by name, and compares what `execute` returns, or the
/// diagnostic, with the snapshot in `FOLDER/snapshots`.
///
/// # Panics
/// If the folder has no case, a file cannot be read, or a snapshot differs.
pub fn run(folder: &str, execute: impl Fn(&Case) -> Result<String, Diagnostic>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a listed entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "mlir"));
    paths.sort();
    assert!(!paths.is_empty(), "{} has no cases", folder.display());
    for path in paths {
        let case = read(&path);
        let outcome = execute(&case).unwrap_or_else(|finding| finding.to_string());
        insta::with_settings!({
            snapshot_path => folder.join("snapshots"),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(case.file.trim_end_matches(".mlir"), outcome);
        });
    }
}

fn read(path: &Path) -> Case {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let command = text.lines().next().and_then(|line| line.strip_prefix("//")).unwrap_or_default();
    Case {
        file: path.file_name().expect("a file").to_string_lossy().into_owned(),
        command: command.split_whitespace().map(str::to_owned).collect(),
        text,
    }
}
