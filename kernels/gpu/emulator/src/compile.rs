//! Kernels compiled by the host's C++ compiler, at run time, kept by the hash of everything that decides their bytes.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use samp_kernels::cuda::Source;

use crate::{
    Build, CompileError, Kernel,
    unit::{self, Edit, UnitFile},
};

/// Results must not depend on whether the compiler fuses products and sums.
const FLAGS: [&str; 9] = [
    "-std=gnu++20",
    "-w",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffp-contract=off",
    "-DSAMP_EMULATE",
];

/// Compiles kernels for the host and keeps them in a folder, which several processes may share.
#[derive(Clone, Debug)]
pub struct Emulator {
    cache: PathBuf,
}

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
        let kernel = source.symbol;
        let unit = Unit { kernel, build, flags: flags(source, build), files: unit::files(source, edits)? };
        let compiler = compiler()?;
        let path = self.cache.join(format!("{kernel}-{}.so", unit.key(compiler)));
        if !path.exists() {
            unit.compile(compiler, &self.cache, &path)?;
        }
        // What an edit takes away must be missed.
        let overlaps = source.waits_for_launch_before();
        Kernel::load(kernel, path, build, overlaps).map_err(|source| CompileError::Load { kernel, source })
    }
}

fn flags(source: &Source, build: Build) -> Vec<OsString> {
    let mut flags: Vec<OsString> = FLAGS.iter().chain(native_flags()).map(OsString::from).collect();
    flags.extend(source.macros().map(|(name, value)| format!("-D{name}={value}").into()));
    if build == Build::Checked {
        flags.extend(["-fsanitize=thread", "-g1"].map(OsString::from));
    }
    flags
}

/// All that one shared object is made of.
struct Unit {
    kernel: &'static str,
    build: Build,
    flags: Vec<OsString>,
    files: Vec<UnitFile>,
}

impl Unit {
    /// Compiles in a folder of its own within `cache`; the result appears whole at `path`, or not at all.
    fn compile(&self, compiler: &Compiler, cache: &Path, path: &Path) -> Result<(), CompileError> {
        fs::create_dir_all(cache).map_err(io_error(cache))?;
        let folder = tempfile::tempdir_in(cache).map_err(io_error(cache))?;
        for UnitFile { name, text } in &self.files {
            fs::write(folder.path().join(name), text).map_err(io_error(folder.path()))?;
        }
        let mut compile = Command::new(&compiler.program);
        compile.args(&self.flags).args(["-c", unit::ROOT, "-o", "unit.o"]);
        self.run(compile.current_dir(folder.path()))?;
        // Without the sanitizer's flag, so that its library stays out.
        let mut link = Command::new(&compiler.program);
        link.args(["-O1", "-fPIC", "-fvisibility=hidden", "-shared", "unit.o", "-o", "unit.so"]);
        link.args((self.build == Build::Checked).then_some(unit::INSTRUMENT.name));
        self.run(link.current_dir(folder.path()))?;
        fs::rename(folder.path().join("unit.so"), path).map_err(io_error(path))
    }

    fn run(&self, command: &mut Command) -> Result<(), CompileError> {
        let output = command.output().map_err(io_error(Path::new(command.get_program())))?;
        let log = || String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(CompileError::Refused { kernel: self.kernel, log: log() })
        }
    }

    /// A name for what the compiler makes of this.
    fn key(&self, compiler: &Compiler) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(&compiler.version);
        self.flags.iter().for_each(|flag| add(flag.as_encoded_bytes()));
        for UnitFile { name, text } in &self.files {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CompileError + use<> {
    let path = path.to_owned();
    move |source| CompileError::Io { path, source }
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
