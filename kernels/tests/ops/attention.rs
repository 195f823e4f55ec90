use crate::{Numbers, assert_close, bits, host_kernels, poisoned, widths, with_threads};
use samp_abi::{Format, ScaleAxis};
use samp_kernels::{
    attention::{AttentionArgs, KvGeometry, SequenceSlice, paged_attention_at, reference::read},
    encoded::AlignedBytes,
    kernel::{Entry, Kernel},
    rope::{RopeAppendArgs, rope_append},
    simd::Width,
};

const CACHES: [Format; 3] = [Format::F32, Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)];

/// Sequences of a model with one layer, and what its projections gave for every position.
#[derive(Clone)]
struct Model {
    heads: usize,
    kv: KvGeometry,
    window: Option<usize>,
    inv_frequencies: Vec<f64>,
    rope_scale: f64,
    /// Queries, keys and values `[positions, (heads + 2·kv_heads)·head_dim]` and the pages of each sequence.
    sequences: Vec<(Vec<f32>, Vec<u32>)>,
    pages: usize,
}

/// Positions of each sequence that a step takes: `(start, tokens)`.
type Step = Vec<(usize, usize)>;

impl Model {
    fn new(format: Format, heads: usize, kv_heads: usize, head_dim: usize, lengths: &[usize]) -> Model {
        let scales = if matches!(format, Format::Fp8E4m3(_)) { [0.02, 0.011] } else { [1.0; 2] };
        let kv = KvGeometry { format, scales, kv_heads, head_dim, page_tokens: 16 };
        let mut numbers = Numbers::new((heads * 131 + head_dim) as u64);
        let mut next_page = 0;
        let mut sequence = |length: usize| {
            let needed = length.div_ceil(kv.page_tokens) as u32;
            // Pages of a sequence lie apart and in descending order.
            let pages = (0..needed).rev().map(|p| next_page + 2 * p).collect();
            next_page += 2 * needed;
            (numbers.normals(length * (heads + 2 * kv_heads) * head_dim, 1.0), pages)
        };
        let sequences = lengths.iter().map(|&l| sequence(l)).collect();
        let inv_frequencies =
            (0..head_dim / 2).map(|i| 10_000f64.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        Model {
            heads,
            kv,
            window: None,
            inv_frequencies,
            rope_scale: 1.0,
            sequences,
            pages: next_page as usize,
        }
    }

    fn empty_pool(&self) -> AlignedBytes {
        let mut pool = AlignedBytes::zeroed(self.pages * self.kv.page_bytes());
        // NaN in f16 and in E4M3: a position that was not appended must not be read.
        pool.fill(0x7f);
        pool
    }

    fn slices(&self, step: &Step) -> Vec<SequenceSlice<'_>> {
        let sequences = step.iter().zip(&self.sequences);
        sequences.map(|(&(start, tokens), (_, pages))| SequenceSlice { start, tokens, pages }).collect()
    }

