//! The files that a kernel's shared object is made of.

use samp_kernels::cuda::{HEADERS, Header, Source};

use crate::CompileError;

/// The emulator's own headers, beside those of the kernels.
const OWN_HEADERS: [Header; 5] = [
    Header { name: "api.h", text: include_str!("../cpp/api.h") },
    Header { name: "emulate.h", text: include_str!("../cpp/emulate.h") },
    Header { name: "emulate_matrix.h", text: include_str!("../cpp/emulate_matrix.h") },
    Header { name: "entry.h", text: include_str!("../cpp/entry.h") },
    Header { name: "numbers.h", text: include_str!("../cpp/numbers.h") },
];
/// The file that is compiled.
pub const ROOT: &str = "unit.cpp";
/// Linked into checked kernels.
pub const INSTRUMENT: Header = Header { name: "instrument.cpp", text: include_str!("../cpp/instrument.cpp") };

/// One file of a unit.
#[derive(Clone)]
pub struct UnitFile {
    /// Its name, in the one folder that all lie in.
    pub name: String,
    /// What it holds.
    pub text: String,
}

impl From<&Header> for UnitFile {
    fn from(header: &Header) -> UnitFile {
        UnitFile { name: header.name.to_owned(), text: header.text.to_owned() }
    }
}

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
pub fn files(source: &Source, edits: &[Edit<'_>]) -> Result<Vec<UnitFile>, CompileError> {
    Ok(included(edited(all(source), edits)?))
}

fn all(source: &Source) -> Vec<UnitFile> {
    let headers = OWN_HEADERS.iter().chain([&INSTRUMENT]).chain(HEADERS).map(UnitFile::from);
    let kernel = format!("{}.cu", source.stem);
    let unit = format!("#include \"{kernel}\"\n#include \"entry.h\"\nSAMP_EMU_EXPORT({})\n", source.symbol);
    let kernel = UnitFile { name: kernel, text: source.text.to_string() };
    headers.chain([kernel, UnitFile { name: ROOT.to_owned(), text: unit }]).collect()
}

/// Those that make up the kernel's unit, so that a change to one kernel's header leaves the others as they are.
fn included(files: Vec<UnitFile>) -> Vec<UnitFile> {
    let mut wanted = vec![ROOT, INSTRUMENT.name];
    let mut next = 0;
    while next < wanted.len() {
        let text = files.iter().find(|file| file.name == wanted[next]).map_or("", |file| &file.text);
        let names = text.lines().filter_map(|line| line.strip_prefix("#include \"")?.split('"').next());
        for name in names {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        next += 1;
    }
    files.iter().filter(|file| wanted.contains(&file.name.as_str())).cloned().collect()
}

fn edited(mut files: Vec<UnitFile>, edits: &[Edit<'_>]) -> Result<Vec<UnitFile>, CompileError> {
    for edit in edits {
        let text = files.iter_mut().find(|file| file.name == edit.file).map(|file| &mut file.text);
        let found = text.as_ref().map_or(0, |text| text.matches(edit.from).count());
        match text {
            Some(text) if found == 1 => *text = text.replace(edit.from, edit.to),
            _ => return Err(CompileError::Edit { file: edit.file.to_owned(), found }),
        }
    }
    Ok(files)
}
