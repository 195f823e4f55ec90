//! What can be wrong with a plan.

use std::{fmt, io};

use samp_abi::Cause;

use crate::error_code;

use crate::path_kind::WrongPath;

/// One fault of a plan. Its text says where, what was expected, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}; {}", self.message(), self.remedy())]
pub struct PlanError {
    /// The kind of fault.
    pub fault: Fault,
    /// The file, relative to the plan; the path itself where it leads to no plan.
    pub file: String,
    /// The tensor, step, buffer or field; empty where the path leads to no plan.
    pub subject: Box<str>,
    /// What a sound plan has here.
    pub expected: String,
    /// What this plan has.
    pub found: String,
    /// What to do here, where that is more than for every fault of its kind.
    pub help: Option<Box<str>>,
}

impl From<WrongPath> for PlanError {
    fn from(wrong: WrongPath) -> PlanError {
        PlanError {
            fault: if wrong.environment { Fault::Io } else { Fault::NotAPlan },
            file: wrong.given.display().to_string(),
            subject: Box::default(),
            expected: wrong.expected.into(),
            found: wrong.found,
            help: Some(wrong.hint.into()),
        }
    }
}

impl PlanError {
    /// The stable code of the kind of fault.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// Whether the path leads to no plan, so that nothing of one was looked at.
    pub fn is_wrong_path(&self) -> bool {
        self.subject.is_empty()
    }

    /// What is wrong, without the file and the remedy.
    pub fn message(&self) -> String {
        let PlanError { fault, subject, expected, found, .. } = self;
        let problem =
            if self.is_wrong_path() { String::new() } else { format!("{subject}: {}: ", fault.problem()) };
        format!("{problem}expected {expected}, found {found}")
    }

    /// What to do.
    pub fn remedy(&self) -> &str {
        self.help.as_deref().unwrap_or(self.fault.remedy())
    }
}

/// The kinds of fault. Each has a stable name and code, a short description and a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is described by `problem`")]
pub enum Fault {
    Io,
    HostMemory,
    NotAPlan,
    LfsPointer,
    FileMissing,
    FileKind,
    FilePath,
    FileSize,
    FileHash,
    ManifestMalformed,
    ManifestDigest,
    SchemaVersion,
    TooLarge,
    Model,
    KvCache,
    Buckets,
    TensorName,
    TensorShape,
    TensorSources,
    TensorParts,
    PartPlace,
    PartHash,
    PartValues,
    WeightsHeader,
    Padding,
    UnknownTensor,
    UnknownBuffer,
    Buffer,
    Dataflow,
    Overlap,
    CacheOrder,
    OpShape,
    OpConstant,
    Binding,
    Kernel,
    Memory,
    Golden,
    OtherBuild,
}

const COPY_AGAIN: &str = "the plan was changed or damaged: copy it again, or compile the model again";
const COMPILE_AGAIN: &str =
    "the plan was not made by this samp or was tampered with: compile the model again";

