//! Finding the compiler and compiling with it.

use std::{
    env,
    ffi::{CString, NulError},
    io,
    path::{Path, PathBuf},
};

use samp_kernels::cuda::{HEADERS, Source};

use crate::{
    Arch, Cache, Cubin, Report,
    api::Api,
    error_code,
    find::{Candidate, Surroundings, VARIABLE},
    options::{VERSION, key, options},
};

/// The remedy for a missing compiler.
const REMEDY: &str = "run `make setup` in samp's sources, which fetches it (PyPI wheel nvidia-cuda-nvrtc 13.0.88), or install \
    CUDA 13.0, or set SAMP_NVRTC to libnvrtc.so.13 or its folder";

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum NvrtcError {
    /// No library was found.
    #[error("NVRTC 13.0, which compiles kernels for GPU targets, was found in none of: {}; {REMEDY}", list(.searched))]
    Absent {
        /// The folders searched, in order.
        searched: Vec<PathBuf>,
    },
    /// A library was found, but is not one that can be used.
    #[error("{} cannot be used as NVRTC 13.0: {reason}; {REMEDY}", path.display())]
    Unusable {
        /// The library that was loaded.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The compiler refused a source.
    #[error("kernel {kernel} does not compile for {arch}: {reason}\n{log}")]
    Compile {
        /// The kernel that was to be compiled.
        kernel: &'static str,
        /// The architecture it was compiled for.
        arch: Arch,
        /// What the compiler answered.
        reason: String,
        /// What it logged.
        log: String,
    },
    /// A source, name or constant holds a zero byte.
    #[error("kernel {kernel}: its text or a constant holds a zero byte")]
    Text {
        /// The kernel that was to be compiled.
        kernel: &'static str,
    },
    /// The cache could not be written.
    #[error(
        "the compiled kernel {kernel} could not be kept in the cache: {source}; see to the cache's folder {}, or name another in SAMP_CACHE",
        folder.display()
    )]
    Cache {
        /// The kernel that was to be compiled.
        kernel: &'static str,
        /// The folder of the cache.
        folder: PathBuf,
        /// What the file system answered.
        source: io::Error,
    },
}

impl NvrtcError {
    /// What to do, which is the last part of the error's text; `None` where it has no such part.
    pub fn remedy(&self) -> Option<&'static str> {
        matches!(self, NvrtcError::Absent { .. } | NvrtcError::Unusable { .. }).then_some(REMEDY)
    }

    /// Stable code for people, `E051` and a digit.
    pub fn code(&self) -> &'static str {
        match self {
            NvrtcError::Absent { .. } => error_code::NO_NVRTC,
            NvrtcError::Unusable { .. } => error_code::UNUSABLE_NVRTC,
            NvrtcError::Compile { .. } | NvrtcError::Text { .. } => error_code::KERNEL_REFUSED,
            NvrtcError::Cache { .. } => error_code::CODE_CACHE,
        }
    }
}

fn list(folders: &[PathBuf]) -> String {
    let mut named: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    named.dedup();
    named.join(", ")
}

/// The loaded compiler. Compilations may run on several threads at once.
pub struct Nvrtc {
    api: Api,
    library: PathBuf,
    cache: Option<Cache>,
}

impl Nvrtc {
    /// Finds and loads the compiler: the one that `SAMP_NVRTC` names, or else the first that can be used of those in the
    /// system's folders, in the executable's own prefix, and in samp's data folder. Those that others may write to are passed
    /// over, and the working directory is not searched.
    pub fn find() -> Result<Nvrtc, NvrtcError> {
        if let Some(path) = env::var_os(VARIABLE) {
            return Nvrtc::open(Path::new(&path));
        }
        let searched = Surroundings::of_process().folders();
        let mut unusable = None;
        for candidate in searched.iter().filter_map(|folder| Candidate::at(folder)) {
            match Nvrtc::load_trusted(&candidate) {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(error) => unusable = unusable.or(Some(error)),
            }
        }
        Err(unusable.unwrap_or(NvrtcError::Absent { searched }))
    }

