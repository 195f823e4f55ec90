//! Interrupted compiles, full disks and damaged plans.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{Draws, Harness, assert_same, files, ok, samp, text, tiny_llama};

#[test]
fn killing_a_compile_at_any_moment_leaves_no_plan_or_a_whole_one() {
    let harness = Harness::new();
    let started = Instant::now();
    let whole = harness.compile("whole", &[]);
    let duration = started.elapsed().as_micros() as u64;
    let mut draws = Draws::new(1);
    let (mut killed, mut finished) = (0, 0);
    for round in 0..100 {
        let name = format!("killed-{}", round / 5); // five attempts in a row at the same plan resume each other
        let mut child = harness
            .compiling(&name, &["--force"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(draws.below(duration * 5 / 4)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            finished += 1
        } else {
            killed += 1
        }
        let plan = harness.path(&name);
        if plan.exists() {
            assert_same(&plan, &whole);
        }
    }
    println!("{killed} killed, {finished} had finished");
    assert!(killed >= 30, "only {killed} of 100 compiles were caught running");
    let resumed = harness.compile("killed-0", &["--force"]);
    assert_same(&resumed, &whole);
}

#[test]
fn a_full_disk_leaves_no_plan_and_says_what_is_needed() {
    let harness = Harness::new();
    for kilobytes in [64, 1024, 3072, 5120] {
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k none {dir} && cd {dir} && {samp} compile --quiet {model} -o plan; \
             code=$?; ls -A; exit $code",
            dir = harness.dir.path().display(),
            samp = env!("CARGO_BIN_EXE_samp"),
            model = tiny_llama().display(),
        );
        let Some(out) = in_mount_namespace(&script) else {
            println!("SKIPPED: this machine does not allow mounting a tmpfs");
            return;
        };
        let (listed, message) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(3), "{listed}{message}");
        assert!(!listed.lines().any(|name| name == "plan"), "{listed}");
        assert!(message.contains("space") || message.contains("free"), "{message}");
    }
}

/// Runs a shell script where it may mount; `None` if that is not allowed.
fn in_mount_namespace(script: &str) -> Option<std::process::Output> {
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let allowed = Command::new("unshare")
            .args(flags)
            .args(["mount", "-t", "tmpfs", "none", "/mnt"])
            .output()
            .ok()?;
        if allowed.status.success() {
            return Command::new("unshare").args(flags).args(["sh", "-c", script]).output().ok();
        }
    }
    None
}

/// Every file of the plan, the manifest included, is drawn with equal weight, so that the small ones are not missed.
#[test]
fn ten_thousand_flips_and_truncations_are_all_detected() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &["--recipe", "uniform:nf4"]);
    let originals = files(&plan);
    let mut draws = Draws::new(2);
    for round in 0..10_000 {
        let (name, original) = &originals[draws.below(originals.len() as u64) as usize];
        let path = plan.join(name);
        let damage = damage(original, &mut draws);
        replace(&path, &damage.bytes);
        let findings = samp_runtime::validate(&plan);
        assert!(
            !findings.is_empty(),
            "round {round}: {} in {} was not detected",
            damage.what,
            name.display()
        );
        let opened = samp_runtime::open(&plan).map(drop);
        assert!(opened.is_err(), "round {round}: {} in {} was opened", damage.what, name.display());
        replace(&path, original);
    }
    assert!(samp_runtime::validate(&plan).is_empty());
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
}

struct Damage {
    what: String,
    bytes: Vec<u8>,
}

fn damage(original: &[u8], draws: &mut Draws) -> Damage {
    let mut bytes = original.to_vec();
    if draws.below(10) == 0 {
        let keep = draws.below(original.len() as u64) as usize;
        bytes.truncate(keep);
        return Damage { what: format!("truncation to {keep} bytes"), bytes };
    }
    let bit = draws.below(8 * original.len() as u64);
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    Damage { what: format!("flip of bit {bit}"), bytes }
}

/// Replaces a file by another inode, as a copy would: a mapped file must not change under its reader.
fn replace(path: &Path, bytes: &[u8]) {
    let next = path.with_extension("next");
    std::fs::write(&next, bytes).unwrap();
    std::fs::rename(next, path).unwrap();
}
