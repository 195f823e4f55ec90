//! The Python package: its wheel is built and installed into a fresh environment, and its own tests run on a plan.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::harness::{Harness, ok, root, samp, text};

/// The environment that builds the wheel, kept from one run to the next.
const BUILDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/python-builder");

/// What a command says, or why it failed.
pub fn ran(command: &mut Command) -> Result<String, String> {
    match command.output() {
        Ok(Output { status, stdout, .. }) if status.success() => Ok(text(&stdout)),
        Ok(Output { stdout, stderr, .. }) => Err(format!("{command:?}\n{}{}", text(&stdout), text(&stderr))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// A new environment of Python in `folder`, if Python is there and new enough.
pub fn environment(folder: &Path) -> Result<PathBuf, String> {
    let python = std::env::var_os("SAMP_PYTHON").unwrap_or_else(|| "python3".into());
    ran(Command::new(&python).args(["-c", "import sys; assert sys.version_info >= (3, 9), sys.version"]))?;
    ran(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?;
    Ok(folder.join("bin/python"))
}

pub fn install(python: &Path, what: &[&str]) -> Result<String, String> {
    ran(Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(what))
}

/// maturin of the pinned version.
fn maturin() -> Result<PathBuf, String> {
    let pins = std::fs::read_to_string(root().join("runtime/python/tests/requirements.txt")).unwrap();
    let pin = pins.lines().find(|line| line.starts_with("maturin==")).expect("maturin is pinned");
    let maturin = Path::new(BUILDER).join("bin/maturin");
    let version = pin.replace("==", " ");
    if ran(Command::new(&maturin).arg("--version")).is_ok_and(|found| found.trim() == version) {
        return Ok(maturin);
    }
    install(&environment(Path::new(BUILDER))?, &[pin])?;
    Ok(maturin)
}

/// Builds the wheel into `folder`, beside the outputs of the other crates.
fn wheel(maturin: &Path, folder: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let mut build = Command::new(maturin);
    build
        .args(["build", "--profile", "dev", "--locked", "--out"])
        .arg(folder)
        .arg("--target-dir")
        .arg(target);
    build.arg("--manifest-path").arg(root().join("runtime/python/Cargo.toml"));
    ran(build.current_dir(root())).unwrap();
    let built = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wheels: Vec<PathBuf> = built.filter(|path| path.extension().is_some_and(|e| e == "whl")).collect();
    let [wheel] = &wheels[..] else { panic!("one wheel was to be built: {wheels:?}") };
    assert!(wheel.to_string_lossy().contains("-abi3-"), "{}", wheel.display());
    wheel.clone()
}

#[test]
fn the_wheel_generates_what_the_command_does() {
    let harness = Harness::new();
    let maturin = match maturin() {
        Ok(maturin) => maturin,
        Err(error) => {
            return eprintln!("SKIPPED: no Python 3.9 with venv, or no registry for maturin: {error}");
        }
    };
    let wheel = wheel(&maturin, &harness.path("wheels"));
    let python = environment(&harness.path("fresh")).unwrap();
    install(&python, &[wheel.to_str().unwrap(), "pytest"]).unwrap();

    let plan = harness.compile("plan", &["--recipe", "samp"]);
    let lines = "import samp\n\
                 model = samp.load('plan')\n\
                 print(model.generate('The parser reads', max_tokens=12))";
    let generated = ran(Command::new(&python).args(["-c", lines]).current_dir(harness.dir.path())).unwrap();
    let plan = plan.to_str().unwrap();
    assert_eq!(
        generated,
        ok(samp(["run", plan, "-p", "The parser reads", "-n", "12", "--temperature", "0"]))
    );

    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(root().join("runtime/python/tests"));
    let said = ran(tests.env("SAMP_PLAN", plan).current_dir(harness.dir.path())).unwrap();
    assert!(said.contains(" passed"), "{said}");

    // Of Python, and of nothing of LLVM's, the module needs what the interpreter brings.
    let find = "import samp._samp; print(samp._samp.__file__)";
    let module = ran(Command::new(&python).args(["-c", find]).current_dir(harness.dir.path())).unwrap();
    let needed = ran(Command::new("readelf").args(["-d", module.trim()])).unwrap().to_lowercase();
    assert!(needed.contains("(needed)"));
    assert!(!["llvm", "mlir", "libpython"].iter().any(|name| needed.contains(name)), "{needed}");
}
