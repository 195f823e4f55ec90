//! The scripts of `kernels/bench`: they are read by their interpreters, and the table is made of what the suite writes.

use std::{path::PathBuf, process::Command};

use samp_abi::ElementType;
use samp_gpu::{
    bench::report::{AttentionRow, Ceilings, LinearRow, Report, StepRow},
    clock::Timing,
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
        best: true,
        chosen: false,
    };
    let slower = LinearRow { best: false, kernel: "linear_nf4_fragments_mma8".into(), ..linear.clone() };
    let attention = AttentionRow {
        model: "llama-3-8b".into(),
        kv: "fp8".into(),
        heads: [32, 8, 128],
        batch: 8,
        context: 2048,
        splits: 4,
        timing,
        gbs: 2000.0,
        best: true,
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
        steps: vec![step],
    }
}

#[test]
fn the_cost_model_gets_the_fastest_time_of_every_kernel_and_shape() {
    let mut report = measured();
    let fewer = Timing { microseconds: 75.0, ..report.linear[0].timing };
    report.linear.push(LinearRow { blocks: 66, timing: fewer, ..report.linear[0].clone() });
    let table = report.measured("a test").unwrap();
    assert_eq!(table.source.as_deref(), Some("a test"));
    let times: Vec<_> = table.rows.iter().map(|row| (row.kernel.as_str(), row.microseconds)).collect();
    let expected = [
        ("linear_nf4_fragments_gemv1", 50.0),
        ("linear_nf4_fragments_mma8", 50.0),
        ("paged_attention_cuda", 50.0),
    ];
    assert_eq!(times, expected);
    assert_eq!(table.rows[2].shape.rows, 4096, "32 heads of 128");
    report.attention[0].kv = "f64".into();
    assert!(report.measured("a test").unwrap_err().contains("found f64"));
}

const PEERS: &str = r#"{"torch": "2.11", "device": "a GPU", "ceilings": {"copy_gbs": 4000, "matmul_tflops": 800},
  "linear": [{"model": "llama-3-8b", "projection": "o", "rows": 4096, "cols": 4096, "tokens": 1,
              "peer": "bitsandbytes nf4", "microseconds": 100}],
  "attention": [{"model": "llama-3-8b", "batch": 8, "context": 2048, "peer": "torch sdpa", "microseconds": 75, "gbs": 1}],
  "absent": {"torch int4": "no such kernel"}}"#;

#[test]
fn the_table_is_made_of_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let [bench, peers] = ["bench.json", "peers.json"].map(|name| folder.path().join(name));
    std::fs::write(&bench, serde_json::to_string(&measured()).unwrap()).unwrap();
    std::fs::write(&peers, PEERS).unwrap();
    let table = script("table.py");
    let paths = [&table, &bench, &peers].map(|path| path.to_str().expect("text"));
    let Some(text) = output("python3", &paths) else { return };
    let row = |start: &str| {
        let line =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in\n{text}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let linear = row("llama-3-8b  o");
    // 75 % of the copy, 1 % of the product, twice as fast as the peer; another kernel would have been chosen.
    let expected =
        ["nf4", "1", "50.0", "3000", "75", "8.0", "1", "2.00", "-", "2", "linear_nf4_fragments_gemv1", "*"];
    assert_eq!(linear[2..], expected);
    assert!(!text.contains("mma8"), "only the fastest is shown");
    assert_eq!(row("llama-3-8b  fp8")[4..], ["50.0", "2000", "50", "1.50", "4"]);
    assert_eq!(row("decode  llama")[6..], ["2.00", "500.0", "2500", "62"]);
    assert!(text.contains("absent: torch int4: no such kernel"));
}
