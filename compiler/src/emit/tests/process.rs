//! What only a process of its own can show: a disk that runs full, and how much memory is taken. The test program
//! runs itself again with one test chosen, which works in the folder that the environment names.

use std::{ffi::OsStr, io::Write, process::Command};

use super::*;
use crate::lower::SourceSpec;

/// The folder that the child works in.
const FOLDER: &str = "SAMP_TEST_EMIT_FOLDER";

/// This program with one test chosen.
fn child(test: &str, folder: &Path) -> Command {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(FOLDER, folder);
    command
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Fills the disk at one moment.
struct FillDisk {
    filler: PathBuf,
    when: &'static str,
}

impl FillDisk {
    fn reach(&self, moment: &str) {
        if moment == self.when {
            let mut file = fs::File::create(&self.filler).unwrap();
            for size in [1 << 16, 1 << 12, 1] {
                while file.write_all(&vec![1; size]).is_ok() {}
            }
        }
    }
}

impl Progress for FillDisk {
    fn begin(&self, stage: &str, _: u64) {
        self.reach(stage);
    }

    fn advance(&self, name: &str, _: u64) -> ControlFlow<()> {
        self.reach(name);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_disk_that_runs_full_leaves_no_plan_and_the_work_continues() {
    let fixture = Fixture::new();
    fixture.emit("whole", 1, &Silent).unwrap();
    fs::create_dir(fixture.path("disk")).unwrap();
    let run = child("on_a_disk_that_runs_full", fixture.folder.path());
    let run: Vec<&OsStr> = [run.get_program()].into_iter().chain(run.get_args()).collect();
    let script = r#"mount -t tmpfs -o size=6m none "$0" || exit 77; exec "$@""#;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(fixture.path("disk"))
        .args(run);
    let Ok(output) = unshare.env(FOLDER, fixture.folder.path()).output() else {
        println!("SKIPPED: there is no `unshare` here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("running 1 test") {
        println!("SKIPPED: this machine does not allow mounting a tmpfs");
        return;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// In the child, where `disk` is small.
#[test]
fn on_a_disk_that_runs_full() {
    let Some(folder) = folder() else { return };
    let (mut fixture, disk) = (Fixture::new(), folder.join("disk"));
    fixture.spec.max_file_bytes = 20_000;
    let whole = read_all(&folder.join("whole"));
    for when in ["packing", "layers.0.mlp.gate_up_proj", "syncing", "running the probe"] {
        let filler = disk.join("filler");
        let full = FillDisk { filler: filler.clone(), when };
        let plan = disk.join("plan");
        let refusal = fixture.emit_to(&plan, 1, false, &full).unwrap_err();
        assert!(matches!(refusal, EmitError::NoSpace { begun: true, .. }), "{when}: {refusal}");
        assert!(!plan.exists(), "{when}");
        fs::remove_file(filler).unwrap();
        let resumed = fixture.emit_to(&plan, 1, false, &Silent).unwrap().resumed;
        assert!((when == "packing") == (resumed == 0), "{when}: {resumed}");
        assert!(read_all(&plan) == whole, "{when}");
        fs::remove_dir_all(plan).unwrap();
    }
}

const MEMORY_BUDGET: u64 = 30_000_000;
const MEMORY_THREADS: usize = 4;

/// Ten tensors that would together take four times the budget.
fn large_spec() -> PlanSpec {
    let source =
        |i: u64| SourceSpec { name: format!("t{i}"), dtype: ElementType::Bf16, shape: vec![1024, 4096] };
    let tensor = |i: u64| TensorSpec {
        name: format!("t{i}"),
        transforms: vec![],
        sources: vec![source(i)],
        format: Format::Nf4,
        layout: Layout::Rows16,
        rows: 1024,
        cols: 4096,
    };
    let mut spec = spec(tensors(), vec![]);
    spec.tensors = (0..10).map(tensor).collect();
    spec
}

#[test]
fn memory_stays_within_the_forecast() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path(), &large_spec().tensors);
    let output = child("within_a_memory_budget", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

/// In the child: the peak is measured from the outside, as the kernel counts it.
#[test]
fn within_a_memory_budget() {
    let Some(folder) = folder() else { return };
    let spec = large_spec();
    let before = status("VmRSS:");
    let options = EmitOptions {
        out: &folder.join("plan"),
        force: false,
        threads: MEMORY_THREADS,
        memory_budget: MEMORY_BUDGET,
        progress: &Silent,
        probe: &|_, _, positions| Ok(unrounded(vec![vec![0.0; VOCAB as usize]; positions.len()])),
        encoded_weights: None,
        certificate: "{}",
    };
    emit(&spec, &Checkpoint::open(&folder).unwrap(), &options).unwrap();
    let (peak, forecast) = (status("VmHWM:"), forecast(&spec, MEMORY_THREADS, MEMORY_BUDGET).memory.packing);
    println!("{before} bytes before, {peak} at the peak, {forecast} forecast");
    assert!(peak <= forecast);
    // What is forecast for the process itself is generous. Of the tensors, the allocator may keep some after they are freed.
    assert!(peak - before <= 2 * MEMORY_BUDGET, "{}", peak - before);
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}
