//! What can be wrong with a plan.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::path_kind::WrongPath;

/// One fault of a plan. Its text says where, what was expected, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {expected}, found {found}; {}", self.place(), self.remedy())]
pub struct PlanError {
    /// The kind of fault.
    pub fault: Fault,
    /// The file, relative to the plan; the path itself where it leads to no plan.
    pub file: String,
    /// The tensor, step, buffer or field; empty where the path leads to no plan.
    pub subject: String,
    /// What a sound plan has here.
    pub expected: String,
    /// What this plan has.
    pub found: String,
    /// What to do here, where that is more than for every fault of its kind.
    pub help: Option<String>,
}

impl From<WrongPath> for PlanError {
    fn from(wrong: WrongPath) -> PlanError {
        PlanError {
            fault: if wrong.environment { Fault::Io } else { Fault::NotAPlan },
            file: wrong.given.display().to_string(),
            subject: String::new(),
            expected: wrong.expected.into(),
            found: wrong.found,
            help: Some(wrong.hint),
        }
    }
}

impl PlanError {
    /// The stable name of the kind of fault, for scripts.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// Whether the path leads to no plan, so that nothing of one was looked at.
    pub fn is_wrong_path(&self) -> bool {
        self.subject.is_empty()
    }

    /// What to do.
    pub fn remedy(&self) -> &str {
        self.help.as_deref().unwrap_or(self.fault.remedy())
    }

    fn place(&self) -> String {
        let PlanError { file, subject, .. } = self;
        if self.is_wrong_path() {
            file.clone()
        } else {
            format!("{file}: {subject}: {}", self.fault.problem())
        }
    }
}

impl Serialize for PlanError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("PlanError", 7)?;
        object.serialize_field("code", self.fault.code())?;
        object.serialize_field("file", &self.file)?;
        object.serialize_field("subject", &self.subject)?;
        object.serialize_field("problem", self.fault.problem())?;
        object.serialize_field("expected", &self.expected)?;
        object.serialize_field("found", &self.found)?;
        object.serialize_field("remedy", self.remedy())?;
        object.end()
    }
}

/// The kinds of fault. Each has a stable code, a short description and a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is described by `problem`")]
pub enum Fault {
    Io,
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
}

const COPY_AGAIN: &str = "the plan was changed or damaged: copy it again, or compile the model again";
const COMPILE_AGAIN: &str =
    "the plan was not made by this samp or was tampered with: compile the model again";

impl Fault {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// What is wrong, in a few words.
    pub const fn problem(self) -> &'static str {
        self.row().1
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Fault::Io => ("io", "it cannot be read", "check the path and its permissions"),
            Fault::NotAPlan => {
                ("not_a_plan", "the path leads to no plan", "give the folder that samp compile made")
            }
            Fault::LfsPointer => (
                "lfs_pointer",
                "Git LFS left a pointer in its place",
                "fetch the file itself: run git lfs pull in the plan's folder",
            ),
            Fault::FileMissing => ("file_missing", "there is no such file", COPY_AGAIN),
            Fault::FileKind => {
                ("file_kind", "it is not a regular file", "replace links by the files themselves")
            }
            Fault::FilePath => ("file_path", "the path is not a plain one inside the plan", COMPILE_AGAIN),
            Fault::FileSize => ("file_size", "its size is wrong", COPY_AGAIN),
            Fault::FileHash => ("file_hash", "its bytes do not match their hash", COPY_AGAIN),
            Fault::ManifestMalformed => ("manifest_malformed", "it is not a plan manifest", COPY_AGAIN),
            Fault::ManifestDigest => ("manifest_digest", "it does not match its own digest", COPY_AGAIN),
            Fault::SchemaVersion => (
                "schema_version",
                "this samp does not read this version of the schema",
                "compile the model again with this samp, or use the samp that made the plan",
            ),
            Fault::TooLarge => ("too_large", "a number is out of its range", COMPILE_AGAIN),
            Fault::Model => ("model", "the model's description is inconsistent", COMPILE_AGAIN),
            Fault::KvCache => ("kv_cache", "the KV cache's description is inconsistent", COMPILE_AGAIN),
            Fault::Buckets => ("buckets", "the token buckets are inconsistent", COMPILE_AGAIN),
            Fault::TensorName => ("tensor_name", "the name is empty or taken", COMPILE_AGAIN),
            Fault::TensorShape => ("tensor_shape", "the shape does not fit", COMPILE_AGAIN),
            Fault::TensorSources => {
                ("tensor_sources", "the sources do not add up to the tensor", COMPILE_AGAIN)
            }
            Fault::TensorParts => {
                ("tensor_parts", "the stored arrays are not those of its format and layout", COMPILE_AGAIN)
            }
            Fault::PartPlace => ("part_place", "the array lies in the wrong place", COMPILE_AGAIN),
            Fault::PartHash => ("part_hash", "its bytes do not match their hash", COPY_AGAIN),
            Fault::PartValues => ("part_values", "a stored value is not allowed", COMPILE_AGAIN),
            Fault::WeightsHeader => {
                ("weights_header", "the header is not the one that the manifest implies", COPY_AGAIN)
            }
            Fault::Padding => ("padding", "the bytes between arrays are not zero", COPY_AGAIN),
            Fault::UnknownTensor => {
                ("unknown_tensor", "it refers to a tensor that is not there", COMPILE_AGAIN)
            }
            Fault::UnknownBuffer => {
                ("unknown_buffer", "it refers to a buffer that is not there", COMPILE_AGAIN)
            }
            Fault::Buffer => ("buffer", "the buffer's type, size or place is wrong", COMPILE_AGAIN),
            Fault::Dataflow => ("dataflow", "buffers are not written once and then read", COMPILE_AGAIN),
            Fault::Overlap => ("overlap", "two buffers in use at once share bytes", COMPILE_AGAIN),
            Fault::CacheOrder => {
                ("cache_order", "a layer's cache is not appended to once and then read once", COMPILE_AGAIN)
            }
            Fault::OpShape => ("op_shape", "the operands' shapes do not fit together", COMPILE_AGAIN),
            Fault::OpConstant => ("op_constant", "a constant is not allowed", COMPILE_AGAIN),
            Fault::Binding => {
                ("binding", "tensors are not bound exactly as their roles require", COMPILE_AGAIN)
            }
            Fault::Kernel => ("kernel", "the kernel does not fit the step", COMPILE_AGAIN),
            Fault::Memory => ("memory", "the memory totals do not add up", COMPILE_AGAIN),
            Fault::Golden => ("golden", "the golden probe is missing or inconsistent", COMPILE_AGAIN),
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
            subject: self.subject.clone(),
            expected: expected.to_string(),
            found: found.to_string(),
            help: None,
        });
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
