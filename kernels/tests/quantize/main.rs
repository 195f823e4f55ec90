//! Rounding with the Hessian of the inputs: against plain loops, against itself on other numbers of threads, and
//! against what it claims.

mod compensation;
mod faults;
mod hessian;
mod real;
mod reference;
mod rotation;

use samp_abi::{Format, Group, ScaleAxis};
use samp_kernels::{
    encoded::Encoded,
    format::decode_rows,
    quantize::{Hessian, MatrixRef},
    random::SplitMix64,
};

/// Every format with scales.
const FORMATS: [Format; 12] = [
    Format::Nf4,
    Format::Fp4,
    Format::Int4 { group: Group::G64, zero_point: false },
    Format::Int4 { group: Group::G64, zero_point: true },
    Format::Int4 { group: Group::G128, zero_point: false },
    Format::Int4 { group: Group::G128, zero_point: true },
    Format::Int5 { group: Group::G64 },
    Format::Int6 { group: Group::G128 },
    Format::Fp8E4m3(ScaleAxis::Channel),
    Format::Fp8E4m3(ScaleAxis::Tensor),
    Format::Int8 { outliers: false },
    Format::Int8 { outliers: true },
];

/// Numbers that look random and are the same in every run.
struct Numbers(SplitMix64);

impl Numbers {
    fn new(seed: u64) -> Numbers {
        Numbers(SplitMix64::new(seed))
    }

    fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// About normal: a sum of twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    /// Activations `[tokens, cols]` as layers see them: a few directions that all columns share, noise, and some channels
    /// a good deal louder than others.
    fn activations(&mut self, tokens: usize, cols: usize) -> Vec<f32> {
        let rank = (cols / 8).max(1);
        let directions = self.normals(rank * cols);
        let loudness: Vec<f32> = (0..cols).map(|_| self.normal().exp()).collect();
        let mut all = Vec::with_capacity(tokens * cols);
        for _ in 0..tokens {
            let shares = self.normals(rank);
            for column in 0..cols {
                let shared: f32 = (0..rank).map(|r| shares[r] * directions[r * cols + column]).sum();
                all.push((shared / (rank as f32).sqrt() + 0.3 * self.normal()) * loudness[column]);
            }
        }
        all
    }
}

fn hessian(cols: usize, activations: &[f32]) -> Hessian {
    let mut hessian = Hessian::new(cols);
    hessian.add(activations).unwrap();
    hessian
}

fn rows(cols: usize, values: &[f32]) -> MatrixRef<'_> {
    MatrixRef { cols, values }
}

/// All rows of a tensor.
fn decode(tensor: &Encoded) -> Vec<f32> {
    let mut out = vec![0.0; tensor.rows * tensor.cols];
    decode_rows(tensor.view(), 0, &mut out);
    out
}

/// The bytes of every array, for comparison.
fn bytes(tensor: &Encoded) -> Vec<&[u8]> {
    tensor.parts.iter().map(|(_, bytes)| &bytes[..]).collect()
}

/// What `task` gives with one, two and five threads, which must be the same.
fn on_any_threads<T: PartialEq + Send>(what: &str, task: impl Fn() -> T + Sync) -> T {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&task)
    };
    let one = run(1);
    for threads in [2, 5] {
        assert!(run(threads) == one, "{what} differs with {threads} threads");
    }
    one
}

fn assert_near(found: f64, expected: f64, relative: f64, what: &str) {
    let close = (found - expected).abs() <= relative * expected.abs();
    assert!(close, "{what}: found {found:e}, expected {expected:e}");
}
