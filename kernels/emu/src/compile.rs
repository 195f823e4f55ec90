//! Kernels compiled by the host's C++ compiler, at run time, kept by the hash of everything that decides their bytes.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use samp_kernels::cuda::{HEADERS, Source};

use crate::Kernel;

/// The emulator's own headers, beside those of the kernels.
const OWN_HEADERS: [(&str, &str); 5] = [
    ("api.h", include_str!("../cpp/api.h")),
    ("emulate.h", include_str!("../cpp/emulate.h")),
    ("emulate_matrix.h", include_str!("../cpp/emulate_matrix.h")),
    ("entry.h", include_str!("../cpp/entry.h")),
    ("numbers.h", include_str!("../cpp/numbers.h")),
];
const INSTRUMENT: (&str, &str) = ("instrument.cpp", include_str!("../cpp/instrument.cpp"));

/// Results must not depend on whether the compiler fuses products and sums.
const FLAGS: [&str; 9] = [
    "-std=gnu++20",
    "-w",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffp-contract=off",
    "-DSAMP_EMULATE",
];

/// Whether loads and stores are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Fast; barriers, alignment and matrix operands are checked nonetheless.
    Plain,
    /// Every load and store is checked for bounds, those of shared memory for races; two to four times slower.
    Checked,
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

/// Why a kernel could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// There is no C++ compiler.
    #[error(
        "no C++ compiler: `{tried}` cannot be run ({source}); install g++ or clang++, or name one in SAMP_CXX"
    )]
    NoCompiler {
        /// The last one that was tried.
        tried: String,
        /// Why it cannot be run.
        source: io::Error,
    },
    /// The compiler refused the source.
    #[error("{stem} does not compile for the host:\n{log}")]
    Refused {
        /// The kernel.
        stem: &'static str,
        /// What the compiler said.
        log: String,
    },
    /// The text to be replaced is not there once.
    #[error("{file} holds the text to be replaced {found} times instead of once")]
    Edit {
        /// The file.
        file: String,
        /// How often.
        found: usize,
    },
    /// Files could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The compiled kernel could not be loaded.
    #[error("{stem} cannot be loaded: {source}")]
    Load {
        /// The kernel.
        stem: &'static str,
        /// What went wrong.
        source: libloading::Error,
    },
}

/// Compiles kernels for the host and keeps them in a folder, which several processes may share.
#[derive(Clone, Debug)]
pub struct Emulator {
    cache: PathBuf,
}

/// All files of one compilation, by name.
type Files = Vec<(String, String)>;

impl Emulator {
    /// An emulator that keeps compiled kernels in `cache`. Any of its files may be deleted.
    pub fn new(cache: &Path) -> Emulator {
        Emulator { cache: cache.to_owned() }
    }

    /// Compiles a kernel, or finds it compiled.
    pub fn compile(&self, source: &Source, build: Build) -> Result<Kernel, CompileError> {
        self.compile_edited(source, &[], build)
    }

    /// Compiles a kernel with changes to it.
    pub fn compile_edited(
        &self,
        source: &Source,
        edits: &[Edit<'_>],
        build: Build,
    ) -> Result<Kernel, CompileError> {
        let files = edited(files(source), edits)?;
        let compiler = compiler()?;
        let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
        flags.extend(native_flags().iter().map(OsString::from));
        flags.extend(source.defines.iter().map(|(name, value)| format!("-D{name}={value}").into()));
        if build == Build::Checked {
            flags.extend(["-fsanitize=thread", "-g1"].map(OsString::from));
        }
        let path = self.cache.join(format!("{}-{}.so", source.stem, key(compiler, &flags, &files)));
        if !path.exists() {
            self.build(source.stem, compiler, &flags, &files, &path)?;
        }
        let stem = source.stem;
        Kernel::load(stem, path, build).map_err(|source| CompileError::Load { stem, source })
    }

    /// Compiles in a folder of its own; the result appears whole or not at all.
    fn build(
        &self,
        stem: &'static str,
        compiler: &Compiler,
        flags: &[OsString],
        files: &Files,
        path: &Path,
    ) -> Result<(), CompileError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CompileError::Io { path, source }
        };
        fs::create_dir_all(&self.cache).map_err(io(&self.cache))?;
        let folder = tempfile::tempdir_in(&self.cache).map_err(io(&self.cache))?;
        for (name, text) in files {
            fs::write(folder.path().join(name), text).map_err(io(folder.path()))?;
        }
        let run = |arguments: &[OsString]| -> Result<(), CompileError> {
            let output = Command::new(&compiler.program).args(arguments).current_dir(folder.path()).output();
            let output = output.map_err(io(Path::new(&compiler.program)))?;
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(CompileError::Refused { stem, log }) }
        };
        let arguments = |own: &[&str]| own.iter().map(OsString::from).collect::<Vec<_>>();
        run(&[flags, &arguments(&["-c", "unit.cpp", "-o", "unit.o"])].concat())?;
        // Without the sanitizer's flag, so that its library stays out.
        let link =
            ["-O2", "-fPIC", "-fvisibility=hidden", "-shared", "unit.o", INSTRUMENT.0, "-o", "unit.so"];
        run(&arguments(&link))?;
        fs::rename(folder.path().join("unit.so"), path).map_err(io(path))
    }
}

/// Every file that the compiler sees.
fn files(source: &Source) -> Files {
    let own =
        OWN_HEADERS.iter().chain([&INSTRUMENT]).map(|(name, text)| (name.to_string(), text.to_string()));
    let headers = HEADERS.iter().map(|header| (header.name.to_string(), header.text.to_string()));
    let kernel = format!("{}.cu", source.stem);
    let unit = format!("#include \"{kernel}\"\n#include \"entry.h\"\nSAMP_EMU_EXPORT({})\n", source.stem);
    let rest = [(kernel, source.text.to_string()), ("unit.cpp".to_owned(), unit)];
    own.chain(headers).chain(rest).collect()
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

/// A C++ compiler and what it says of itself.
struct Compiler {
    program: OsString,
    version: Vec<u8>,
}

/// The first of `SAMP_CXX`, g++ and clang++ that runs.
fn compiler() -> Result<&'static Compiler, CompileError> {
    static FOUND: OnceLock<Compiler> = OnceLock::new();
    if let Some(compiler) = FOUND.get() {
        return Ok(compiler);
    }
    let named = env::var_os("SAMP_CXX").map(|program| vec![program]);
    let candidates = named.unwrap_or_else(|| vec!["g++".into(), "clang++".into()]);
    let mut failed = None;
    for program in candidates {
        match Command::new(&program).arg("--version").output() {
            Ok(output) => return Ok(FOUND.get_or_init(|| Compiler { program, version: output.stdout })),
            Err(source) => failed = Some((program, source)),
        }
    }
    let (program, source) = failed.expect("at least one compiler was tried");
    Err(CompileError::NoCompiler { tried: program.to_string_lossy().into_owned(), source })
}

/// Where the processor has them, instructions for f16 make emulation several times faster.
fn native_flags() -> &'static [&'static str] {
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
    {
        &["-mavx2", "-mfma", "-mf16c"]
    } else {
        &[]
    }
}

/// A name for what these flags make of these files.
fn key(compiler: &Compiler, flags: &[OsString], files: &Files) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(&compiler.version);
    flags.iter().map(OsStr::new).for_each(|flag| add(flag.as_encoded_bytes()));
    for (name, text) in files {
        add(name.as_bytes());
        add(text.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
