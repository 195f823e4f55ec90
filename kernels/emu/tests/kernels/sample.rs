//! sample against its reference: the same token for the same draw, always.

use samp_emulator::{Arg, Buffer, Build, Options};
use samp_kernels::{
    sample::{
        Choice, cuda,
        reference::{LogSum, choose},
    },
    trial::{self, Check, Trial},
};

use crate::harness::*;

const GREEDY: Choice = Choice { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 };

/// Rows of logits with the ways they are chosen from.
struct Case {
    vocab: usize,
    logits: Vec<f32>,
    choices: Vec<Choice>,
    draws: Vec<u64>,
}

impl Case {
    fn new(vocab: usize) -> Case {
        Case { vocab, logits: vec![], choices: vec![], draws: vec![] }
    }

    fn push(&mut self, logits: &[f32], choice: Choice, draw: u64) {
        assert_eq!(logits.len(), self.vocab);
        self.logits.extend(logits);
        self.choices.push(choice);
        self.draws.push(draw);
    }

    fn expected(&self) -> Vec<i32> {
        let rows = self.logits.chunks_exact(self.vocab).zip(&self.choices).zip(&self.draws);
        rows.map(|((row, choice), draw)| choose(row, choice, *draw).map_or(-1, |token| token as i32))
            .collect()
    }

