//! A whole plan on a GPU: its logits beside those of a reference, and the tokens that the GPU chooses by them.

use std::fmt;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use samp_runtime::{Chunk, Engine, EngineError, Outputs, Sampler, Sampling, SequenceId};

/// Texts, and the logits of each of their tokens as another implementation gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    texts: Vec<Vec<u32>>,
    /// `[texts, tokens, vocab]`
    logits: Vec<f32>,
    vocab: usize,
}

/// Why a file holds no reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It is no safetensors file, or lacks a tensor.
    #[error("expected a safetensors file with `input_ids` and `logits`: {0}")]
    File(#[from] safetensors::SafeTensorError),
    /// Its tensors do not fit.
    #[error("expected `{name}` as {expected}, found {found}")]
    Tensor {
        /// Name of the tensor.
        name: &'static str,
        /// Type and shape.
        expected: &'static str,
        /// Type and shape.
        found: String,
    },
}

impl Reference {
    /// Reads `input_ids` (i64 `[texts, tokens]`) and `logits` (f32 `[texts, tokens, vocab]`).
    pub fn read(bytes: &[u8]) -> Result<Reference, ReferenceError> {
        let file = SafeTensors::deserialize(bytes)?;
        let (ids, logits) = (file.tensor("input_ids")?, file.tensor("logits")?);
        let (&[texts, tokens], Dtype::I64) = (ids.shape(), ids.dtype()) else {
            return Err(unlike("input_ids", "I64 [texts, tokens]", &ids));
        };
        let (&[rows, cols, vocab], Dtype::F32) = (logits.shape(), logits.dtype()) else {
            return Err(unlike("logits", "F32 [texts, tokens, vocab]", &logits));
        };
        if (rows, cols) != (texts, tokens) || texts * tokens * vocab == 0 {
            return Err(unlike(
                "logits",
                "F32 [texts, tokens, vocab] with the texts and tokens of `input_ids`",
                &logits,
            ));
        }
        // An id that is none is above all vocabularies, and refused with its text.
        let id = |bytes: &[u8]| {
            u32::try_from(i64::from_le_bytes(bytes.try_into().expect("eight bytes"))).unwrap_or(u32::MAX)
        };
        let row = |row: &[u8]| row.chunks_exact(8).map(id).collect();
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        Ok(Reference {
            texts: ids.data().chunks_exact(8 * tokens).map(row).collect(),
            logits: logits.data().chunks_exact(4).map(float).collect(),
            vocab,
        })
    }

    /// The logits of each token of a text.
    fn rows(&self, text: usize) -> impl Iterator<Item = &[f32]> {
        let tokens = self.texts[text].len();
        self.logits.chunks_exact(self.vocab).skip(text * tokens).take(tokens)
    }
}

fn unlike(name: &'static str, expected: &'static str, found: &TensorView<'_>) -> ReferenceError {
    ReferenceError::Tensor { name, expected, found: format!("{:?} {:?}", found.dtype(), found.shape()) }
}

/// Why a plan cannot be compared with a reference.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They are of different models.
    #[error(
        "the reference has {expected} logits for a token, the plan {found}; give the reference of the plan's model"
    )]
    Vocabulary {
        /// Of the reference.
        expected: usize,
        /// Of the plan.
        found: u64,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How near an engine comes to a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// The largest difference of a logit.
    pub largest: f32,
    /// Logits compared, in rows.
    pub rows: usize,
    /// Tokens chosen on the device.
    pub sampled: usize,
    /// How much less than the likeliest token the reference gives the worst of them.
    pub worst_sample: f32,
}

impl Agreement {
    /// Whether no logit is further off than `tolerance`, nor a choice than two of them may lead to.
    pub fn within(&self, tolerance: f32) -> bool {
        self.largest <= tolerance && self.worst_sample <= 2.0 * tolerance
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Agreement { largest, rows, sampled, worst_sample } = self;
        write!(f, "logits of {rows} tokens, at most {largest:.2e} off; ")?;
        write!(f, "{sampled} tokens chosen, at worst {worst_sample:.2e} below the likeliest")
    }
}

/// Compares the logits of whole texts; then, one token of each text at a time as serving does, the tokens that the device
/// chooses.
pub fn agreement(engine: &mut Engine, reference: &Reference) -> Result<Agreement, CompareError> {
    let (expected, found) = (reference.vocab, engine.plan().manifest().model.vocab_size);
    if expected as u64 != found {
        return Err(CompareError::Vocabulary { expected, found });
    }
    let mut seen = Agreement { largest: 0.0, rows: 0, sampled: 0, worst_sample: 0.0 };
    for (index, text) in reference.texts.iter().enumerate() {
        let sequence = engine.create()?;
        let logits = engine.append_tokens(sequence, text, Outputs::All)?;
        engine.release(sequence);
        for (found, expected) in logits.rows().zip(reference.rows(index)) {
            let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            // A logit that is no number is as far off as can be.
            let largest =
                differences.fold(0.0, |most: f32, d| if d.is_nan() { f32::INFINITY } else { most.max(d) });
            seen.largest = seen.largest.max(largest);
            seen.rows += 1;
        }
    }
    choose(engine, reference, &mut seen)?;
    Ok(seen)
}

fn choose(engine: &mut Engine, reference: &Reference, seen: &mut Agreement) -> Result<(), EngineError> {
    let greedy = Sampler::new(Sampling::default()).expect("the defaults are in range");
    let request = greedy.sample_request().expect("greedy choice needs no logits");
    let sequences: Vec<SequenceId> =
        reference.texts.iter().map(|_| engine.create()).collect::<Result<_, _>>()?;
    for at in 0..reference.texts[0].len() {
        let one = sequences.iter().zip(&reference.texts);
        let chunks: Vec<Chunk<'_>> = one
            .map(|(&sequence, text)| Chunk { sequence, tokens: &text[at..=at], outputs: Outputs::Last })
            .collect();
        let sampled = engine.step_and_sample(&chunks, &vec![request; chunks.len()])?;
        for (index, sampled) in sampled.into_iter().enumerate() {
            let row = reference.rows(index).nth(at).expect("as many rows as tokens");
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let less = sampled.map_or(f32::INFINITY, |sampled| most - row[sampled.token as usize]);
            seen.worst_sample = seen.worst_sample.max(less);
            seen.sampled += 1;
        }
    }
    sequences.into_iter().for_each(|sequence| engine.release(sequence));
    Ok(())
}