    fn rope(&self, kernel: fn(RopeAppendArgs<'_>), step: &Step, pool: &mut [u8]) -> Vec<f32> {
        let width = (self.heads + 2 * self.kv.kv_heads) * self.kv.head_dim;
        let mut qkv = vec![];
        for (&(start, tokens), (values, _)) in step.iter().zip(&self.sequences) {
            qkv.extend_from_slice(&values[start * width..][..tokens * width]);
        }
        let mut out = poisoned(qkv.len() / width * self.heads * self.kv.head_dim);
        kernel(RopeAppendArgs {
            qkv: &qkv,
            heads: self.heads,
            inv_frequencies: &self.inv_frequencies,
            rope_scale: self.rope_scale,
            sequences: &self.slices(step),
            kv: self.kv,
            pool,
            out: &mut out,
        });
        out
    }

    fn attend(&self, kernel: impl Fn(AttentionArgs<'_>), q: &[f32], step: &Step, pool: &[u8]) -> Vec<f32> {
        let mut out = poisoned(q.len());
        kernel(AttentionArgs {
            q,
            heads: self.heads,
            window: self.window,
            sequences: &self.slices(step),
            kv: self.kv,
            pool,
            out: &mut out,
        });
        out
    }

    /// Runs all steps and gathers each sequence's results in order of position.
    fn run(&self, steps: &[Step]) -> Vec<Vec<f32>> {
        let mut pool = self.empty_pool();
        let mut results = vec![vec![]; self.sequences.len()];
        for step in steps {
            let q = self.rope(rope_append, step, &mut pool);
            let out = self.attend(|args| paged_attention_at(Width::detect(), args), &q, step, &pool);
            let mut rest = &out[..];
            for (&(_, tokens), result) in step.iter().zip(&mut results) {
                let (own, others) = rest.split_at(tokens * self.heads * self.kv.head_dim);
                result.extend_from_slice(own);
                rest = others;
            }
        }
        results
    }
}

fn models() -> Vec<Model> {
    let mut models = vec![];
    for format in CACHES {
        for (heads, kv_heads, head_dim) in [(8, 2, 32), (3, 3, 64), (4, 1, 128), (2, 1, 20)] {
            for window in [None, Some(1), Some(37), Some(64)] {
                models.push(Model { window, ..Model::new(format, heads, kv_heads, head_dim, &[150, 1, 70]) });
            }
        }
    }
    models
}

fn kernel(op: impl Fn(&Entry) -> bool) -> &'static Kernel {
    host_kernels().find(|k| op(&k.entry)).expect("registered")
}

#[test]
fn rope_append_agrees_with_its_reference() {
    let kernel = kernel(|e| matches!(e, Entry::RopeAppend { .. }));
    let Entry::RopeAppend { run, reference } = kernel.entry else { unreachable!("chosen by its entry") };
    // All channels turned; some of them, and stretched; none.
    let turned = |mut model: Model| {
        [(2, 1.0), (3, 1.25), (usize::MAX, 1.0)].map(|(part, scale)| {
            model.inv_frequencies.truncate(model.kv.head_dim / part);
            Model { rope_scale: scale, ..model.clone() }
        })
    };
    for model in models().into_iter().filter(|m| m.window.is_none()).flat_map(turned) {
        let step = vec![(133, 17), (0, 1), (5, 60)];
        let (mut pool, mut expected_pool) = (model.empty_pool(), model.empty_pool());
        let found = model.rope(run, &step, &mut pool);
        let expected = model.rope(reference, &step, &mut expected_pool);
        assert_close(&found, &expected, kernel.tolerance, "queries");
        for sequence in model.slices(&step) {
            for position in sequence.start..sequence.start + sequence.tokens {
                for place in [(0, 0), (1, 0), (0, model.kv.kv_heads - 1), (1, model.kv.kv_heads - 1)] {
                    let stored = |pool| read(&model.kv, pool, &sequence, place, position);
                    for (found, expected) in stored(&pool).iter().zip(stored(&expected_pool)) {
                        // A rounding error may tip a value over to the next code.
                        let step = if matches!(model.kv.format, Format::Fp8E4m3(_)) { 0.13 } else { 1e-3 };
                        let allowed = step * expected.abs() + 2e-3 * f64::from(model.kv.scales[0]);
                        assert!((found - expected).abs() <= allowed, "{place:?} {found} {expected}");
                    }
                }
            }
        }
        let changed = pool.iter().zip(model.empty_pool().iter()).filter(|(a, b)| a != b).count();
        let appended = 78 * 2 * model.kv.kv_heads * model.kv.head_dim * model.kv.element_bytes();
        assert!(changed <= appended && changed * 10 > appended * 9, "{changed} of {appended} bytes");
    }
}

#[test]
fn attention_agrees_with_its_reference_at_every_width_and_thread_count() {
    let kernel = kernel(|e| matches!(e, Entry::PagedAttention { .. }));
    let Entry::PagedAttention { run, reference } = kernel.entry else { unreachable!("chosen by its entry") };
    for model in models() {
        let mut pool = model.empty_pool();
        model.rope(rope_append, &vec![(0, 133), (0, 0), (0, 10)], &mut pool);
        let step = vec![(133, 17), (0, 1), (10, 60)];
        let q = model.rope(rope_append, &step, &mut pool);
        let expected = model.attend(run, &q, &step, &pool);
        let (format, dim) = (model.kv.format, model.kv.head_dim);
        let what = format!("{format} head_dim {dim} window {:?}", model.window);
        assert_close(&expected, &model.attend(reference, &q, &step, &pool), kernel.tolerance, &what);
        for width in widths() {
            let found = model.attend(|args| paged_attention_at(width, args), &q, &step, &pool);
            assert_eq!(bits(&found), bits(&expected), "{what} {width:?}");
        }
        with_threads(|threads| {
            assert_eq!(
                bits(&model.attend(run, &q, &step, &pool)),
                bits(&expected),
                "{what} {threads} threads"
            );
        });
    }
}

#[test]
fn chunks_and_single_tokens_give_the_same_bits() {
    for model in models() {
        let whole = model.run(&[vec![(0, 150), (0, 1), (0, 70)]]);
        let chunks = [(0, 64), (64, 1), (65, 13), (78, 72)];
        let odd: Vec<Step> = chunks
            .iter()
            .map(|&(s, n)| {
                let end = (s + n).min(70);
                vec![(s, n), (usize::from(s > 0), usize::from(s == 0)), (s.min(70), end.saturating_sub(s))]
            })
            .collect();
        let single: Vec<Step> = (0..150)
            .map(|p| vec![(p, 1), (p.min(1), usize::from(p < 1)), (p.min(70), usize::from(p < 70))])
            .collect();
        for steps in [odd, single] {
            for (found, expected) in model.run(&steps).iter().zip(&whole) {
                assert_eq!(bits(found), bits(expected), "{} window {:?}", model.kv.format, model.window);
            }
        }
    }
}

#[test]
#[should_panic(expected = "written by two sequences")]
fn two_sequences_may_not_write_one_page() {
    let mut model = Model::new(Format::F16, 1, 1, 16, &[3, 3]);
    model.sequences[1].1 = model.sequences[0].1.clone();
    model.rope(rope_append, &vec![(0, 3), (0, 3)], &mut model.empty_pool());
}

#[test]
fn what_is_no_number_in_the_cache_is_none_in_the_result() {
    let model = Model::new(Format::Fp8E4m3(ScaleAxis::Tensor), 2, 1, 20, &[3]);
    let step = vec![(0, 3)];
    let mut pool = model.empty_pool();
    let q = model.rope(rope_append, &step, &mut pool);
    for (which, code) in [(0, 0x7F), (1, 0xFF)] {
        let mut pool = pool.clone();
        // The last position, which only the last token sees.
        pool[model.kv.offset(model.sequences[0].1[0], which, 0, 2) + 19] = code;
        let cpu = model.attend(|args| paged_attention_at(Width::detect(), args), &q, &step, &pool);
        let reference = model.attend(samp_kernels::attention::reference::paged_attention, &q, &step, &pool);
        for out in [cpu, reference] {
            let tokens: Vec<bool> = out.chunks(40).map(|token| token.iter().any(|x| x.is_nan())).collect();
            assert_eq!(tokens, [false, false, true]);
        }
    }
}