    fn load_trusted(candidate: &Candidate) -> Result<Nvrtc, NvrtcError> {
        if candidate.is_trusted() {
            return Nvrtc::load(candidate);
        }
        let reason = "other users may write to it or to its folder, so that it could be anything".into();
        Err(NvrtcError::Unusable { path: candidate.library.clone(), reason })
    }

    /// Loads the compiler from a library file or the folder that holds it.
    pub fn open(path: &Path) -> Result<Nvrtc, NvrtcError> {
        let absent = || NvrtcError::Absent { searched: vec![path.to_owned()] };
        Nvrtc::load(&Candidate::at(path).ok_or_else(absent)?)
    }

    fn load(candidate: &Candidate) -> Result<Nvrtc, NvrtcError> {
        let library = candidate.library.clone();
        let unusable = |reason: String| NvrtcError::Unusable { path: library.clone(), reason };
        let api = Api::load(&library, candidate.builtins.as_deref()).map_err(|e| unusable(e.to_string()))?;
        match api.version() {
            Ok(VERSION) => Ok(Nvrtc { api, library, cache: None }),
            Ok((major, minor)) => Err(unusable(format!("it is version {major}.{minor}"))),
            Err(answer) => Err(unusable(answer)),
        }
    }

    /// Looks results up in a cache, and keeps new ones there.
    pub fn with_cache(self, cache: Cache) -> Nvrtc {
        Nvrtc { cache: Some(cache), ..self }
    }

    /// The library in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Compiles a kernel. Blocks for tenths of a second unless the cache has it.
    pub fn compile(&self, source: &Source, arch: Arch) -> Result<Cubin, NvrtcError> {
        let key = key(source, arch);
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.get(key)) {
            return Ok(kept);
        }
        let texts = Texts::new(source, arch).map_err(|_| NvrtcError::Text { kernel: source.symbol })?;
        let cubin = self.build(source.symbol, arch, &texts)?;
        if let Some(cache) = &self.cache {
            let (kernel, folder) = (source.symbol, cache.folder().into());
            cache.put(key, &cubin).map_err(|source| NvrtcError::Cache { kernel, folder, source })?;
        }
        Ok(cubin)
    }

    fn build(&self, kernel: &'static str, arch: Arch, texts: &Texts) -> Result<Cubin, NvrtcError> {
        let failed = |reason: String, log: String| NvrtcError::Compile { kernel, arch, reason, log };
        let headers: Vec<_> = texts.headers.iter().map(|(text, name)| (&**text, &**name)).collect();
        let program = self.api.program(&texts.text, &texts.name, &headers);
        let program = program.map_err(|answer| failed(answer, String::new()))?;
        let options: Vec<_> = texts.options.iter().map(|option| &**option).collect();
        program.compile(&options).map_err(|answer| failed(answer, program.log()))?;
        let bytes = program.cubin().map_err(|answer| failed(answer, program.log()))?;
        // A time differs from run to run, and nothing else does.
        let log = program
            .log()
            .lines()
            .filter(|line| !line.contains("Compile time"))
            .collect::<Vec<_>>()
            .join("\n");
        Ok(Cubin { bytes, report: Report::parse(&log), log })
    }
}

/// A source as the library takes it.
struct Texts {
    text: CString,
    name: CString,
    headers: Vec<(CString, CString)>,
    options: Vec<CString>,
}

impl Texts {
    fn new(source: &Source, arch: Arch) -> Result<Texts, NulError> {
        let header = |header: &samp_kernels::cuda::Header| {
            Ok((CString::new(header.text)?, CString::new(header.name)?))
        };
        Ok(Texts {
            text: CString::new(source.text.as_bytes())?,
            name: CString::new(format!("{}.cu", source.stem))?,
            headers: HEADERS.iter().map(header).collect::<Result<_, NulError>>()?,
            options: options(source, arch).map(CString::new).collect::<Result<_, NulError>>()?,
        })
    }
}
