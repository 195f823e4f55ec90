//! Every barrier, wait, fence and bound of every kind of kernel, taken away one at a time: the checked build must miss each.

use samp_emulator::{Edit, FaultKind};
use samp_kernels::cuda::{HEADERS, KERNELS};

use crate::{harness::edited, subjects};

/// What kernels call to wait for others, or to order what they do. `sync` is the barrier that `stream_k.cuh` is given.
const CALLS: [&str; 15] = [
    "block_sync",
    "named_sync",
    "warp_sync",
    "sync",
    "copy_commit",
    "copy_wait",
    "barrier_arrive",
    "barrier_expect",
    "barrier_wait",
    "wgmma_wait",
    "grid_wait",
    "fence_device",
    "fence_async",
    "wgmma_fence",
    "barrier_init_fence",
];

// One kernel of each kind; the others are the same but for the format of weights or of a table.
const GEMV: &str = "linear_nf4_gemv";
const MMA: &str = "linear_nf4_mma";
const WGMMA: &str = "linear_nf4_wgmma";
const WGMMA_FP8: &str = "linear_fp8_fp8_wgmma";
const ATTENTION: [&str; 3] = ["attention_decode", "attention_prefill", "rope_append"];
const ROWS: [&str; 8] =
    ["rms_norm", "add_rms_norm", "silu_mul", "silu_mul_fp8", "add", "gather", "concat", "embed_f32"];
const SAMPLE: &str = "sample";

fn kinds() -> impl Iterator<Item = &'static str> {
    [GEMV, MMA, WGMMA, WGMMA_FP8, SAMPLE].into_iter().chain(ATTENTION).chain(ROWS)
}

/// A file of a kernel with its text, the device's own wrappers left out.
type File = (String, &'static str);

/// The kernel's file and the headers that it includes.
fn files(stem: &str) -> Vec<File> {
    let text = KERNELS.iter().find(|(name, _)| *name == stem).expect("a kernel").1;
    let mut files = vec![(format!("{stem}.cu"), text)];
    let mut next = 0;
    while next < files.len() {
        for header in HEADERS.iter().filter(|header| header.name != "dev.cuh") {
            let included = files[next].1.contains(&format!("#include \"{}\"", header.name));
            if included && files.iter().all(|(name, _)| name != header.name) {
                files.push((header.name.to_owned(), header.text));
            }
        }
        next += 1;
    }
    files
}

/// A call in a file: which, and where it begins and ends.
struct Call {
    name: &'static str,
    start: usize,
    end: usize,
}

/// The end of what stands in brackets at the beginning of a text.
fn end_of_brackets(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, char) in text.char_indices() {
        depth += i32::from(char == '(') - i32::from(char == ')');
        if depth <= 0 {
            return (at > 0).then_some(at + 1);
        }
    }
    None
}

/// Every call of `name` in a text, but for those in comments.
fn calls_of(text: &str, name: &'static str) -> Vec<Call> {
    let call = |(start, _): (usize, &str)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let whole = !before.ends_with(|char: char| char.is_alphanumeric() || char == '_');
        let line = before.rsplit('\n').next().unwrap_or(before);
        // A template's argument holds no brackets.
        let arguments = if after.starts_with('<') { after.find('>')? + 1 } else { 0 };
        let length = end_of_brackets(&after[arguments..])?;
        (whole && !line.contains("//")).then_some(Call {
            name,
            start,
            end: start + name.len() + arguments + length,
        })
    };
    text.match_indices(name).filter_map(call).collect()
}

fn calls(text: &str) -> Vec<Call> {
    CALLS.into_iter().flat_map(|name| calls_of(text, name)).collect()
}

/// What may be found first where a call is missing.
fn expected(name: &str) -> &'static [FaultKind] {
    match name {
        "wgmma_fence" | "barrier_init_fence" => &[FaultKind::Misuse],
        // Waited for in vain, or not at all.
        "barrier_arrive" | "barrier_expect" => &[FaultKind::Deadlock, FaultKind::Race],
        // A barrier may be used before it is there.
        "block_sync" => &[FaultKind::Race, FaultKind::Misuse],
        _ => &[FaultKind::Race],
    }
}

/// Takes every call of a kernel away, one at a time.
#[track_caller]
fn all_are_missed(stem: &str) {
    let case = subjects::cases(stem).swap_remove(0);
    let mut found = vec![];
    for (file, text) in files(stem) {
        for Call { name, start, end } in calls(text) {
            // From the beginning of the file, so that it stands there once.
            let edit = Edit { file: &file, from: &text[..end], to: &text[..start] };
            let place =
                format!("{stem} without `{}`, {file}:{}", &text[start..end], text[..start].lines().count());
            let kind = match edited(&case, edit) {
                Err(error) => Some(error.fault().unwrap_or_else(|| panic!("{place}: {error}")).kind),
                Ok(_) => None,
            };
            println!("{place}: {kind:?}");
            found.push((kind.is_some_and(|kind| expected(name).contains(&kind)), place));
        }
    }
    assert!(!found.is_empty(), "{stem} has no barrier, wait or fence");
    let unnoticed: Vec<&String> = found.iter().filter(|(right, _)| !right).map(|(_, place)| place).collect();
    assert!(unnoticed.is_empty(), "nobody minds, or not as expected: {unnoticed:#?}");
}

