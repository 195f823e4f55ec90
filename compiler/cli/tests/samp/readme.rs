//! The examples of the README and of `docs` are what the command really prints: each is run in a folder of its own, in order.
//!
//! A block that is marked `console` holds commands after `$ ` and what they print. `…` alone on a line stands for lines
//! left out; measured times and digests are not compared.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::harness::{CACHE, root, text};

/// One command of a page, and what the page says that it prints.
struct Example {
    command: String,
    printed: Vec<String>,
}

/// The examples of a page, in its order; everything else on it is passed over.
fn examples(page: &str) -> Vec<Example> {
    let mut found: Vec<Example> = vec![];
    let mut inside = false;
    for line in page.lines() {
        match (inside, line) {
            (_, fence) if fence.starts_with("```") => inside = !inside && fence == "```console",
            (true, line) => match (line.strip_prefix("$ samp "), found.last_mut()) {
                (Some(arguments), _) => {
                    found.push(Example { command: format!("samp {arguments}"), printed: vec![] });
                }
                (None, Some(example)) => example.printed.push(line.trim_end().to_owned()),
                (None, None) => panic!("a block of examples starts with `$ samp`, not with `{line}`"),
            },
            _ => {}
        }
    }
    for example in &mut found {
        while example.printed.last().is_some_and(String::is_empty) {
            example.printed.pop();
        }
    }
    found
}

/// Runs a line of shell in `folder`, where `samp` is the built command.
fn run(folder: &Path, line: &str) -> Output {
    let samp = Path::new(env!("CARGO_BIN_EXE_samp")).parent().expect("a folder");
    let path = format!("{}:{}", samp.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("PATH", path).env("SAMP_CACHE", CACHE);
    command.output().expect("sh starts")
}

/// A line without what differs from run to run, the number before a unit of measured time or speed, and without digests,
/// which every change of what is compiled changes.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let timed = |i: usize| words.get(i + 1).is_some_and(|unit| ["ms,", "s,", "tok/s"].contains(unit));
    let masked = |i: usize| timed(i) || words[i].starts_with("blake3:");
    let shown = words.iter().enumerate().map(|(i, word)| if masked(i) { "#" } else { word });
    shown.collect::<Vec<_>>().join(" ")
}

/// Whether `printed` is as the page says, where `…` stands for any number of lines.
fn matches(said: &[String], printed: &[String]) -> bool {
    match said.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == "…" => (0..=printed.len()).any(|n| matches(rest, &printed[n..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|p| masked(p) == masked(line)) && matches(rest, &printed[1..])
        }
    }
}

/// Runs every example of a page and gives those that print something else.
fn check(page: &str) {
    let shown = std::fs::read_to_string(root().join(page)).expect(page);
    let examples = examples(&shown);
    assert!(!examples.is_empty(), "{page} shows nothing");
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(root().join("testdata"), folder.path().join("testdata")).expect("a link");
    let mut wrong = vec![];
    for Example { command, printed: said } in examples {
        let out = run(folder.path(), &command);
        // Warnings and progress go to stderr; so does what a command that fails has to say.
        let all = if out.status.success() || !out.stdout.is_empty() { &out.stdout } else { &out.stderr };
        let mut printed: Vec<String> = text(all).lines().map(|line| line.trim_end().to_owned()).collect();
        while printed.last().is_some_and(String::is_empty) {
            printed.pop();
        }
        if !matches(&said, &printed) {
            wrong.push(format!("$ {command}\n{}\n{}", printed.join("\n"), text(&out.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{page} says otherwise than these:\n{}", wrong.join("\n\n"));
}

#[test]
fn the_readme_shows_what_the_command_prints() {
    check("README.md");
}

#[test]
fn the_page_of_commands_shows_what_they_print() {
    check("docs/cli.md");
}

#[test]
fn an_example_that_prints_something_else_is_noticed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = lines("first\nsecond\n12 tokens, 9.5 tok/s");
    assert!(matches(&lines("first\n…\n12 tokens, 1.0 tok/s"), &printed), "a speed may differ");
    assert!(matches(&lines("…"), &printed));
    assert!(!matches(&lines("first\n…\n13 tokens, 9.5 tok/s"), &printed), "a count may not");
    assert!(!matches(&lines("first\nsecond"), &printed), "nothing may be left out unsaid");
    let page = "```\n$ samp one\n```\n```console\n$ samp two\nx\n\n$ samp three\n```\n";
    let commands: Vec<_> = examples(page).into_iter().map(|e| (e.command, e.printed)).collect();
    let expected = [("samp two", vec!["x"]), ("samp three", vec![])];
    assert_eq!(commands.len(), 2);
    for ((command, printed), (name, lines)) in commands.iter().zip(&expected) {
        assert_eq!((command.as_str(), printed.iter().map(String::as_str).collect()), (*name, lines.clone()));
    }
}

/// What a page links to exists, the README stays short, and every example on it is one that is run.
#[test]
fn the_pages_links_lead_somewhere() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    let shown = readme.lines().filter(|line| line.starts_with("$ samp ")).count();
    assert_eq!(shown, examples(&readme).len(), "every example of the README stands in a `console` block");
    for page in pages() {
        let words = std::fs::read_to_string(&page).expect("a page");
        for target in words.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let linked = page.parent().expect("a folder").join(file);
                assert!(linked.exists(), "{}: {target} leads nowhere", page.display());
            }
        }
    }
}

/// The Markdown pages of the project, its history aside.
fn pages() -> Vec<PathBuf> {
    let folder = |name: &str| std::fs::read_dir(root().join(name)).expect("a folder of pages");
    let found = folder("docs").chain(folder("docs/decisions")).map(|entry| entry.expect("an entry").path());
    let found = found.filter(|page| page.extension().is_some_and(|e| e == "md"));
    found.chain(["README.md", "kernels/bench/results/README.md"].map(|page| root().join(page))).collect()
}

/// The part of a marked word that can be looked for: a path in one of the top folders, up to a name in capitals or a `*`.
fn path_in(word: &str) -> Option<&str> {
    const FOLDERS: [&str; 7] = ["compiler", "docs", "kernels", "passes", "runtime", "testdata", ".ci"];
    let (top, below) = word.split_once('/')?;
    let path = |c: char| c.is_ascii_alphanumeric() || "/._-*".contains(c);
    if !FOLDERS.contains(&top) || !word.chars().all(path) {
        return None;
    }
    let stands_for_any = |part: &str| {
        part.contains('*') || part.split(['.', '_', '-']).any(|p| p.len() > 3 && p == p.to_uppercase())
    };
    let mut length = top.len();
    for part in below.split('/') {
        if stands_for_any(part) && !matches!(part, "README.md") {
            break;
        }
        length += 1 + part.len();
    }
    Some(&word[..length])
}

#[test]
fn the_paths_that_pages_name_exist() {
    let mut gone = vec![];
    for page in pages() {
        let words = std::fs::read_to_string(&page).expect("a page");
        let marked = words.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let missing = marked.filter_map(path_in).filter(|path| !root().join(path).exists());
        gone.extend(missing.map(|path| format!("{}: {path}", page.display())));
    }
    assert!(gone.is_empty(), "{}", gone.join("\n"));
    assert_eq!(path_in("kernels/src/targets/NAME.measured.json"), Some("kernels/src/targets"));
    assert_eq!(path_in("passes/src/gone.rs"), Some("passes/src/gone.rs"));
    assert_eq!(path_in("fast/exact"), None);
}
