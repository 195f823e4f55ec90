//! The header of a GGUF file: its metadata and where its tensors lie, every length checked against the file.
//!
//! The format (ggml's `docs/gguf.md`): the magic, a version, the numbers of tensors and of metadata entries, the entries, a
//! description of each tensor, and after padding the tensors' bytes at the offsets that these give.

use std::{collections::BTreeMap, ops::Range};

use samp_ir::Diagnostic;

use super::block_type::BlockType;
use crate::error_code;

const MAGIC: &[u8] = b"GGUF";
/// Versions whose lengths are 64-bit numbers.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
/// Where tensors start unless the metadata says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;
const MAX_DIMENSIONS: u32 = 4;
/// A longer name is none.
const MAX_NAME: u64 = 1 << 16;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetaValue {
    /// An integer of any width.
    Integer(i128),
    /// A float of either width; one of 32 bits is the shortest decimal number that it is the nearest to.
    Float(f64),
    /// Text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// Many values, where they lie.
    Array(MetaArray),
}

/// An array of the metadata, whose every element lies inside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetaArray {
    kind: u32,
    pub(super) count: usize,
    bytes: Range<usize>,
}

/// A tensor of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GgufTensor {
    /// How its values are stored.
    pub(super) block: &'static BlockType,
    /// Outermost dimension first, as everywhere in samp; the file has it the other way round.
    pub(super) shape: Vec<u64>,
    /// Its bytes in the file.
    pub(super) bytes: Range<usize>,
}

/// All that stands before the tensors' bytes.
#[derive(Clone, Debug)]
pub(super) struct GgufHeader {
    pub(super) metadata: BTreeMap<String, MetaValue>,
    pub(super) tensors: BTreeMap<String, GgufTensor>,
    /// Bytes of the header, padding included.
    pub(super) bytes: usize,
}

/// Reads the header of a whole file; `name` is for messages. Never panics, whatever the bytes.
pub(super) fn parse(file: &[u8], name: &str) -> Result<GgufHeader, Diagnostic> {
    parse_header(file).map_err(|message| Diagnostic::bad_input(error_code::GGUF, message).in_file(name))
}

fn parse_header(file: &[u8]) -> Result<GgufHeader, String> {
    let mut reader = Reader { file, at: 0 };
    if reader.take(4)? != MAGIC {
        return Err("expected a GGUF file, found another beginning".into());
    }
    let version = reader.u32()?;
    if !VERSIONS.contains(&version) {
        let swapped = VERSIONS.contains(&version.swap_bytes());
        let found = if swapped { "one of a big-endian machine".into() } else { version.to_string() };
        return Err(format!("expected version 2 or 3 of the format, found {found}"));
    }
    let (tensors, entries) = (reader.u64()?, reader.u64()?);
    let mut metadata = BTreeMap::new();
    for _ in 0..entries {
        let key = reader.text(MAX_NAME)?;
        let kind = reader.u32()?;
        let value = reader.value(kind).map_err(|why| format!("`{}`: {why}", shown(&key)))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("expected each key once, found `{}` twice", shown(&key)));
        }
    }
    let mut stated = Vec::new();
    for _ in 0..tensors {
        let name = reader.text(MAX_NAME)?;
        let tensor = reader.tensor().map_err(|why| format!("tensor `{}`: {why}", shown(&name)))?;
        stated.push((name, tensor));
    }
    let alignment = alignment(&metadata)?;
    let data = (reader.at as u64).next_multiple_of(alignment);
    if data > file.len() as u64 {
        return Err(format!("expected tensors from byte {data} on, found {} bytes", file.len()));
    }
    let tensors = placed(stated, data, alignment, file.len() as u64)?;
    Ok(GgufHeader { metadata, tensors, bytes: data as usize })
}

fn alignment(metadata: &BTreeMap<String, MetaValue>) -> Result<u64, String> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(MetaValue::Integer(n)) => match u64::try_from(*n) {
            Ok(n) if n.is_power_of_two() && n <= MAX_ALIGNMENT => Ok(n),
            _ => {
                Err(format!("`general.alignment`: expected a power of two up to {MAX_ALIGNMENT}, found {n}"))
            }
        },
        Some(_) => Err("`general.alignment`: expected an integer".into()),
    }
}

/// A tensor as the header describes it.
struct Stated {
    block: &'static BlockType,
    shape: Vec<u64>,
    bytes: u64,
    offset: u64,
}

/// The tensors by name, inside the file and apart from each other.
fn placed(
    stated: Vec<(String, Stated)>,
    data: u64,
    alignment: u64,
    len: u64,
) -> Result<BTreeMap<String, GgufTensor>, String> {
    let mut tensors = BTreeMap::new();
    for (name, Stated { block, shape, bytes, offset }) in stated {
        let end = offset.checked_add(bytes).and_then(|end| end.checked_add(data)).filter(|&end| end <= len);
        let Some(end) = end else {
            return Err(format!(
                "tensor `{}`: expected {bytes} bytes within the file's {len}, found offset {offset} after the {data} of \
                 its header; the file may be cut short",
                shown(&name)
            ));
        };
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor `{}`: expected a multiple of {alignment}, found offset {offset}",
                shown(&name)
            ));
        }
        let bytes = (data + offset) as usize..end as usize;
        if tensors.insert(name.clone(), GgufTensor { block, shape, bytes }).is_some() {
            return Err(format!("expected each tensor once, found `{}` twice", shown(&name)));
        }
    }
    let mut ordered: Vec<(&String, &GgufTensor)> = tensors.iter().collect();
    ordered.sort_by_key(|(_, tensor)| tensor.bytes.start);
    if let Some(pair) = ordered.windows(2).find(|pair| pair[0].1.bytes.end > pair[1].1.bytes.start) {
        return Err(format!(
            "expected tensors beside each other, found `{}` in `{}`",
            shown(pair[1].0),
            shown(pair[0].0)
        ));
    }
    Ok(tensors)
}