impl Fault {
    /// The stable name, for scripts.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The stable code, `E13` and two digits.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// What is wrong, in a few words.
    pub const fn problem(self) -> &'static str {
        self.row().2
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        self.row().3
    }

    const fn row(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Fault::Io => {
                ("io", error_code::PLAN_IO, "it cannot be read", "check the path and its permissions")
            }
            Fault::HostMemory => (
                "host_memory",
                error_code::HOST_MEMORY,
                "this machine refuses the memory for it",
                "free memory, or allow more of it (ulimit -v)",
            ),
            Fault::NotAPlan => (
                "not_a_plan",
                error_code::NOT_A_PLAN,
                "the path leads to no plan",
                "give the folder that samp compile made",
            ),
            Fault::LfsPointer => (
                "lfs_pointer",
                error_code::PLAN_LFS_POINTER,
                "Git LFS left a pointer in its place",
                "fetch the file itself: run git lfs pull in the plan's folder",
            ),
            Fault::FileMissing => {
                ("file_missing", error_code::PLAN_FILE_MISSING, "there is no such file", COPY_AGAIN)
            }
            Fault::FileKind => (
                "file_kind",
                error_code::PLAN_FILE_KIND,
                "it is not a regular file",
                "replace links by the files themselves",
            ),
            Fault::FilePath => (
                "file_path",
                error_code::PLAN_FILE_PATH,
                "the path is not a plain one inside the plan",
                COMPILE_AGAIN,
            ),
            Fault::FileSize => ("file_size", error_code::PLAN_FILE_SIZE, "its size is wrong", COPY_AGAIN),
            Fault::FileHash => {
                ("file_hash", error_code::PLAN_FILE_HASH, "its bytes do not match their hash", COPY_AGAIN)
            }
            Fault::ManifestMalformed => (
                "manifest_malformed",
                error_code::PLAN_MANIFEST_MALFORMED,
                "it is not a plan manifest",
                COPY_AGAIN,
            ),
            Fault::ManifestDigest => (
                "manifest_digest",
                error_code::PLAN_MANIFEST_DIGEST,
                "it does not match its own digest",
                COPY_AGAIN,
            ),
            Fault::SchemaVersion => (
                "schema_version",
                error_code::PLAN_SCHEMA_VERSION,
                "this samp does not read this version of the schema",
                "compile the model again with this samp, or use the samp that made the plan",
            ),
            Fault::TooLarge => {
                ("too_large", error_code::PLAN_TOO_LARGE, "a number is out of its range", COMPILE_AGAIN)
            }
            Fault::Model => {
                ("model", error_code::PLAN_MODEL, "the model's description is inconsistent", COMPILE_AGAIN)
            }
            Fault::KvCache => (
                "kv_cache",
                error_code::PLAN_KV_CACHE,
                "the KV cache's description is inconsistent",
                COMPILE_AGAIN,
            ),
            Fault::Buckets => {
                ("buckets", error_code::PLAN_BUCKETS, "the token buckets are inconsistent", COMPILE_AGAIN)
            }
            Fault::TensorName => {
                ("tensor_name", error_code::PLAN_TENSOR_NAME, "the name is empty or taken", COMPILE_AGAIN)
            }
            Fault::TensorShape => {
                ("tensor_shape", error_code::PLAN_TENSOR_SHAPE, "the shape does not fit", COMPILE_AGAIN)
            }
            Fault::TensorSources => (
                "tensor_sources",
                error_code::PLAN_TENSOR_SOURCES,
                "the sources do not add up to the tensor",
                COMPILE_AGAIN,
            ),
            Fault::TensorParts => (
                "tensor_parts",
                error_code::PLAN_TENSOR_PARTS,
                "the stored arrays are not those of its format and layout",
                COMPILE_AGAIN,
            ),
            Fault::PartPlace => (
                "part_place",
                error_code::PLAN_PART_PLACE,
                "the array lies in the wrong place",
                COMPILE_AGAIN,
            ),
            Fault::PartHash => {
                ("part_hash", error_code::PLAN_PART_HASH, "its bytes do not match their hash", COPY_AGAIN)
            }
            Fault::PartValues => {
                ("part_values", error_code::PLAN_PART_VALUES, "a stored value is not allowed", COMPILE_AGAIN)
            }
            Fault::WeightsHeader => (
                "weights_header",
                error_code::PLAN_WEIGHTS_HEADER,
                "the header is not the one that the manifest implies",
                COPY_AGAIN,
            ),
            Fault::Padding => {
                ("padding", error_code::PLAN_PADDING, "the bytes between arrays are not zero", COPY_AGAIN)
            }
            Fault::UnknownTensor => (
                "unknown_tensor",
                error_code::PLAN_UNKNOWN_TENSOR,
                "it refers to a tensor that is not there",
                COMPILE_AGAIN,
            ),
            Fault::UnknownBuffer => (
                "unknown_buffer",
                error_code::PLAN_UNKNOWN_BUFFER,
                "it refers to a buffer that is not there",
                COMPILE_AGAIN,
            ),
            Fault::Buffer => (
                "buffer",
                error_code::PLAN_BUFFER,
                "the buffer's type, size or place is wrong",
                COMPILE_AGAIN,
            ),
            Fault::Dataflow => (
                "dataflow",
                error_code::PLAN_DATAFLOW,
                "buffers are not written once and then read",
                COMPILE_AGAIN,
            ),
            Fault::Overlap => {
                ("overlap", error_code::PLAN_OVERLAP, "two buffers in use at once share bytes", COMPILE_AGAIN)
            }
            Fault::CacheOrder => (
                "cache_order",
                error_code::PLAN_CACHE_ORDER,
                "a layer's cache is not appended to once and then read once",
                COMPILE_AGAIN,
            ),
            Fault::OpShape => (
                "op_shape",
                error_code::PLAN_OP_SHAPE,
                "the operands' shapes do not fit together",
                COMPILE_AGAIN,
            ),
            Fault::OpConstant => {
                ("op_constant", error_code::PLAN_OP_CONSTANT, "a constant is not allowed", COMPILE_AGAIN)
            }
            Fault::Binding => (
                "binding",
                error_code::PLAN_BINDING,
                "tensors are not bound exactly as their roles require",
                COMPILE_AGAIN,
            ),
            Fault::Kernel => {
                ("kernel", error_code::PLAN_KERNEL, "the kernel does not fit the step", COMPILE_AGAIN)
            }
            Fault::Memory => {
                ("memory", error_code::PLAN_MEMORY, "the memory totals do not add up", COMPILE_AGAIN)
            }
            Fault::Golden => (
                "golden",
                error_code::PLAN_GOLDEN,
                "the golden probe is missing or inconsistent",
                COMPILE_AGAIN,
            ),
            Fault::OtherBuild => (
                "other_build",
                error_code::PLAN_OTHER_BUILD,
                "the plan was compiled by another build",
                "compile the model again with this samp, or use the samp that made the plan",
            ),
        }
    }
}

