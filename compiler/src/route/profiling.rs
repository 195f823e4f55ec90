//! Measuring a checkpoint on records, continuing what an interrupted run, or another machine, had measured.

use std::{collections::BTreeMap, ops::Range, path::Path};

use anyhow::anyhow;
use samp_abi::plan::TensorId;
use samp_ir::Diagnostic;

use super::{Master, Records, journal};
use crate::{
    calibrate::{
        Forward, MeasureOptions, PROFILE, PROFILE_VERSION, Profile, TableWeight, TokenBatch, Tokens, Wanted,
        WeightProfile, layer_of, measure,
    },
    compile::{CompileOptions, Source},
    import::Import,
};

/// What is to be measured.
pub struct Part<'a> {
    /// On these records.
    pub records: &'a Records,
    /// How.
    pub measure: &'a MeasureOptions,
    /// These layers alone; the embedding goes with the first, the head with the last.
    pub layers: Option<Range<u64>>,
}

/// Measures a part of a checkpoint. `work` is a folder for what survives an interruption; `say` hears what is done.
pub fn profile(
    source: &Source,
    options: &CompileOptions,
    part: &Part<'_>,
    work: &Path,
    say: &dyn Fn(&str),
) -> anyhow::Result<Profile> {
    let Source::Checkpoint(import) = source else {
        return Err(anyhow!("measuring needs weights: give the checkpoint's directory, not its config.json"));
    };
    let longest = part.records.tokens.iter().map(Vec::len).max().unwrap_or(0) as u64;
    let master = Master::of(source, import, options, longest)?;
    master.warnings.iter().for_each(|warning| say(&warning.to_string()));
    let page = master.spec.kv.page_tokens as usize;
    let batches = TokenBatch::pack(&part.records.tokens, master.pass_tokens(), page);
    Profiling { master: &master, import, options, part, work, say }.run(
        &mut master.forward(work)?,
        &batches,
        None,
    )
}

/// One measurement.
pub(super) struct Profiling<'a> {
    pub master: &'a Master<'a>,
    pub import: &'a Import,
    pub options: &'a CompileOptions,
    pub part: &'a Part<'a>,
    pub work: &'a Path,
    pub say: &'a dyn Fn(&str),
}

impl Profiling<'_> {
    /// Measures what `before` has not; `forward` holds the unquantized weights.
    pub fn run(
        &self,
        forward: &mut Forward,
        batches: &[TokenBatch],
        before: Option<&Profile>,
    ) -> anyhow::Result<Profile> {
        let options = self.part.measure;
        let judged = at_least(batches, options.judged_tokens, TokenBatch::outputs);
        let moments = at_least(batches, options.moment_tokens, |batch| batch.token_ids.len()).max(judged);
        let batches = &batches[..moments];
        let model = self.import.checkpoint.content_blake3();
        let fingerprint = self.fingerprint(&model, batches, judged);
        let (journal, mut known) = journal::open(self.work, &fingerprint)?;
        known.extend(taken_over(before, &model)?);
        let tables: Vec<TableWeight<'_>> = self.tables(forward);
        let layers = self.master.spec.model.layers;
        let inside = |key: &str| {
            let layer = layer_of(key).unwrap_or(if key == "lm_head" { layers - 1 } else { 0 });
            self.part.layers.as_ref().is_none_or(|range| range.contains(&layer))
        };
        let labels: Vec<String> = forward.linears().into_iter().map(|linear| linear.key).collect();
        let keys = tables.iter().map(|t| t.key).chain(labels.iter().map(String::as_str));
        let keys: Vec<&str> = keys.filter(|key| inside(key)).collect();
        let mut done = keys.iter().filter(|key| known.contains_key(**key)).count();
        let wanted = Wanted { keys: &inside, known: &known };
        let tokens = Tokens { batches, judged, strata: &self.part.records.strata };
        let weights = measure(forward, &tables, &tokens, options, &wanted, &mut |weight| {
            done += 1;
            (self.say)(&format!("measured {done} of {}: {}", keys.len(), weight.key));
            journal.append(weight)
        })?;
        Ok(Profile {
            schema: PROFILE_VERSION,
            model,
            fingerprint,
            rounding: options.rounding.transform().map_or("nearest".into(), |t| t.to_string()),
            moment_tokens: batches.iter().map(|b| b.token_ids.len() as u64).sum(),
            divergence_tokens: batches[..judged].iter().map(|b| b.outputs() as u64).sum(),
            weights,
        })
    }

    /// Matrices that no linear reads.
    fn tables(&self, forward: &Forward) -> Vec<TableWeight<'_>> {
        let (linears, tensors) = (forward.linears(), &self.master.spec.tensors);
        let ids = (0..tensors.len()).map(|index| TensorId(index as u32));
        let read = |id: TensorId| linears.iter().any(|linear| linear.weight == id);
        ids.zip(tensors)
            .filter(|(id, tensor)| tensor.rows > 1 && !read(*id))
            .map(|(id, tensor)| TableWeight { id, key: &tensor.name })
            .collect()
    }

    fn fingerprint(&self, model: &str, batches: &[TokenBatch], judged: usize) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(model.as_bytes());
        for batch in batches {
            hasher.update(bytemuck::cast_slice(&batch.token_ids));
            for length in &batch.lengths {
                hasher.update(&(*length as u64).to_le_bytes());
            }
        }
        let rest = format!("{judged} {:?} {:?}", self.options.quality, self.part.measure);
        hasher.update(rest.as_bytes()).finalize().to_hex().to_string()
    }
}

/// How many of the first batches have at least so many tokens together.
pub(super) fn at_least(batches: &[TokenBatch], most: usize, tokens: fn(&TokenBatch) -> usize) -> usize {
    let sums = batches.iter().scan(0, |sum, batch| {
        *sum += tokens(batch);
        Some(*sum)
    });
    (sums.take_while(|&sum| sum < most).count() + 1).min(batches.len())
}

/// What a profile of the same model had measured.
fn taken_over(before: Option<&Profile>, model: &str) -> Result<BTreeMap<String, WeightProfile>, Diagnostic> {
    let Some(before) = before else { return Ok(BTreeMap::new()) };
    if before.model != model {
        let message =
            format!("expected a profile of this checkpoint ({model}), found one of {}", before.model);
        return Err(Diagnostic::bad_input(PROFILE, message)
            .hint("measure this checkpoint, or compile the one that was measured"));
    }
    Ok(before.weights.iter().map(|weight| (weight.key.clone(), weight.clone())).collect())
}