    /// Tokens and log-probabilities.
    fn launch(&self, run: impl FnOnce(&[Arg<'_>])) -> (Vec<i32>, Vec<f32>) {
        let rows = self.choices.len();
        let (logits, choices) = (Buffer::from(&self.logits[..]), Buffer::from(&self.choices[..]));
        let draws = Buffer::from(&self.draws[..]);
        let (mut tokens, mut logprobs) = (Buffer::<i32>::poisoned(rows), Buffer::<f32>::poisoned(rows));
        run(&[
            Arg::read(&logits),
            Arg::read(&choices),
            Arg::read(&draws),
            Arg::write(&mut tokens),
            Arg::write(&mut logprobs),
            (rows as i32).into(),
        ]);
        (tokens.to_vec(), logprobs.to_vec())
    }

    fn check(&self, subject: &Subject, way: (Build, Options)) {
        // A block more than there are rows.
        let grid = cuda::grid(self.choices.len() as u32 + 1);
        let (tokens, logprobs) = self.launch(|args| subject.run(way, grid, args));
        for (row, (token, expected)) in tokens.iter().zip(self.expected()).enumerate() {
            let (choice, draw) = (self.choices[row], self.draws[row]);
            assert_eq!(*token, expected, "row {row} of {}, {choice:?}, draw {draw:#x}, {way:?}", self.vocab);
            let logits = &self.logits[row * self.vocab..][..self.vocab];
            match logits.get(*token as usize) {
                Some(logit) => {
                    let expected = LogSum::of(logits).logprob(*logit);
                    assert!((logprobs[row] - expected).abs() < 1e-5, "row {row}: {}", logprobs[row]);
                }
                None => assert!(logprobs[row].is_nan()),
            }
        }
    }
}

/// Logits as models have them, and worse: ties, nothing but ties, tokens that cannot be, both zeros, one token alone, and a
/// far larger one.
fn rows(vocab: usize, numbers: &mut Numbers) -> Vec<Vec<f32>> {
    let mut normal = || (0..4).map(|_| numbers.even()).sum::<f32>() * 3.0;
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

fn random_choice(vocab: usize, numbers: &mut Numbers) -> Choice {
    let temperature = [0.0, 0.05, 0.7, 1.0, 5.0][numbers.below(5)];
    let top_k = [0, 0, 1, 3, 40, vocab as u32 / 2, vocab as u32, u32::MAX][numbers.below(8)];
    let top_p = [1.0, 1.0, 0.95, 0.5, 0.3, 1e-6, 0.999_999][numbers.below(7)];
    let min_p = [0.0, 0.0, 0.0, 0.05, 0.5, 1.0, 1e-9][numbers.below(7)];
    Choice { temperature, top_k, top_p, min_p }
}

fn random_draw(numbers: &mut Numbers) -> u64 {
    let bits = numbers.bits();
    [0, u64::MAX, bits, bits, bits][numbers.below(5)]
}

#[test]
fn the_token_is_the_references() {
    let mut numbers = Numbers::new(12);
    for (vocab, turns, ways) in
        [(61, 40, &WAYS[..1]), (1000, 12, &WAYS[1..2]), (517, 2, &WAYS[2..]), (2, 9, &WAYS[..1])]
    {
        let subject = Subject::new(&cuda::source(vocab as u32).expect("a kernel"));
        let mut case = Case::new(vocab);
        for _ in 0..turns {
            for row in rows(vocab, &mut numbers) {
                let choice = random_choice(vocab, &mut numbers);
                case.push(&row, choice, random_draw(&mut numbers));
            }
        }
        ways.iter().for_each(|way| case.check(&subject, *way));
    }
}

#[test]
fn the_vocabulary_of_a_large_model() {
    let (vocab, mut numbers) = (128_256, Numbers::new(13));
    let mut case = Case::new(vocab);
    let plain = rows(vocab, &mut numbers).swap_remove(0);
    for (temperature, top_k, top_p, min_p) in [
        (0.0, 0, 1.0, 0.0),
        (0.7, 0, 0.9, 0.0),
        (1.0, 50, 0.95, 0.0),
        (1.5, 0, 1.0, 0.0),
        (1.0, 0, 1.0, 0.05),
    ] {
        case.push(&plain, Choice { temperature, top_k, top_p, min_p }, numbers.bits());
    }
    let kernel = compiled(&cuda::source(vocab as u32).expect("a kernel"), &[], Build::Plain);
    let (tokens, _) = case.launch(|args| {
        kernel
            .launch(cuda::grid(5).into(), Options::default(), args)
            .unwrap_or_else(|error| panic!("{error}"));
    });
    assert_eq!(tokens, case.expected());
}

#[test]
fn logits_that_are_no_numbers_give_no_token() {
    let mut case = Case::new(61);
    let warm = Choice { temperature: 1.0, top_k: 5, ..GREEDY };
    for (value, at) in [(f32::NAN, 0), (-f32::NAN, 7), (f32::INFINITY, 60)] {
        for choice in [GREEDY, warm] {
            let mut row = vec![0.5; 61];
            row[at] = value;
            case.push(&row, choice, 1 << 63);
        }
    }
    case.push(&[f32::NEG_INFINITY; 61], warm, 0);
    case.push(&[f32::MAX; 61], warm, 0);
    assert_eq!(case.expected(), [-1, -1, -1, -1, -1, -1, -1, 0]);
    case.check(&Subject::new(&cuda::source(61).expect("a kernel")), WAYS[0]);
}

/// A greedy row and two drawn ones, which between them take every way through the kernel, on a block more than there are rows.
pub fn trial() -> Trial {
    let mut case = Case::new(517);
    let row = rows(517, &mut Numbers::new(3)).swap_remove(0);
    let filtered = Choice { temperature: 1.0, top_k: 40, top_p: 0.9, min_p: 0.0 };
    let unfiltered = Choice { temperature: 1.0, ..GREEDY };
    for choice in [GREEDY, filtered, unfiltered] {
        case.push(&row, choice, 1 << 62);
    }
    let args = vec![
        trial::Arg::read(&case.logits),
        trial::Arg::read(&case.choices),
        trial::Arg::read(&case.draws),
        trial::Arg::poisoned(3 * 4, Check::words(&case.expected())),
        trial::Arg::poisoned(3 * 4, Check::anything()),
        trial::Arg::I32(3),
    ];
    let source = cuda::source(517).expect("a kernel");
    Trial { name: "sample".into(), source, grid: cuda::grid(4), args, hopper: false }
}
