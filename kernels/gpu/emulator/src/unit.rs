//! The files that a kernel's shared object is made of.

use samp_kernels::cuda::{HEADERS, Source};

use crate::CompileError;

/// The emulator's own headers, beside those of the kernels.
const OWN_HEADERS: [(&str, &str); 5] = [
    ("api.h", include_str!("../cpp/api.h")),
    ("emulate.h", include_str!("../cpp/emulate.h")),
    ("emulate_matrix.h", include_str!("../cpp/emulate_matrix.h")),
    ("entry.h", include_str!("../cpp/entry.h")),
    ("numbers.h", include_str!("../cpp/numbers.h")),
];
/// The file that is compiled.
pub const ROOT: &str = "unit.cpp";
/// Linked into checked kernels.
pub const INSTRUMENT: (&str, &str) = ("instrument.cpp", include_str!("../cpp/instrument.cpp"));

/// Files by name.
pub type Files = Vec<(String, String)>;

/// A change to a source or header, to see that tests notice it.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// `<stem>.cu` or the header's name.
    pub file: &'a str,
    /// Text that the file holds exactly once.
    pub from: &'a str,
    /// What stands there instead.
    pub to: &'a str,
}

/// Every file that a kernel is made of, with changes.
pub fn files(source: &Source, edits: &[Edit<'_>]) -> Result<Files, CompileError> {
    Ok(included(edited(all(source), edits)?))
}

fn all(source: &Source) -> Files {
    let own =
        OWN_HEADERS.iter().chain([&INSTRUMENT]).map(|(name, text)| (name.to_string(), text.to_string()));
    let headers = HEADERS.iter().map(|header| (header.name.to_string(), header.text.to_string()));
    let kernel = format!("{}.cu", source.stem);
    let unit = format!("#include \"{kernel}\"\n#include \"entry.h\"\nSAMP_EMU_EXPORT({})\n", source.symbol);
    let rest = [(kernel, source.text.to_string()), (ROOT.to_owned(), unit)];
    own.chain(headers).chain(rest).collect()
}

/// Those that make up the kernel's unit, so that a change to one kernel's header leaves the others as they are.
fn included(files: Files) -> Files {
    let mut wanted = vec![ROOT, INSTRUMENT.0];
    let mut next = 0;
    while next < wanted.len() {
        let text = files.iter().find(|(name, _)| name == wanted[next]).map_or("", |(_, text)| text);
        let names = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.split('"').next());
        for name in names {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        next += 1;
    }
    files.iter().filter(|(name, _)| wanted.contains(&name.as_str())).cloned().collect()
}

fn edited(mut files: Files, edits: &[Edit<'_>]) -> Result<Files, CompileError> {
    for edit in edits {
        let text = files.iter_mut().find(|(name, _)| name == edit.file).map(|(_, text)| text);
        let found = text.as_ref().map_or(0, |text| text.matches(edit.from).count());
        match text {
            Some(text) if found == 1 => *text = text.replace(edit.from, edit.to),
            _ => return Err(CompileError::Edit { file: edit.file.to_owned(), found }),
        }
    }
    Ok(files)
}
