//! OpenAI's own client for Python, in an environment that is made here.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{support::Running, tools};

const PACKAGE: &str = "openai==3.57.0";
const ENVIRONMENT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/openai-client");

fn ran(command: &mut Command) -> Result<String, String> {
    match command.output() {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        }
        Ok(Output { stdout, stderr, .. }) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Err(format!("{command:?}\n{}{}", text(&stdout), text(&stderr)))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// A Python that has the client, kept from one run to the next.
fn python() -> Result<PathBuf, String> {
    let python = Path::new(ENVIRONMENT).join("bin/python");
    let version = PACKAGE.split("==").nth(1).expect("a version");
    let check = format!("import openai; assert openai.__version__ == '{version}'");
    if ran(Command::new(&python).args(["-c", &check])).is_ok() {
        return Ok(python);
    }
    let host = std::env::var_os("SAMP_PYTHON").unwrap_or_else(|| "python3".into());
    ran(Command::new(host).args(["-m", "venv", "--clear", ENVIRONMENT]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
    ran(Command::new(&python).args(pip))?;
    Ok(python)
}

#[test]
fn the_client_for_python_is_served() {
    let python = match python() {
        Ok(python) => python,
        Err(error) => {
            return eprintln!("SKIPPED: no Python with venv, or no registry for {PACKAGE}: {error}");
        }
    };
    let server = Running::new(&["--api-key", "sesame", "--served-model-name", "tiny"]);
    // One sequence at a time and one that waits: whoever comes third is refused.
    let narrow = Running::new(&["--max-num-seqs", "1", "--max-num-queued-reqs", "1"]);
    let (_folder, plan) = tools::tool_plan(tools::HERMES);
    let called = Running::of(&plan, &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/openai_client.py");
    let url = |server: &Running| format!("http://{}", server.address);
    let printed = ran(Command::new(python).arg(script).args([&server, &narrow, &called].map(url))).unwrap();
    assert!(printed.ends_with("all passed\n"), "{printed}");
    server.idle();
}
