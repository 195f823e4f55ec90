//! A C program, compiled by the system's compiler against `samp.h`, linked to the library, and run on a plan.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use samp_abi::TargetName;
use samp_compiler::{CompileRequest, Precision, compile, lower::recipe};
use samp_runtime::{Message, Prompt, Request, Session, SessionOptions, Silent};

/// The library, which Cargo builds for this test and lays beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libsamp.so");
    assert!(library.is_file(), "{} is missing", library.display());
    library
}

fn ran(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{command:?}\n{}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

fn tiny_llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models/tiny-llama")
}

/// What the runtime itself answers.
fn answer(session: &Session, prompt: Prompt<'_>) -> String {
    let prompt = session.encode(prompt).unwrap();
    let request = Request { prompt, max_tokens: 12, ..Request::default() };
    session.generate(request, |_| ControlFlow::Continue(())).unwrap().text
}

#[test]
fn a_c_program_generates_what_the_runtime_does() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, program) = (folder.path().join("plan"), folder.path().join("generate"));
    let precision = Precision::Recipe(recipe::load("samp").unwrap());
    let request = CompileRequest::new(tiny_llama(), TargetName::Cpu, precision);
    compile(&request.into_plan(&plan), &Silent).unwrap();

    let library = library();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    cc.arg(here.join("tests/generate.c")).arg("-I").arg(here.join("include"));
    cc.arg(&library).arg(format!("-Wl,-rpath,{}", library.parent().unwrap().display()));
    ran(cc.arg("-o").arg(&program));
    let printed = ran(Command::new(&program).arg(&plan));

    let session = Session::open(&plan, SessionOptions::default()).unwrap();
    let prompt = "The parser reads";
    let hello = [Message::new("user", "Hello")];
    let tokens = session.encode(Prompt::Text(prompt)).unwrap();
    let logits = session.logits(&tokens).unwrap();
    let last = logits.row(tokens.len() - 1);
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]).then(b.cmp(&a))).unwrap();
    let expected = format!(
        "next {best} of {} after {}\nversion {}\n{}\n--\n{}\n",
        logits.vocab(),
        tokens.len(),
        env!("CARGO_PKG_VERSION"),
        answer(&session, Prompt::Text(prompt)),
        answer(&session, Prompt::Chat(&hello)),
    );
    assert_eq!(printed, expected);
}

/// What `nm` says of the library's dynamic symbols, and `readelf` of what it needs.
#[test]
fn the_library_shows_its_own_functions_alone_and_links_no_llvm() {
    let library = library();
    let symbols = ran(Command::new("nm").args(["-D", "--defined-only", "-f", "posix"]).arg(&library));
    let names: Vec<&str> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    let foreign: Vec<_> = names.iter().filter(|name| !name.starts_with("samp_")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let header = include_str!("../include/samp.h");
    for name in &names {
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
    }
    assert!(names.len() >= 10, "{names:?}");
    let needed = ran(Command::new("readelf").arg("-d").arg(&library));
    let needed: Vec<&str> = needed.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(!needed.is_empty());
    for line in needed {
        let line = line.to_lowercase();
        assert!(!["llvm", "mlir", "cuda", "python"].iter().any(|name| line.contains(name)), "{line}");
    }
}
