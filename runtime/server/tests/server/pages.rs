//! The examples of the README and of `docs/serving.md` are answered.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::Running;

fn page(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The calls of `curl` to the server that a page shows, each with its continued lines.
fn calls(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let asked = |line: &&str| line.starts_with("curl ") && line.contains("localhost:8000");
    joined.lines().filter(asked).map(str::to_owned).collect()
}

#[test]
fn what_the_pages_show_is_answered() {
    let server = Running::new(&["--served-model-name", "tiny"]);
    for name in ["README.md", "docs/serving.md"] {
        let (path, text) = page(name);
        let calls = calls(&text);
        assert!(!calls.is_empty(), "{} shows no call", path.display());
        for call in calls {
            let call = call.replace("localhost:8000", &server.address.to_string());
            let output =
                match Command::new("sh").args(["-c", &format!("{call} -sS --fail-with-body")]).output() {
                    Ok(output) => output,
                    Err(error) => return eprintln!("SKIPPED: no shell: {error}"),
                };
            if output.status.code() == Some(127) {
                return eprintln!("SKIPPED: curl is not installed");
            }
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("\"finish_reason\":"), "{name}: {call}\n{said}");
        }
    }
}

/// Every flag that the page names is one of the server's.
#[test]
fn the_flags_that_the_page_names_are_there() {
    let (_, text) = page("docs/serving.md");
    let help = Command::new(env!("CARGO_BIN_EXE_samp-server")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let section = text.split("## Limits").nth(1).unwrap().split("## ").next().unwrap();
    let flags = section.split('`').skip(1).step_by(2).filter_map(|code| code.split(' ').next());
    let flags: Vec<&str> = flags.filter(|flag| flag.starts_with("--")).collect();
    assert!(flags.len() > 8, "{flags:?}");
    for flag in flags {
        assert!(help.contains(&format!("{flag} ")), "{flag} is no flag:\n{help}");
    }
}
