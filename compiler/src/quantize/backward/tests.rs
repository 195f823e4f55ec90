use std::{collections::BTreeMap, path::Path};

use samp_abi::{Format, TargetName};
use samp_kernels::random::SplitMix64;
use samp_passes::{QuantOptions, recipe::Recipe};

use super::*;
use crate::{
    lower::{LowerOptions, Measurements, ModelSource, lower_to_spec, recipe::LoadedRecipe},
    quantize::{BaselineWeights, EqualizationScales},
};

/// tiny-llama in f32, for passes over 64 tokens.
fn forward(dir: &Path) -> (Forward, usize) {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/models/tiny-llama");
    let source = ModelSource::open(Path::new(model)).unwrap();
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let options = LowerOptions {
        kv: Some(Format::F32),
        max_context: Some(64),
        max_tokens: 64,
        quality: QuantOptions::NONE,
        ..LowerOptions::new(TargetName::Cpu, recipe)
    };
    let spec = lower_to_spec(&source, &options, &Measurements::default()).unwrap();
    let checkpoint = &source.import().unwrap().checkpoint;
    let weights = BaselineWeights::load(&spec, checkpoint, &EqualizationScales::default(), dir).unwrap();
    (Forward::new(&spec, weights).unwrap(), spec.kv.page_tokens as usize)
}

/// Gradients summed up with what the inputs are: `Σ g · E x` for a change `E` of each linear by one column and row.
#[derive(Default)]
struct Sums {
    /// Of each step, the change's place.
    changed: BTreeMap<usize, (usize, usize)>,
    sums: BTreeMap<usize, f64>,
    embedded: Vec<f32>,
}

impl GradientVisitor for Sums {
    fn begin(&mut self, _: &mut Forward, _: &Range<usize>) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn ran(&mut self, _: &Forward, _: &Tape) {}

    fn visit(&mut self, at: &StepGradient<'_>) -> Result<(), QuantizeError> {
        if at.x.is_empty() {
            self.embedded.extend(at.gradient);
        } else if let Some(&(row, col)) = self.changed.get(&at.step) {
            // The shapes follow from the step's place among the linears, see below.
            let (rows, cols) = self.shape(at);
            let products = at.gradient.chunks_exact(rows).zip(at.x.chunks_exact(cols));
            let sum: f64 = products.map(|(g, x)| f64::from(g[row]) * f64::from(x[col])).sum();
            *self.sums.entry(at.step).or_default() += sum;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Forward, _: &Range<usize>) -> Result<(), QuantizeError> {
        Ok(())
    }
}

impl Sums {
    /// Rows and columns of a linear of tiny-llama, from which both sides' sizes are known.
    fn shape(&self, at: &StepGradient<'_>) -> (usize, usize) {
        let shapes = [(384, 256), (256, 256), (1792, 256), (256, 896), (4096, 256)];
        let fits = |&(rows, cols): &(usize, usize)| at.gradient.len() * cols == at.x.len() * rows;
        let tokens = |(rows, _): (usize, usize)| at.gradient.len() / rows;
        shapes.into_iter().find(|shape| fits(shape) && [50, 47].contains(&tokens(*shape))).unwrap()
    }
}

/// The gradient by each linear of every layer is what the sum of logits changes by where one of its weights is moved.
#[test]
fn gradients_are_differences_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let (mut forward, page) = forward(dir.path());
    let mut random = SplitMix64::new(5);
    let mut record = |tokens: usize| (0..tokens).map(|_| random.below(4096) as u32).collect::<Vec<u32>>();
    let records = [record(20), record(1), record(29)];
    let batches = TokenBatch::pack(&records, 64, page);
    assert_eq!((batches.len(), batches[0].tokens(), batches[0].outputs()), (1, 50, 47));
    let counts: Vec<f32> = (0..47 * 4096).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.02).collect();
    let root = |logits: &mut [f32], _: usize, draw: u64| {
        logits.iter_mut().zip(&counts).for_each(|(logit, count)| *logit = count * (1.0 + draw as f32));
    };
    let linears = forward.linears();
    let place = |index: usize| ((3 + 11 * index) % 256, (5 + 7 * index) % 256);
    let changed = linears.iter().enumerate().map(|(index, linear)| (linear.step, place(index))).collect();
    let mut sums = Sums { changed, ..Sums::default() };
    Backward { forward: &mut forward, batches: &batches, draws: 2, root: &root }.run(&mut sums).unwrap();
    assert_eq!(sums.embedded.len(), 2 * 50 * 256);
    let scalar = |forward: &mut Forward| -> f64 {
        let logits = forward.logits(&batches[0], &State::default());
        logits.iter().zip(&counts).map(|(l, c)| f64::from(*l) * f64::from(*c)).sum()
    };
    for linear in &linears {
        let values = forward.weights().matrix(linear.weight);
        let (row, col) = sums.changed[&linear.step];
        let at = row * forward.weights().cols(linear.weight) + col;
        let mut moved = |by: f32| {
            let mut values = values.clone();
            values[at] += by;
            let before = forward.weights_mut().exchange(linear.weight, &values);
            let scalar = scalar(&mut forward);
            forward.weights_mut().restore(linear.weight, before);
            scalar
        };
        const STEP: f32 = 1.0 / 32.0;
        let near = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let far = (moved(2.0 * STEP) - moved(-2.0 * STEP)) / f64::from(4.0 * STEP);
        let wanted = (4.0 * near - far) / 3.0;
        // The second draw is twice the first.
        let found = sums.sums[&linear.step] / 3.0;
        let within = 0.01 * wanted.abs() + 2e-4;
        assert!((found - wanted).abs() < within, "{}: {found} of {wanted}", linear.key);
    }
}