#[test]
fn every_file_is_among_the_kinds() {
    let taken: Vec<File> = kinds().flat_map(files).collect();
    for (stem, _) in KERNELS {
        let mut with_calls = files(stem).into_iter().filter(|(_, text)| !calls(text).is_empty());
        assert!(with_calls.all(|file| taken.contains(&file)), "{stem} has a call that no kind has");
    }
}

#[test]
fn of_linears_for_a_few_tokens() {
    all_are_missed(GEMV);
}

#[test]
fn of_linears_on_mma_units() {
    all_are_missed(MMA);
}

#[test]
fn of_linears_on_wgmma_units() {
    all_are_missed(WGMMA);
}

#[test]
fn of_linears_over_fp8_activations() {
    all_are_missed(WGMMA_FP8);
}

#[test]
fn of_attention() {
    ATTENTION.into_iter().for_each(all_are_missed);
}

#[test]
fn of_rows() {
    ROWS.into_iter().for_each(all_are_missed);
}

#[test]
fn of_sample() {
    all_are_missed(SAMPLE);
}

/// What a kernel does to stay within its memory, and what is left of it.
const BOUNDS: [(&str, &str, &str, &str); 24] = [
    (GEMV, "linear_gemv.cuh", "row < ROWS && ", ""),
    (GEMV, "linear_gemv.cuh", "token < tokens ? ((const u32*)x)[i] : 0", "((const u32*)x)[i]"),
    (MMA, "linear_mma.cuh", "first_token + token < tokens && ", ""),
    (MMA, "output.cuh", "if (row >= ROWS) continue;", ""),
    (MMA, "output.cuh", "if (token < tokens) out", "out"),
    (WGMMA, "linear_wgmma.cuh", "first_token + token < tokens;", "true;"),
    (WGMMA, "linear_wgmma.cuh", "wanted < TILES ? wanted : TILES - 1", "wanted"),
    (WGMMA, "output.cuh", "if (row >= ROWS) continue;", ""),
    (WGMMA_FP8, "linear_wgmma.cuh", "first_token + token < tokens;", "true;"),
    (WGMMA_FP8, "output.cuh", "if (row >= ROWS) continue;", ""),
    ("attention_decode", "attention_decode.cu", "if (token >= tokens) return;", ""),
    ("attention_prefill", "attention_prefill.cu", "if (first_row >= rows) return;", ""),
    ("rope_append", "rope_append.cu", "if (token >= tokens) return;", ""),
    ("rope_append", "rope_append.cu", "if (head >= ALL_HEADS) return;", ""),
    ("rms_norm", "row.cuh", "if ((int)blockIdx.x >= tokens) return false;", ""),
    ("rms_norm", "row_norm.cuh", "if (column_of(iter) >= COLS) continue;", ""),
    ("add_rms_norm", "row.cuh", "if (column_of(iter) < COLS) row[iter] = load", "row[iter] = load"),
    ("silu_mul", "silu_mul.cu", "if (at >= (size_t)tokens * COLS) return;", ""),
    ("silu_mul_fp8", "row.cuh", "if ((int)blockIdx.x >= tokens) return false;", ""),
    ("add", "add.cu", "if (at >= (size_t)tokens * COLS) return;", ""),
    ("gather", "gather.cu", "if (i >= count) return;", ""),
    ("concat", "concat.cu", "if (at >= (size_t)tokens * COLS) return;", ""),
    ("embed_f32", "embed.cuh", "if (token >= tokens) return;", ""),
    (SAMPLE, "sample.cu", "if (row >= rows) return;", ""),
];

#[test]
fn of_bounds() {
    for stem in kinds() {
        let mut bounds = BOUNDS.iter().filter(|bound| bound.0 == stem).peekable();
        assert!(bounds.peek().is_some(), "{stem} has no bound");
        let case = subjects::cases(stem).swap_remove(0);
        for (_, file, from, to) in bounds {
            let error = edited(&case, Edit { file, from, to });
            let error = error.map(|_| ()).expect_err(&format!("{stem} without `{from}`"));
            let fault = error.fault().unwrap_or_else(|| panic!("{error}"));
            assert_eq!(fault.kind, FaultKind::Bounds, "{stem} without `{from}`: {error}");
        }
    }
}
