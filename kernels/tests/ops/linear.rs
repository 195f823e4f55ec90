use crate::{
    Numbers, assert_close, bits, host_kernels, poisoned, registry::linear_shape, widths, with_threads,
};
use samp_abi::{Component, Format, Layout, TargetName, plan::OpKind};
use samp_kernels::{
    encoded::Encoded,
    format::{RowSource, encode},
    kernel::{Entry, Tolerance},
    layout::pack,
    linear::{LinearArgs, Variant, integer, reference, run_at},
    simd::Width,
    target::Target,
};

struct Rows {
    cols: usize,
    values: Vec<f32>,
}

impl RowSource for Rows {
    fn read(&self, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[first * self.cols..][..out.len()]);
    }
}

type Run = fn(Width, Variant, LinearArgs<'_>);

/// Every format with the kernels in f32, and again with those in integers where there are some.
fn formats_and_kernels() -> impl Iterator<Item = (Format, Run)> {
    let exact = Format::ALL.into_iter().map(|format| (format, run_at as Run));
    let integer = Format::ALL.into_iter().filter(|format| integer::takes(*format));
    exact.chain(integer.map(|format| (format, integer::run_at as Run)))
}

pub(crate) struct Case {
    weight: Encoded,
    x: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// A weight in both senses of the word: outputs come out of order one.
pub(crate) fn weight(
    format: Format,
    layout: Layout,
    rows: usize,
    cols: usize,
    numbers: &mut Numbers,
) -> Encoded {
    let values = numbers.normals(rows * cols, 1.0 / (cols as f32).sqrt());
    let outliers: Vec<u32> = (0..cols as u32).filter(|c| c % 9 == 4 || *c as usize == cols - 1).collect();
    let source = Rows { cols, values };
    let encoded = encode(format, rows, cols, &source, &outliers).expect("finite values of small magnitude");
    pack(encoded.view(), layout)
}

impl Case {
    fn new(format: Format, rows: usize, cols: usize, tokens: usize) -> Case {
        let mut numbers = Numbers::new((rows * 1_000_003 + cols * 1009 + tokens) as u64);
        Case {
            weight: weight(format, Layout::Rows16, rows, cols, &mut numbers),
            x: numbers.normals(tokens * cols, 1.0),
            bias: (tokens % 2 == 1).then(|| numbers.normals(rows, 1.0)),
        }
    }

    fn tokens(&self) -> usize {
        self.x.len() / self.weight.cols
    }

    fn run(&self, run: impl FnOnce(LinearArgs<'_>)) -> Vec<f32> {
        let mut out = poisoned(self.tokens() * self.weight.rows);
        let bias = self.bias.as_deref();
        run(LinearArgs { x: &self.x, weight: self.weight.view(), bias, out: &mut out });
        out
    }

    /// What each width and variant gives, the portable one first.
    fn run_all(&self, run: Run) -> impl Iterator<Item = (String, Vec<f32>)> {
        let each = move |width, variant| {
            (format!("{width:?} {variant:?}"), self.run(|args| run(width, variant, args)))
        };
        widths().flat_map(move |width| [Variant::Direct, Variant::Panel].map(|variant| each(width, variant)))
    }
}

/// Widths around the blocks of 64 columns and the panels of 128, where the format allows them.
fn columns(format: Format) -> Vec<usize> {
    let multiple = format.column_multiple() as usize;
    [1, 7, 63, 64, 65, 128, 130, 192, 256, 896].into_iter().filter(|c| c % multiple == 0).collect()
}

#[test]
fn every_kernel_agrees_with_its_reference() {
    for kernel in host_kernels().filter(|k| k.op == OpKind::Linear) {
        let Entry::Linear { run, reference } = kernel.entry else { panic!("{}: not a linear", kernel.name) };
        let cpu = Target::of(TargetName::Cpu);
        let takes = |format: &Format| kernel.takes(&linear_shape(cpu.name, *format, 1), cpu);
        let format = Format::ALL.into_iter().find(takes);
        let format = format.expect("a linear kernel has a format");
        for cols in columns(format) {
            for (rows, tokens) in [(1, 1), (16, 2), (17, 5), (40, 13), (130, 4)] {
                let case = Case::new(format, rows, cols, tokens);
                let what = format!("{} {rows} x {cols}, {tokens} tokens", kernel.name);
                assert_close(&case.run(run), &case.run(reference), kernel.tolerance, &what);
            }
        }
    }
}

#[test]
fn widths_and_variants_give_the_same_bits_for_any_number_of_tokens() {
    for (format, run) in formats_and_kernels() {
        for tokens in (1..=17).chain([29, 245, 270]) {
            let cols = if tokens > 17 { 128 } else { *columns(format).last().expect("some width") };
            let case = Case::new(format, 21, cols, tokens);
            let mut results = case.run_all(run);
            let (_, expected) = results.next().expect("the portable width");
            for (what, found) in results {
                assert_eq!(bits(&found), bits(&expected), "{format} {tokens} tokens, {what}");
            }
        }
    }
}

#[test]
fn threads_and_the_rest_of_the_batch_change_no_bit() {
    for (format, run) in formats_and_kernels() {
        for cols in columns(format).into_iter().filter(|c| *c > 127) {
            let case = Case::new(format, 200, cols, 19);
            let expected = case.run(|args| run(Width::Portable, Variant::Direct, args));
            with_threads(|threads| {
                for (what, found) in case.run_all(run) {
                    assert_eq!(bits(&found), bits(&expected), "{format}, {threads} threads, {what}");
                }
            });
            for token in [0, 7, 18] {
                let x = case.x[token * cols..][..cols].to_vec();
                let alone = Case { weight: case.weight.clone(), x, bias: case.bias.clone() };
                for (what, found) in alone.run_all(run) {
                    let expected = &expected[token * 200..][..200];
                    assert_eq!(bits(&found), bits(expected), "{format}, token {token} alone, {what}");
                }
            }
        }
    }
}

#[test]
fn the_reference_reads_any_layout() {
    for format in Format::ALL {
        let case = Case::new(format, 33, 256, 3);
        let row_major =
            Case { weight: pack(case.weight.view(), Layout::RowMajor), ..Case::new(format, 33, 256, 3) };
        assert_eq!(bits(&case.run(reference::linear)), bits(&row_major.run(reference::linear)), "{format}");
    }
}

#[test]
fn no_tokens_and_no_rows_are_no_work() {
    let none = Case { x: vec![], bias: None, ..Case::new(Format::Nf4, 17, 64, 1) };
    for run in [run_at, integer::run_at] {
        assert!(none.run_all(run).all(|(_, out)| out.is_empty()));
    }
}

/// The largest sum that a block can have does not overflow: every code and input at its largest.
#[test]
fn the_largest_sums_of_integers_are_right() {
    for format in Format::ALL.into_iter().filter(|format| integer::takes(*format)) {
        for sign in [1.0, -1.0] {
            let (rows, cols) = (16, 256);
            let source = Rows { cols, values: vec![sign; rows * cols] };
            let encoded = encode(format, rows, cols, &source, &[]).expect("ones");
            let weight = pack(encoded.view(), Layout::Rows16);
            let case = Case { weight, x: vec![3.0; cols], bias: None };
            let expected = case.run(reference::linear);
            for (what, found) in case.run_all(integer::run_at) {
                let tolerance = Tolerance { absolute: 0.0, relative: 1e-5 };
                assert_close(&found, &expected, tolerance, &format!("{format} {what}"));
            }
        }
    }
}

/// Outlier columns are there because their inputs are large; the others keep their own steps.
#[test]
fn inputs_of_outlier_columns_do_not_make_the_steps_of_others_coarse() {
    let format = Format::Int8 { outliers: true };
    let mut case = Case::new(format, 40, 192, 5);
    let columns: Vec<u32> = case.weight.view().part_as(Component::OutlierColumns).to_vec();
    for x in case.x.chunks_exact_mut(192) {
        columns.iter().for_each(|&column| x[column as usize] *= 1e4);
    }
    let expected = case.run(reference::linear);
    let largest = expected.iter().fold(0.0_f32, |largest, y| largest.max(y.abs()));
    for (what, found) in case.run_all(integer::run_at) {
        // The sums of the large ones are rounded to f32.
        let tolerance = Tolerance { absolute: 4e-4 + 1e-6 * f64::from(largest), relative: 0.0 };
        assert_close(&found, &expected, tolerance, &what);
    }
}

#[test]
fn what_is_not_a_number_does_not_pass_for_one_in_integers() {
    for unfit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::new(Format::Nf4, 33, 192, 2);
        case.x[70] = unfit;
        for (what, found) in case.run_all(integer::run_at) {
            assert!(found[..33].iter().all(|y| y.is_nan()), "{unfit} {what}");
            assert!(found[33..].iter().all(|y| y.is_finite()), "{unfit} {what}: the other token");
        }
    }
}

#[test]
#[should_panic(expected = "out: expected [2, 17]")]
fn a_result_of_the_wrong_size_is_refused() {
    let case = Case::new(Format::F32, 17, 64, 2);
    let args = LinearArgs { x: &case.x, weight: case.weight.view(), bias: None, out: &mut [0.0; 17] };
    run_at(Width::detect(), Variant::Direct, args);
}
