//! Cases of sample: the same token for the same draw, always.

use samp_abi::Format;

use super::{Arg, Check, KernelCase, Near, RandomValues};
use samp_kernels::sample::{
    SampleRequest, SamplingParams, cuda,
    reference::{LogSum, choose},
};

/// Rows of logits, each with the way its token is chosen and its 64 random bits.
#[derive(Default)]
pub struct SampleRows {
    logits: Vec<f32>,
    choices: Vec<SamplingParams>,
    draws: Vec<u64>,
}

impl SampleRows {
    /// One more, as long as the others.
    pub fn push(&mut self, logits: &[f32], choice: SamplingParams, draw: u64) {
        self.logits.extend(logits);
        self.choices.push(choice);
        self.draws.push(draw);
    }

    /// Their tokens and log-probabilities.
    pub fn kernel_case(&self, name: &str) -> KernelCase {
        let (count, vocab) = (self.choices.len(), self.logits.len() / self.choices.len());
        let rows = self.logits.chunks_exact(vocab).zip(&self.choices).zip(&self.draws);
        let of = |((row, choice), draw): ((&[f32], &SamplingParams), &u64)| match choose(row, choice, *draw) {
            Some(token) => (token as i32, LogSum::new(row).logprob(row[token as usize])),
            None => (-1, f32::NAN),
        };
        let (tokens, logprobs): (Vec<i32>, Vec<f32>) = rows.map(of).unzip();
        let args = vec![
            Arg::read(&self.logits),
            Arg::read(&self.choices),
            Arg::read(&self.draws),
            Arg::poisoned(count * 4, Check::words(&tokens)),
            Arg::poisoned(count * 4, Check::near(Format::F32, Near::all(&logprobs, 1e-5, 0.0))),
            Arg::I32(count as i32),
        ];
        // A block more than there are rows.
        let (source, grid) = (cuda::source(vocab as u32).expect("a kernel"), cuda::grid(count as u32 + 1));
        KernelCase { name: format!("sample among {vocab}, {name}"), source, grid, args, hopper: false }
    }
}

/// Few rows: all filters, at random, over logits as models have them and worse; and logits that are no numbers.
pub fn few() -> Vec<KernelCase> {
    let mut tokens_alone = refused().kernel_case("without log-probabilities");
    tokens_alone.args[4] = Arg::Null;
    vec![by_all_filters(517, 2), refused().kernel_case("logits that are no numbers"), tokens_alone]
}

/// Many rows of that.
pub fn many() -> Vec<KernelCase> {
    [(2, 9), (61, 40), (1000, 12)].map(|(vocab, turns)| by_all_filters(vocab, turns)).into()
}

fn by_all_filters(vocab: usize, turns: usize) -> KernelCase {
    let mut numbers = RandomValues::new(vocab as u64);
    let mut rows = SampleRows::default();
    for _ in 0..turns {
        for logits in logits(vocab, &mut numbers) {
            let choice = random_choice(vocab, &mut numbers);
            rows.push(&logits, choice, random_draw(&mut numbers));
        }
    }
    rows.kernel_case("by all filters")
}

/// The vocabulary of Llama 3.
pub fn large() -> Vec<KernelCase> {
    let (vocab, mut numbers) = (128_256, RandomValues::new(13));
    let plain = logits(vocab, &mut numbers).swap_remove(0);
    let mut rows = SampleRows::default();
    for (temperature, top_k, top_p, min_p) in [
        (0.0, 0, 1.0, 0.0),
        (0.7, 0, 0.9, 0.0),
        (1.0, 50, 0.95, 0.0),
        (1.5, 0, 1.0, 0.0),
        (1.0, 0, 1.0, 0.05),
    ] {
        rows.push(&plain, SamplingParams { temperature, top_k, top_p, min_p }, numbers.bits());
    }
    vec![rows.kernel_case("each filter")]
}

/// Logits as models have them, and worse: ties, nothing but ties, tokens that cannot be, both zeros, one token alone, and a
/// far larger one.
fn logits(vocab: usize, numbers: &mut RandomValues) -> Vec<Vec<f32>> {
    let mut normal = || (0..4).map(|_| numbers.uniform()).sum::<f32>() * 3.0;
    let plain: Vec<f32> = (0..vocab).map(|_| normal()).collect();
    let coarse: Vec<f32> = plain.iter().map(|x| (x * 2.0).round() / 2.0).collect();
    let lost = |keep: usize| move |(i, x): (usize, &f32)| if i % 7 < keep { *x } else { f32::NEG_INFINITY };
    let thinned = coarse.iter().enumerate().map(lost(3)).collect();
    let equal = vec![-3.25; vocab];
    let zeros = (0..vocab).map(|i| if i % 3 == 0 { -0.0 } else { 0.0 }).collect();
    let (mut alone, mut sharp) = (vec![f32::NEG_INFINITY; vocab], plain.clone());
    alone[vocab - 2] = 4.5;
    sharp[vocab / 3] = 60.0;
    vec![plain, coarse, thinned, equal, zeros, alone, sharp]
}

fn random_choice(vocab: usize, numbers: &mut RandomValues) -> SamplingParams {
    let temperature = [0.0, 0.05, 0.7, 1.0, 5.0][numbers.below(5)];
    let top_k = [0, 0, 1, 3, 40, vocab as u32 / 2, vocab as u32, u32::MAX][numbers.below(8)];
    let top_p = [1.0, 1.0, 0.95, 0.5, 0.3, 1e-6, 0.999_999][numbers.below(7)];
    let min_p = [0.0, 0.0, 0.0, 0.05, 0.5, 1.0, 1e-9][numbers.below(7)];
    SamplingParams { temperature, top_k, top_p, min_p }
}

fn random_draw(numbers: &mut RandomValues) -> u64 {
    let bits = numbers.bits();
    [0, u64::MAX, bits, bits, bits][numbers.below(5)]
}

/// Rows without a token: a logit is NaN or positive infinity, or none is finite. The last has one: all are as large as can be.
fn refused() -> SampleRows {
    let mut rows = SampleRows::default();
    let warm = SamplingParams { temperature: 1.0, top_k: 5, ..SampleRequest::GREEDY.params };
    for (value, at) in [(f32::NAN, 0), (-f32::NAN, 7), (f32::INFINITY, 60)] {
        for choice in [SampleRequest::GREEDY.params, warm] {
            let mut row = vec![0.5; 61];
            row[at] = value;
            rows.push(&row, choice, 1 << 63);
        }
    }
    rows.push(&[f32::NEG_INFINITY; 61], warm, 0);
    rows.push(&[f32::MAX; 61], warm, 0);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_expected_of_logits_that_are_no_numbers() {
        let SampleRows { logits, choices, draws } = refused();
        let rows = logits.chunks_exact(61).zip(&choices).zip(&draws);
        let found: Vec<Option<u32>> = rows.map(|((row, choice), draw)| choose(row, choice, *draw)).collect();
        assert_eq!(found[..7], [None; 7]);
        assert_eq!(found[7], Some(0));
    }
}
