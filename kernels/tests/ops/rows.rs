use crate::{Numbers, assert_close, bits, host_kernels, linear::weight, poisoned, widths, with_threads};
use samp_abi::{Format, Layout};
use samp_kernels::{
    elementwise::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs, silu_mul_at},
    embed::EmbedArgs,
    kernel::Entry,
    rms_norm::{AddRmsNormArgs, RmsNormArgs},
};

/// Tokens and widths; the last ones are large enough to be shared out over threads.
const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 7), (5, 64), (2, 257), (17, 896), (40, 4096)];

#[test]
fn rms_norm() {
    for kernel in host_kernels() {
        let Entry::RmsNorm { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            let mut numbers = Numbers::new(width as u64);
            let (x, weight) = (numbers.normals(tokens * width, 3.0), numbers.normals(width, 1.0));
            let call = |kernel: fn(RmsNormArgs<'_>)| {
                let mut out = poisoned(tokens * width);
                kernel(RmsNormArgs { x: &x, weight: &weight, eps: 1e-5, out: &mut out });
                out
            };
            let expected = call(run);
            assert_close(&expected, &call(reference), kernel.tolerance, kernel.name);
            with_threads(|threads| assert_eq!(bits(&call(run)), bits(&expected), "{threads} threads"));
        }
    }
}

#[test]
fn add_rms_norm() {
    for kernel in host_kernels() {
        let Entry::AddRmsNorm { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            let mut numbers = Numbers::new(width as u64);
            let (x, residual) = (numbers.normals(tokens * width, 3.0), numbers.normals(tokens * width, 1.0));
            let weight = numbers.normals(width, 1.0);
            let call = |kernel: fn(AddRmsNormArgs<'_>)| {
                let (mut sum, mut out) = (residual.clone(), poisoned(tokens * width));
                kernel(AddRmsNormArgs { x: &x, sum: &mut sum, weight: &weight, eps: 1e-6, out: &mut out });
                (sum, out)
            };
            let (sum, out) = call(run);
            let (expected_sum, expected_out) = call(reference);
            assert_eq!(bits(&sum), bits(&expected_sum));
            assert_close(&out, &expected_out, kernel.tolerance, kernel.name);
            with_threads(|threads| assert_eq!(bits(&call(run).1), bits(&out), "{threads} threads"));
        }
    }
}

#[test]
fn add() {
    for kernel in host_kernels() {
        let Entry::Add { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            let mut numbers = Numbers::new(width as u64);
            let (a, b) = (numbers.normals(tokens * width, 1.0), numbers.normals(tokens * width, 1.0));
            let call = |kernel: fn(AddArgs<'_>)| {
                let mut out = poisoned(tokens * width);
                kernel(AddArgs { a: &a, b: &b, out: &mut out });
                out
            };
            assert_close(&call(run), &call(reference), kernel.tolerance, kernel.name);
        }
    }
}

#[test]
fn silu_mul() {
    for kernel in host_kernels() {
        let Entry::SiluMul { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            // Wide enough to reach both ends of the exponential's range.
            let gate_up = Numbers::new(width as u64).normals(tokens * width * 2, 30.0);
            let call = |run: &dyn Fn(SiluMulArgs<'_>)| {
                let mut out = poisoned(tokens * width);
                run(SiluMulArgs { gate_up: &gate_up, width, out: &mut out });
                out
            };
            let expected = call(&run);
            assert_close(&expected, &call(&reference), kernel.tolerance, kernel.name);
            for vectors in widths() {
                assert_eq!(bits(&call(&|args| silu_mul_at(vectors, args))), bits(&expected), "{vectors:?}");
            }
        }
    }
}

#[test]
fn concat() {
    for kernel in host_kernels() {
        let Entry::Concat { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            let mut numbers = Numbers::new(width as u64);
            let widths = [width, 1, 2 * width];
            let parts = widths.map(|width| numbers.normals(tokens * width, 1.0));
            let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
            for count in 2..=3 {
                let width = widths[..count].iter().sum();
                let call = |kernel: fn(ConcatArgs<'_>)| {
                    let mut out = poisoned(tokens * width);
                    kernel(ConcatArgs { parts: &parts[..count], width, out: &mut out });
                    out
                };
                let expected = call(run);
                assert_close(&expected, &call(reference), kernel.tolerance, kernel.name);
                let last = &parts[count - 1][(tokens - 1) * widths[count - 1]..];
                assert_eq!(
                    bits(&expected[tokens * width - last.len()..]),
                    bits(last),
                    "the last row's last part"
                );
            }
        }
    }
}

#[test]
fn gather() {
    for kernel in host_kernels() {
        let Entry::Gather { run, reference } = kernel.entry else { continue };
        for (tokens, width) in SHAPES {
            let mut numbers = Numbers::new(width as u64);
            let x = numbers.normals(tokens * width, 1.0);
            let rows: Vec<u32> = (0..tokens / 2 + 1).map(|_| numbers.next() as u32 % tokens as u32).collect();
            let call = |kernel: fn(GatherArgs<'_>)| {
                let mut out = poisoned(rows.len() * width);
                kernel(GatherArgs { x: &x, width, rows: &rows, out: &mut out });
                out
            };
            assert_close(&call(run), &call(reference), kernel.tolerance, kernel.name);
        }
    }
}

#[test]
fn embed() {
    for kernel in host_kernels() {
        let Entry::Embed { run, reference } = kernel.entry else { continue };
        for format in Format::ALL {
            for layout in Layout::ALL.into_iter().filter(|layout| layout.holds(format, 128)) {
                let mut numbers = Numbers::new(5);
                let table = weight(format, layout, 37, 128, &mut numbers);
                let token_ids: Vec<u32> =
                    (0..300).map(|_| numbers.next() as u32 % 37).chain([0, 36]).collect();
                let call = |kernel: fn(EmbedArgs<'_>), scale| {
                    let (weight, mut out) = (table.view(), poisoned(token_ids.len() * 128));
                    kernel(EmbedArgs { token_ids: &token_ids, weight, scale, out: &mut out });
                    out
                };
                let plain = call(run, 1.0);
                assert_close(&plain, &call(reference, 1.0), kernel.tolerance, kernel.name);
                let scaled: Vec<f32> = plain.iter().map(|x| x * 12.3).collect();
                assert_close(&call(run, 12.3), &scaled, kernel.tolerance, kernel.name);
                assert_close(&call(reference, 12.3), &scaled, kernel.tolerance, kernel.name);
            }
        }
    }
}
