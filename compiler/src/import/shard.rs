//! One safetensors file, memory-mapped, with every promise of its header checked before a tensor is handed out.
//!
//! The format: an 8-byte little-endian length, a JSON header of that length naming each tensor's type, shape and
//! byte range, then the bytes. Ranges must fill the rest of the file without gap or overlap.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use memmap2::Mmap;
use safetensors::Dtype;
use samp_ir::Diagnostic;
use samp_runtime::outside_file::open_regular;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, Visitor, value::Error as ValueError},
};

use super::json::UniqueMap;
use crate::error_code;

/// Bytes before the header.
const PREFIX_BYTES: usize = 8;
/// The format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// No weight has more dimensions.
const MAX_DIMENSIONS: usize = 8;

/// Which file the weights came from, for provenance and for resuming only over the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// File name inside the checkpoint.
    pub name: String,
    /// Where it was opened.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was last written, where the file system says.
    pub modified: Option<SystemTime>,
    /// BLAKE3 of the length prefix and the header, in hex.
    pub header_blake3: String,
}

/// Where one tensor lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Element type as stored.
    pub dtype: Dtype,
    /// Its shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub start: usize,
    /// Size in bytes.
    pub len: usize,
}

/// An open, checked file.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) identity: FileIdentity,
    pub(super) entries: BTreeMap<String, TensorEntry>,
    map: Mmap,
}

/// Finds the tensors of a whole file, and how many bytes its header takes; the name is for messages.
type ParseHeader<'a> =
    dyn FnMut(&[u8], &str) -> Result<(BTreeMap<String, TensorEntry>, usize), Diagnostic> + 'a;

impl Shard {
    pub(super) fn open(dir: &Path, name: &str) -> Result<Shard, Diagnostic> {
        Shard::open_file(&dir.join(name), &mut |file, name| {
            let entries = parse_safetensors(file, name)?;
            Ok((entries, PREFIX_BYTES + header_len(file) as usize))
        })
    }

    /// Opens a file whose tensors, and bytes before them, `parse` finds.
    pub(super) fn open_file(path: &Path, parse: &mut ParseHeader<'_>) -> Result<Shard, Diagnostic> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = name.as_ref();
        let unreadable = |e: std::io::Error| {
            let message = format!("expected a readable weights file, found: {e}");
            Diagnostic::of_io(error_code::UNREADABLE, message, &e).in_file(name)
        };
        let file = open_regular(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        // SAFETY: the map is read-only and private to this process. Whoever shrinks the file while a compile reads it
        // breaks that compile; nothing in this process writes to a checkpoint.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        let (entries, header_bytes) = parse(&map, name)?;
        let header = &map[..header_bytes];
        let identity = FileIdentity {
            name: name.to_owned(),
            bytes: map.len() as u64,
            modified: metadata.modified().ok(),
            header_blake3: blake3::hash(header).to_hex().to_string(),
            path: path.into(),
        };
        Ok(Shard { identity, entries, map })
    }

    /// All bytes of the file.
    pub(super) fn file(&self) -> &[u8] {
        &self.map
    }

    /// The tensor's bytes.
    pub(super) fn bytes(&self, entry: &TensorEntry) -> &[u8] {
        &self.map[entry.start..entry.start + entry.len]
    }

    /// Lets the system take back the memory behind a tensor's bytes; reading them again maps them anew.
    pub(super) fn release(&self, entry: &TensorEntry) {
        // SAFETY: dropping clean pages of a read-only file map changes no byte that anyone can see: the next read
        // faults them in from the same file.
        let advised = unsafe {
            self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, entry.start, entry.len)
        };
        // Advice: where the system refuses it, only resident memory is larger.
        drop(advised);
    }

    /// Whether the file on disk still has the size and time that it was opened with.
    pub(super) fn is_unchanged(&self) -> bool {
        fs::metadata(&self.identity.path)
            .is_ok_and(|m| m.len() == self.identity.bytes && m.modified().ok() == self.identity.modified)
    }
}

fn header_len(file: &[u8]) -> u64 {
    file.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix))
}

