//! The scripts of `kernels/bench`: they are read by their interpreters, and the table is made of what the suite writes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use samp_abi::ElementType;
use samp_gpu_bench::{
    bench::report::{AttentionRow, Ceilings, LinearRow, Report, RowKernelRow, StepRow},
    timing::Timing,
};

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../kernels/bench").join(name)
}

/// What a program prints; `None` where it is not installed, which is said.
fn output(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {args:?}: {error}");
            Some(String::from_utf8(output.stdout).expect("text"))
        }
        Err(error) => {
            eprintln!("SKIPPED: {program} does not run here ({error})");
            None
        }
    }
}

#[test]
fn scripts_are_well_formed() {
    for name in ["peers.py", "table.py"] {
        let path = script(name);
        let read = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
        output("python3", &["-c", read, path.to_str().expect("text")]);
    }
    output("bash", &["-n", script("gpu.sh").to_str().expect("text")]);
}

fn measured() -> Report {
    let timing = Timing { microseconds: 50.0, spread: 0.02, repeats: 9 };
    let ceilings = Ceilings { copy_gbs: 4000.0, matmul_tflops: 800.0, matmul_source: "given".into() };
    let linear = LinearRow {
        model: "llama-3-8b".into(),
        projection: "o".into(),
        format: "nf4".into(),
        activations: ElementType::F16,
        rows: 4096,
        cols: 4096,
        tokens: 1,
        kernel: "linear_nf4_fragments_gemv1".into(),
        blocks: 132,
        timing,
        gbs: 3000.0,
        tflops: 8.0,
        own: true,
        best: true,
        chosen: false,
    };
    let slower = LinearRow { best: false, kernel: "linear_nf4_fragments_mma8".into(), ..linear.clone() };
    let attention = AttentionRow {
        model: "llama-3-8b".into(),
        kv: "fp8".into(),
        heads: [32, 8, 128],
        batch: 8,
        tokens: 1,
        context: 2048,
        splits: 4,
        timing,
        gbs: 2000.0,
        tflops: 1.0,
        own: true,
    };
    let pass = RowKernelRow {
        model: "llama-3-8b".into(),
        kernel: "rms_norm".into(),
        tokens: 16,
        timing,
        gbs: 100.0,
    };
    let step = StepRow {
        what: "decode".into(),
        model: "llama-3-8b".into(),
        recipe: "samp".into(),
        kv: "f16".into(),
        batch: 1,
        context: 512,
        tokens: 1,
        timing: Timing { microseconds: 2000.0, ..timing },
        tokens_per_second: 500.0,
        bytes: 5_000_000_000,
        gbs: 2500.0,
        kernels: vec![],
    };
    Report {
        target: "h200".into(),
        ceilings,
        linear: vec![linear, slower],
        attention: vec![attention],
        passes: vec![pass],
        steps: vec![step],
    }
}

#[test]
fn the_cost_model_gets_times_as_the_runtime_launches() {
    let mut report = measured();
    let faster = Timing { microseconds: 40.0, ..report.linear[0].timing };
    let other = LinearRow { own: false, blocks: 66, timing: faster, ..report.linear[0].clone() };
    report.linear.insert(0, other);
    let prompt = AttentionRow { tokens: 2048, batch: 1, ..report.attention[0].clone() };
    let other = AttentionRow { own: false, splits: 9, timing: faster, ..report.attention[0].clone() };
    report.attention.insert(0, other);
    report.attention.push(prompt);
    let table = report.measured("a test").unwrap();
    assert_eq!(table.source.as_deref(), Some("a test"));
    let times: Vec<_> = table.rows.iter().map(|row| (row.kernel.as_str(), row.shape.tokens)).collect();
    let expected = [
        ("linear_nf4_fragments_gemv1", 1),
        ("linear_nf4_fragments_mma8", 1),
        ("paged_attention_cuda", 8),
        ("paged_attention_cuda", 2048),
    ];
    assert_eq!(times, expected);
    assert!(table.rows.iter().all(|row| row.microseconds == 50.0), "no user gets those of other blocks");
    assert_eq!(table.rows[2].shape.rows, 4096, "32 heads of 128");
    report.attention[1].kv = "f64".into();
    assert!(report.measured("a test").unwrap_err().to_string().contains("found f64"));
}

#[test]
fn the_fastest_on_own_blocks_is_marked() {
    let row = measured().linear.remove(0);
    let at = |microseconds, own| LinearRow {
        own,
        best: false,
        timing: Timing { microseconds, ..row.timing },
        ..row.clone()
    };
    let mut report = Report::default();
    report.add_linear(vec![at(9.0, true), at(3.0, false)]);
    report.add_linear(vec![at(7.0, true), at(8.0, false)]);
    report.add_linear(vec![LinearRow { tokens: 2, ..at(9.0, true) }]);
    let best: Vec<_> = report.linear.iter().map(|row| row.best).collect();
    assert_eq!(best, [false, false, true, false, true]);
}

const PEERS: &str = r#"{"torch": "2.11", "cuda": "13.0", "bitsandbytes": null, "driver": "580", "device": "a GPU",
  "ceilings": {"copy_gbs": 4100, "matmul_tflops": 400},
  "linear": [{"model": "llama-3-8b", "projection": "o", "rows": 4096, "cols": 4096, "tokens": 1,
              "peer": "bitsandbytes nf4", "microseconds": 100}],
  "attention": [{"model": "llama-3-8b", "batch": 8, "tokens": 1, "context": 2048, "peer": "torch sdpa", "microseconds": 75}],
  "absent": {"torch int4": "no such kernel"}}"#;

