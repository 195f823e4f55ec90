//! Measuring a checkpoint on records, continuing what an interrupted run, or another machine, had measured.

use std::{ops::Range, path::Path};

use anyhow::anyhow;
use samp_abi::plan::TensorId;
use samp_ir::Diagnostic;

use super::{
    BaselineModel, Records,
    journal::{self, Journal},
};
use crate::{
    compile::{CompileOptions, Source},
    import::Import,
    quantize::{
        Forward, MeasureOptions, PROFILE_VERSION, Profile, TableWeight, TokenBatch, Tokens, Wanted, layer_of,
        measure,
    },
};

/// What is to be measured.
pub struct MeasureRequest<'a> {
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
    part: &MeasureRequest<'_>,
    work: &Path,
    say: &dyn Fn(&str),
) -> anyhow::Result<Profile> {
    let Source::Checkpoint(import) = source else {
        return Err(anyhow!("measuring needs weights: give the checkpoint's directory, not its config.json"));
    };
    let longest = part.records.tokens.iter().map(Vec::len).max().unwrap_or(0) as u64;
    let master = BaselineModel::of(source, import, options, longest)?;
    master.warnings.iter().for_each(|warning| say(&warning.to_string()));
    let page = master.spec.kv.page_tokens as usize;
    let batches = TokenBatch::pack(&part.records.tokens, master.pass_tokens(), page);
    let tokens = Tokens::of(&batches, part.measure, &part.records.strata);
    let profiling = Profiling { master: &master, import, options, part, work, say };
    Ok(profiling.run(&mut master.forward(work)?, &tokens, None)?.profile)
}

/// One measurement.
pub(super) struct Profiling<'a> {
    pub master: &'a BaselineModel<'a>,
    pub import: &'a Import,
    pub options: &'a CompileOptions,
    pub part: &'a MeasureRequest<'a>,
    pub work: &'a Path,
    pub say: &'a dyn Fn(&str),
}

/// What a measurement found.
pub(super) struct Profiled {
    pub profile: Profile,
    /// A warning of what was measured before on other data.
    pub reused: Option<Diagnostic>,
    /// Where more that is measured may be noted.
    pub journal: Journal,
}

impl Profiling<'_> {
    /// Measures what `before` has not; `forward` holds the unquantized weights. Where nothing is left to measure the profile
    /// is that of `before`.
    pub fn run(
        &self,
        forward: &mut Forward,
        tokens: &Tokens<'_>,
        before: Option<&Profile>,
    ) -> anyhow::Result<Profiled> {
        let options = self.part.measure;
        let model = self.import.checkpoint.content_blake3();
        let fingerprint = self.fingerprint(&model, tokens);
        let mut journal = journal::open(self.work, &fingerprint)?;
        let mut known = std::mem::take(&mut journal.weights);
        let mut profile = Profile {
            schema: PROFILE_VERSION,
            model,
            fingerprint,
            data: Some(data_blake3(&self.part.records.tokens)),
            quality: Some(self.options.quality.shaping()),
            rounding: options.rounding.transform().map_or("nearest".into(), |t| t.to_string()),
            moment_tokens: tokens.batches.iter().map(|b| b.token_ids.len() as u64).sum(),
            divergence_tokens: tokens.judged().iter().map(|b| b.outputs() as u64).sum(),
            weights: vec![],
        };
        let reused = before.map_or(Ok(None), |before| profile.check_reuse(before))?;
        let earlier = before.map_or(&[][..], |before| &before.weights);
        known.extend(earlier.iter().map(|weight| (weight.key.clone(), weight.clone())));
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
        if let Some(before) = before.filter(|_| keys.iter().all(|key| earlier.iter().any(|w| w.key == *key)))
        {
            profile = Profile { schema: PROFILE_VERSION, ..before.clone() };
        }
        profile.weights = measure(forward, &tables, tokens, options, &wanted, &mut |weight| {
            done += 1;
            (self.say)(&format!("measured {done} of {}: {}", keys.len(), weight.key));
            journal.note_weight(weight)
        })?;
        Ok(Profiled { profile, reused, journal })
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

    fn fingerprint(&self, model: &str, tokens: &Tokens<'_>) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(model.as_bytes());
        for batch in tokens.batches {
            hasher.update(bytemuck::cast_slice(&batch.token_ids));
            for length in &batch.lengths {
                hasher.update(&(*length as u64).to_le_bytes());
            }
        }
        let rest = format!("{} {:?} {:?}", tokens.judged, self.options.quality, self.part.measure);
        hasher.update(rest.as_bytes()).finalize().to_hex().to_string()
    }
}

/// Names records by their tokens.
fn data_blake3(records: &[Vec<u32>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for record in records {
        hasher.update(&(record.len() as u64).to_le_bytes()).update(bytemuck::cast_slice(record));
    }
    hasher.finalize().to_hex().to_string()
}