/// Reads and checks the header of a whole safetensors file; `name` is for messages. Never panics, whatever the bytes.
pub fn parse_safetensors(file: &[u8], name: &str) -> Result<BTreeMap<String, TensorEntry>, Diagnostic> {
    let refuse = |message: String| Diagnostic::bad_input(error_code::SAFETENSORS, message).in_file(name);
    if file.len() < PREFIX_BYTES {
        return Err(refuse(format!("expected a safetensors file, found {} bytes", file.len())));
    }
    let rest = (file.len() - PREFIX_BYTES) as u64;
    let header_bytes = header_len(file);
    if header_bytes > rest.min(MAX_HEADER_BYTES) {
        return Err(refuse(format!(
            "expected a header of at most {MAX_HEADER_BYTES} bytes within the {rest} bytes after its length, found a \
             header length of {header_bytes}"
        ))
        .hint("the file is cut short, or is no safetensors file; fetch it again"));
    }
    let data_start = PREFIX_BYTES + header_bytes as usize;
    let Header(stated) = serde_json::from_slice(&file[PREFIX_BYTES..data_start])
        .map_err(|e| refuse(format!("expected a safetensors header, found malformed JSON: {e}")))?;
    let mut entries = BTreeMap::new();
    for (tensor, stated) in stated {
        let entry = stated.check(data_start, file.len(), |message| refuse(message).at_tensor(&tensor))?;
        if entries.insert(tensor.clone(), entry).is_some() {
            return Err(refuse("expected each tensor once, found it twice".into()).at_tensor(tensor));
        }
    }
    check_cover(&entries, data_start, file.len(), refuse)?;
    Ok(entries)
}

/// The byte ranges, in order of their start, must follow one another from the header's end to the file's.
fn check_cover(
    entries: &BTreeMap<String, TensorEntry>,
    data_start: usize,
    file_len: usize,
    refuse: impl Fn(String) -> Diagnostic,
) -> Result<(), Diagnostic> {
    let mut ordered: Vec<_> = entries.iter().collect();
    ordered.sort_by_key(|(_, e)| (e.start, e.len));
    let mut end = data_start;
    for (name, entry) in ordered {
        if entry.start != end {
            let fault = if entry.start < end { "an overlap" } else { "a gap" };
            let message = format!(
                "expected its bytes to start at {}, where the tensor before it ends, found {}: {fault}",
                end - data_start,
                entry.start - data_start
            );
            return Err(refuse(message).at_tensor(name));
        }
        end += entry.len;
    }
    if end != file_len {
        return Err(refuse(format!(
            "expected the file to end where its last tensor does, at byte {end}, found {file_len} bytes"
        )));
    }
    Ok(())
}

#[derive(Deserialize)]
struct HeaderEntry {
    /// Read as text, so that a type that is not known can be told with the tensor's name.
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl HeaderEntry {
    fn check(
        self,
        data_start: usize,
        file_len: usize,
        refuse: impl Fn(String) -> Diagnostic,
    ) -> Result<TensorEntry, Diagnostic> {
        let dtype = Dtype::deserialize(self.dtype.as_str().into_deserializer())
            .map_err(|e: ValueError| refuse(format!("expected a type that safetensors knows, found: {e}")))?;
        let (begin, end) = self.data_offsets;
        let available = (file_len - data_start) as u64;
        if begin > end || end > available {
            return Err(refuse(format!(
                "expected byte offsets within the file's {available} data bytes, found {begin}..{end}; the file may be \
                 cut short"
            )));
        }
        if self.shape.len() > MAX_DIMENSIONS {
            let found = self.shape.len();
            return Err(refuse(format!("expected at most {MAX_DIMENSIONS} dimensions, found {found}")));
        }
        let bits = self.shape.iter().try_fold(dtype.bitsize() as u64, |n, &d| n.checked_mul(d));
        if bits != (end - begin).checked_mul(8) || bits.is_none() {
            let expected = bits.map_or("more than 2^61".into(), |bits| bits.div_ceil(8).to_string());
            return Err(refuse(format!(
                "expected {expected} bytes for {dtype:?} {:?}, found offsets of {} bytes",
                self.shape,
                end - begin
            )));
        }
        Ok(TensorEntry {
            dtype,
            shape: self.shape,
            start: data_start + begin as usize,
            len: (end - begin) as usize,
        })
    }
}

/// The header's tensors in the order of the text; its free-form `__metadata__` is only checked.
struct Header(Vec<(String, HeaderEntry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        let mut metadata = None;
        while let Some(key) = entries.next_key::<String>()? {
            if key == "__metadata__" {
                if metadata.replace(entries.next_value::<Option<UniqueMap<String>>>()?).is_some() {
                    return Err(A::Error::custom("key `__metadata__` appears twice"));
                }
            } else {
                tensors.push((key, entries.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}