#[test]
fn the_table_is_made_of_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let [bench, peers, half] = ["bench.json", "peers.json", "half.json"].map(|name| folder.path().join(name));
    measured().write(&bench).unwrap();
    assert_eq!(Report::read(&bench).unwrap(), measured());
    std::fs::write(&peers, PEERS).unwrap();
    std::fs::write(&half, &PEERS[..50]).unwrap();
    let table = script("table.py");
    let paths = [&table, &bench, &half, &peers].map(|path| path.to_str().expect("text"));
    let Some(text) = output("python3", &paths) else { return };
    let row = |start: &str| {
        let line =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in\n{text}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let linear = row("llama-3-8b  o");
    // 75 % of the copy, 2 % of the peers' product, twice as fast as the peer; another kernel would have been chosen.
    let expected =
        ["nf4", "1", "50.0", "3000", "75", "8.0", "2", "2.00", "-", "2", "linear_nf4_fragments_gemv1", "*"];
    assert_eq!(linear[2..], expected);
    assert!(!text.contains("mma8"), "only the fastest is shown");
    assert_eq!(row("llama-3-8b  fp8")[4..], ["50.0", "2000", "50", "1.50", "4"]);
    assert_eq!(row("llama-3-8b  rms_norm")[2..], ["16", "50.0", "100"]);
    assert_eq!(row("decode  llama")[6..], ["2.00", "500.0", "2500", "62"]);
    assert!(text.contains("absent: torch int4: no such kernel"));
    assert!(text.contains("unread: ") && text.contains("half.json"), "{text}");
    assert!(text.contains("a GPU, torch 2.11, cuda 13.0, driver 580;"), "{text}");
}

/// Stands for `samp-gpu`: fails at 70B's decoding, otherwise writes what was measured.
const STUB: &str = r#"#!/usr/bin/env bash
case "$*" in
  *"bench decode --shape llama-3-70b"*) [ -n "${FAILS:-}" ] && { echo "WRONG a kernel"; echo "lost"; exit 2; } ;;
esac
while [ $# -gt 0 ]; do [ "$1" = --json ] && cp "$REPORT" "$2"; shift; done
echo done
"#;
/// Stands for an interpreter without torch.
const NO_TORCH: &str = "#!/usr/bin/env bash\n[ \"$1\" = -c ] && exit 1\nexec python3 \"$@\"\n";

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What gpu.sh prints and exits with, with stubs in place of programs, in a folder with what an earlier run left in `out`.
fn gpu_sh(folder: &Path, python: &str, fails: &str) -> (String, Option<i32>) {
    let [stub, without_torch, report, out] =
        ["samp-gpu", "no-torch", "report.json", "out"].map(|name| folder.join(name));
    program(&stub, STUB);
    program(&without_torch, NO_TORCH);
    measured().write(&report).unwrap();
    fs::create_dir_all(&out).unwrap();
    let mut stale = measured();
    stale.steps[0].recipe = "stale".into();
    for name in ["decode-llama-3-70b.json", "peers.json"] {
        stale.write(&out.join(name)).unwrap();
    }
    let python = if python.is_empty() { without_torch } else { python.into() };
    let mut run = Command::new("bash");
    run.arg(script("gpu.sh")).args([&stub, &folder.join("code"), &out]);
    let output = run.env("PYTHON", python).env("REPORT", report).env("FAILS", fails).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn one_step_that_fails_costs_only_itself() {
    if output("python3", &["--version"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (text, code) = gpu_sh(folder.path(), "", "yes");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAILED    decode-llama-3-70b (exit code 2") && text.contains("WRONG a kernel"));
    for step in ["conformance", "throughput", "bench", "table"] {
        assert!(text.contains(&format!("ok        {step} (")), "{step} in\n{text}");
    }
    for step in ["peers", "plan", "plan-samp"] {
        assert!(text.contains(&format!("left out  {step}: ")), "{step} in\n{text}");
    }
    assert!(text.contains("whole steps") && !text.contains("stale"), "this run's alone:\n{text}");
    let (text, code) = gpu_sh(folder.path(), "", "");
    assert_eq!(code, Some(0), "what is left out is no failure:\n{text}");
}

#[test]
fn without_an_interpreter_the_kernels_are_measured_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (text, code) = gpu_sh(folder.path(), "/nowhere/python3", "");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok        bench (") && text.contains("left out  peers and the printed table"));
    assert!(folder.path().join("out/bench.json").exists());
}

#[test]
fn all_steps_together_take_less_than_ten_minutes() {
    let text = fs::read_to_string(script("gpu.sh")).unwrap();
    let limit = |line: &str| {
        let mut words = line.split_whitespace();
        words
            .next()
            .filter(|word| ["step", "plan", "bench"].contains(word))
            .and(words.nth(1))?
            .parse::<u32>()
            .ok()
    };
    let limits: Vec<u32> = text.lines().filter_map(limit).collect();
    let sum: u32 = limits.iter().sum();
    assert!(limits.len() == 13 && sum <= 540, "{limits:?}");
    assert!(text.contains(&format!("All limits together are {sum} seconds.")), "{sum}");
}
