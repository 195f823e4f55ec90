//! The error codes of all crates, joined.

use samp_abi::{Cause, ErrorCode};

/// The codes of `samp-server`, whose table alone is part of the command: it does not link the server.
#[path = "../../../runtime/server/src/error_code.rs"]
#[allow(dead_code, reason = "the server gives them, the command explains them")]
mod served;

/// Every code that `samp` can give, in the order of the codes.
pub fn error_table() -> Vec<ErrorCode> {
    let tables = [
        samp_ir::error_code::TABLE,
        samp_passes::error_code::TABLE,
        samp_nvrtc::error_code::TABLE,
        samp_runtime::error_code::TABLE,
        samp_compiler::error_code::TABLE,
        crate::error_code::TABLE,
        served::TABLE,
    ];
    let mut all: Vec<ErrorCode> = tables.concat();
    all.sort_by_key(|entry| entry.code);
    all
}

/// The entry of a code that samp gives.
pub fn find_code(code: &str) -> Option<ErrorCode> {
    error_table().into_iter().find(|entry| entry.code == code)
}

/// The codes by blocks of a hundred, as a Markdown page.
pub fn errors_page() -> String {
    let mut page = String::from("# Errors\n");
    let mut add = |text: &str| page += &format!("\n{}\n", filled(text));
    add(
        "Every error and warning of samp has a code that never changes its meaning; `samp explain E0902` shows what stands \
         here. The cause decides the exit code: 1 the answer is no, 2 wrong use or bad input, 3 the environment, 4 a bug \
         in samp. Where an operation on a file fails, a missing file is input and all else the environment. This page is \
         made from the code: `SAMP_UPDATE_SCHEMAS=1 cargo nextest run -p samp-cli the_page_of_errors`.",
    );
    let mut block = "";
    for entry in error_table() {
        if block.is_empty() || !entry.code.starts_with(block) {
            block = &entry.code[..3];
            add(&format!("## {block}: {}", of(block)));
        }
        add(&format!("### {}: {}", entry.code, entry.title));
        add(&format!("{}. {} {}", ending(&entry), entry.explanation, entry.remedy));
    }
    page
}

/// How a command ends with this error, in a few words.
pub fn ending(entry: &ErrorCode) -> String {
    let cause = match entry.cause {
        _ if entry.title.ends_with("(warning)") => return "A warning; the work goes on".into(),
        Cause::Refusal => "The answer is no",
        Cause::Input => "Wrong use or bad input",
        Cause::Environment => "The environment",
        Cause::Bug => "A bug in samp",
    };
    format!("{cause}; exit code {}", entry.cause.exit_code())
}

/// A text in lines of at most 120 characters; a heading stays one line.
fn filled(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if text.starts_with('#') || line.chars().count() + word.chars().count() < 120 {
            *line += &format!(" {word}");
        } else {
            lines.push(word.into());
        }
    }
    lines.join("\n")
}

/// What a block of codes is about.
fn of(block: &str) -> &'static str {
    match block {
        "E01" => "text of the graph",
        "E02" => "rules of the graph",
        "E03" => "import of checkpoints",
        "E04" => "recipes and assignment",
        "E05" => "kernels and machine code",
        "E06" => "memory planning",
        "E07" => "lowering, emission and export",
        "E08" => "data files and evaluation",
        "E09" => "what a compile is asked for",
        "E10" => "calibration data",
        "E11" => "measuring and the audit",
        "E12" => "certificates, reports and validation",
        "E13" => "what can be wrong with a plan",
        "E14" => "running a plan, and whose it is",
        "E15" => "the command",
        "E16" => "serving a plan",
        _ => "others",
    }
}