/// Faults found so far, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings(pub Vec<PlanError>);

impl Findings {
    /// A place to report about.
    pub fn at(&mut self, file: impl fmt::Display, subject: impl fmt::Display) -> Place<'_> {
        Place { file: file.to_string(), subject: subject.to_string(), findings: self }
    }

    /// How many were found.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A place in the plan that checks report about.
pub(super) struct Place<'a> {
    file: String,
    subject: String,
    findings: &'a mut Findings,
}

impl Place<'_> {
    /// Reports a fault.
    pub fn wrong(&mut self, fault: Fault, expected: impl fmt::Display, found: impl fmt::Display) {
        self.findings.0.push(PlanError {
            fault,
            file: self.file.clone(),
            subject: self.subject.as_str().into(),
            expected: expected.to_string(),
            found: found.to_string(),
            help: None,
        });
    }

    /// Reports what the system answered that was asked for a file: of names that lead to none, that it is missing; else what
    /// the machine lacks.
    pub fn refused(&mut self, expected: impl fmt::Display, error: &io::Error) {
        let fault = match (error.kind(), Cause::of_io(error.kind())) {
            (io::ErrorKind::OutOfMemory, _) => Fault::HostMemory,
            (_, Cause::Input) => Fault::FileMissing,
            _ => Fault::Io,
        };
        self.wrong(fault, expected, error);
    }

    /// Reports a fault unless `holds`; gives `holds` back.
    pub fn check(
        &mut self,
        holds: bool,
        fault: Fault,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> bool {
        if !holds {
            self.wrong(fault, expected, found);
        }
        holds
    }

    /// Reports a fault unless `value` lies in `1..=max`.
    pub fn in_range(&mut self, what: &str, value: u64, max: u64) -> bool {
        let found = format_args!("{what} = {value}");
        self.check((1..=max).contains(&value), Fault::TooLarge, format_args!("{what} from 1 to {max}"), found)
    }
}
