//! `samp explain`: what an error code means.

use samp_abi::ErrorCode;

use crate::{
    error_code,
    error_table::{ending, error_table},
    failure::Failure,
    output::{Outcome, print, print_json},
};

/// Say what an error code means and what to do; without a code list all
#[derive(clap::Args)]
pub struct Args {
    /// The code, such as E0902; `902` does too
    code: Option<String>,
    /// Print the entries as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Report {
    codes: Vec<ErrorCode>,
}

/// Looks the code up and prints it.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let table = error_table();
    let chosen = match &args.code {
        None => table,
        Some(asked) => vec![find(&table, asked)?],
    };
    if args.json {
        print_json(&Report { codes: chosen })?;
    } else if args.code.is_some() {
        print(&chosen.iter().map(whole).collect::<String>())?;
    } else {
        print(&chosen.iter().map(|entry| format!("{}  {}\n", entry.code, entry.title)).collect::<String>())?;
    }
    Ok(Outcome::Clean)
}

/// The entry of a code in upper or lower case, with or without its E and leading zeros.
fn find(table: &[ErrorCode], asked: &str) -> Result<ErrorCode, Failure> {
    let digits = asked.trim().trim_start_matches(['E', 'e']);
    let code = format!("E{digits:0>4}");
    table.iter().find(|entry| entry.code == code).copied().ok_or_else(|| {
        let unknown = Failure::new(error_code::UNKNOWN_CODE, format!("there is no error code `{asked}`"));
        let near = nearest(table, &code).into_iter();
        near.fold(unknown, |failure, entry| failure.note(format!("{}: {}", entry.code, entry.title)))
            .hint("`samp explain` lists all codes")
    })
}

/// The three codes nearest to one that is none: by wrong digits, then by number.
fn nearest<'a>(table: &'a [ErrorCode], code: &str) -> Vec<&'a ErrorCode> {
    let distance = |entry: &&ErrorCode| {
        let wrong = entry.code.chars().zip(code.chars()).filter(|(a, b)| a != b).count();
        (
            wrong + entry.code.len().abs_diff(code.chars().count()),
            number_of(entry.code).abs_diff(number_of(code)),
        )
    };
    let mut entries: Vec<&ErrorCode> = table.iter().collect();
    entries.sort_by_key(distance);
    entries.truncate(3);
    entries
}

/// The number in a text that may be no code.
fn number_of(code: &str) -> i64 {
    code.trim_start_matches('E').parse().unwrap_or(0)
}

fn whole(entry: &ErrorCode) -> String {
    format!(
        "{}: {}\n{}\n\n{}\n\n{}\n",
        entry.code,
        entry.title,
        ending(entry),
        entry.explanation,
        entry.remedy
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_written_and_others_are_near() {
        let table = error_table();
        for asked in ["E0902", "e0902", "0902", "902", " E902"] {
            assert_eq!(find(&table, asked).unwrap().code, "E0902", "{asked}");
        }
        let unknown = find(&table, "E0992").unwrap_err();
        assert!(unknown.finding.notes.iter().any(|note| note.starts_with("E0902")), "{unknown}");
        for nonsense in ["", "E", "käse", "-1", "99999999999999999999"] {
            assert_eq!(find(&table, nonsense).unwrap_err().finding.notes.len(), 3, "{nonsense}");
        }
    }
}