/// A name for a message, cut to a readable length.
fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Kinds of metadata values by their number, with the bytes that those of one size take.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
fn value_bytes(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// A place in the file.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.file.len());
        let end =
            end.ok_or_else(|| format!("expected {count} bytes at byte {}, found the file's end", self.at))?;
        let taken = &self.file[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.number().map(u64::from_le_bytes)
    }

    fn text(&mut self, most: u64) -> Result<String, String> {
        let len = self.u64()?;
        let most = most.min(self.file.len() as u64);
        if len > most {
            return Err(format!("expected text of at most {most} bytes, found {len} at byte {}", self.at));
        }
        let bytes = self.take(len as usize)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| format!("expected UTF-8 text before byte {}", self.at))
    }

    fn value(&mut self, kind: u32) -> Result<MetaValue, String> {
        use MetaValue::{Array, Flag, Float, Integer, Text};
        Ok(match kind {
            0 => Integer(self.number::<1>()?[0].into()),
            1 => Integer(i8::from_le_bytes(self.number()?).into()),
            2 => Integer(u16::from_le_bytes(self.number()?).into()),
            3 => Integer(i16::from_le_bytes(self.number()?).into()),
            4 => Integer(self.u32()?.into()),
            5 => Integer(i32::from_le_bytes(self.number()?).into()),
            6 => Float(shortest(f32::from_le_bytes(self.number()?))),
            7 => match self.number::<1>()? {
                [0] => Flag(false),
                [1] => Flag(true),
                [other] => return Err(format!("expected 0 or 1, found {other}")),
            },
            TEXT => Text(self.text(u64::MAX)?),
            ARRAY => Array(self.array()?),
            10 => Integer(self.u64()?.into()),
            11 => Integer(i64::from_le_bytes(self.number()?).into()),
            12 => Float(f64::from_le_bytes(self.number()?)),
            other => return Err(format!("expected a kind of value from 0 to 12, found {other}")),
        })
    }

    /// Walks over an array, so that reading its elements later cannot fail.
    fn array(&mut self) -> Result<MetaArray, String> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let start = self.at;
        let count = usize::try_from(count)
            .map_err(|_| format!("expected an array in the file, found {count} values"))?;
        match value_bytes(kind) {
            Some(size) => {
                let bytes = count.checked_mul(size).ok_or("expected an array in the file, found more")?;
                self.take(bytes)?;
            }
            None if kind == TEXT => {
                for _ in 0..count {
                    let len = self.u64()?;
                    let len = usize::try_from(len)
                        .map_err(|_| format!("expected text in the file, found {len} bytes"))?;
                    let text = self.take(len)?;
                    std::str::from_utf8(text)
                        .map_err(|_| format!("expected UTF-8 text before byte {}", self.at))?;
                }
            }
            None => return Err(format!("expected an array of numbers or texts, found kind {kind}")),
        }
        Ok(MetaArray { kind, count, bytes: start..self.at })
    }

    fn tensor(&mut self) -> Result<Stated, String> {
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(format!("expected at most {MAX_DIMENSIONS} dimensions, found {dimensions}"));
        }
        let mut shape = (0..dimensions).map(|_| self.u64()).collect::<Result<Vec<u64>, _>>()?;
        shape.reverse();
        let (number, offset) = (self.u32()?, self.u64()?);
        let block = BlockType::by_number(number)?;
        let cols = shape.last().copied().unwrap_or(1);
        if !cols.is_multiple_of(block.weights as u64) {
            return Err(format!(
                "expected rows of whole blocks of {}, found {cols} values of {}",
                block.weights, block.name
            ));
        }
        let elements = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent));
        let bytes = elements.and_then(|n| (n / block.weights as u64).checked_mul(block.bytes as u64));
        let bytes = bytes.ok_or_else(|| format!("expected a tensor in the file, found {shape:?}"))?;
        Ok(Stated { block, shape, bytes, offset })
    }
}

/// The number with the fewest digits that a 32-bit float is the nearest to, which is the one that was meant.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

impl MetaArray {
    /// Its texts; none of an array of numbers.
    pub(super) fn texts<'a>(&self, file: &'a [u8]) -> Option<Vec<&'a str>> {
        if self.kind != TEXT {
            return None;
        }
        let mut reader = Reader { file, at: self.bytes.start };
        let mut texts = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let len = reader.u64().ok()? as usize;
            texts.push(std::str::from_utf8(reader.take(len).ok()?).ok()?);
        }
        Some(texts)
    }

    /// Its numbers; none of an array of texts.
    pub(super) fn numbers(&self, file: &[u8]) -> Option<Vec<f64>> {
        let mut reader = Reader { file, at: self.bytes.start };
        let number = |_| match reader.value(self.kind).ok()? {
            MetaValue::Integer(n) => Some(n as f64),
            MetaValue::Float(x) => Some(x),
            MetaValue::Flag(flag) => Some(f64::from(u8::from(flag))),
            _ => None,
        };
        (0..self.count).map(number).collect()
    }
}
