//! The header of a GGUF file that is written: metadata, and where each tensor lies (ggml's `docs/gguf.md`).

/// Where tensors begin, and the metadata's default for it.
pub(super) const ALIGNMENT: u64 = 32;
const VERSION: u32 = 3;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetaValue {
    U32(u32),
    F32(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
}

/// Metadata in the order in which it is written.
pub(super) type Metadata = Vec<(String, MetaValue)>;

/// A tensor of the file.
pub(super) struct TensorInfo {
    pub(super) name: String,
    /// Outermost dimension first; the file has it the other way round.
    pub(super) shape: Vec<u64>,
    /// The number of its type.
    pub(super) kind: u32,
    pub(super) bytes: u64,
}

impl MetaValue {
    /// The number of its type, or of an array's elements.
    fn kind(&self) -> u32 {
        match self {
            MetaValue::U32(_) => 4,
            MetaValue::Integers(_) => 5,
            MetaValue::F32(_) | MetaValue::Floats(_) => 6,
            MetaValue::Flag(_) => 7,
            MetaValue::Text(_) | MetaValue::Texts(_) => 8,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            MetaValue::Texts(values) => self.write_array(out, values, |out, value| write_text(out, value)),
            MetaValue::Floats(values) => {
                self.write_array(out, values, |out, value| out.extend(value.to_le_bytes()))
            }
            MetaValue::Integers(values) => {
                self.write_array(out, values, |out, value| out.extend(value.to_le_bytes()))
            }
            single => {
                out.extend(single.kind().to_le_bytes());
                match single {
                    MetaValue::U32(value) => out.extend(value.to_le_bytes()),
                    MetaValue::F32(value) => out.extend(value.to_le_bytes()),
                    MetaValue::Flag(value) => out.push(u8::from(*value)),
                    MetaValue::Text(value) => write_text(out, value),
                    _ => unreachable!("arrays were written above"),
                }
            }
        }
    }

    fn write_array<T>(&self, out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        const ARRAY: u32 = 9;
        out.extend(ARRAY.to_le_bytes());
        out.extend(self.kind().to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| write(out, value));
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// All that stands before the tensors' bytes, padding included. Each tensor begins at a multiple of [`ALIGNMENT`] after that.
pub(super) fn header(metadata: &Metadata, tensors: &[TensorInfo]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        write_text(&mut out, key);
        value.write(&mut out);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        write_text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|extent| out.extend(extent.to_le_bytes()));
        out.extend(tensor.kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += tensor.bytes.next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    out
}
