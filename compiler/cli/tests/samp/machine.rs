//! What the machine refuses: memory, threads, large files, permission. It is never the input's fault, or a bug.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use crate::harness::{CACHE, Harness, fails, files, ok, output, samp, text, tiny_llama};

/// A command within a limit of the shell's `ulimit`.
fn limited(limit: &str, command: &Command) -> Command {
    let mut within = Command::new("sh");
    within.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]);
    within.arg(command.get_program()).args(command.get_args()).env("SAMP_CACHE", CACHE);
    within
}

#[test]
fn memory_that_is_refused_is_the_machines_and_the_compile_goes_on() {
    let harness = Harness::new();
    let whole = harness.compile("whole", &[]);
    let (mut refused, mut done) = (0, 0);
    for kilobytes in (100..=1000).step_by(25).map(|megabytes| 1000 * megabytes) {
        let command = harness.compiling("plan", &["--force", "--threads", "2"]);
        let out = output(limited(&format!("-v {kilobytes}"), &command));
        let said = text(&out.stderr);
        match out.status.code() {
            Some(0) => done += 1,
            // The loader itself finds no room.
            Some(127) => assert!(said.contains("shared"), "{kilobytes}: {said}"),
            code => {
                assert_eq!(code, Some(3), "{kilobytes}: {said}");
                assert!(said.contains("memory"), "{kilobytes}: {said}");
                assert!(!said.contains("bug in samp"), "{kilobytes}: {said}");
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {done} done");
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
    crate::harness::assert_same(&whole, &harness.compile("plan", &["--force"]));
}

/// The number of threads is limited (dash calls that -p, bash -u), not memory: where that runs out, whatever comes next may
/// find none. No limit holds for root, so another user runs the commands then.
#[test]
fn threads_that_are_refused_are_the_machines_with_one_code() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    fs::set_permissions(harness.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let compile = harness.compiling("next", &["--threads", "64"]);
    let mut run = samp(["run", "-p", "x", "--threads", "64"]);
    run.arg(&plan);
    for command in [compile, run] {
        let within = |limit: &str| unprivileged(limited(limit, &command));
        if output(within("-t 600")).status.code() == Some(126) {
            println!("SKIPPED: another user cannot run samp here");
            return;
        }
        let _ = fs::remove_dir_all(harness.path("next"));
        let (_, said) = fails(3, within("-p 5 2>/dev/null || ulimit -u 5"));
        assert!(said.starts_with("error[E1417]: a thread cannot be started"), "{said}");
        assert!(said.contains("ask for fewer threads"), "{said}");
        assert!(!harness.path("next").exists());
    }
}

/// The command of another user where root would run it, whom permissions and limits do not hold.
fn unprivileged(mut command: Command) -> Command {
    if rustix::process::geteuid().is_root() {
        command.uid(65534);
    }
    command
}

#[test]
fn a_file_that_may_not_be_so_large_is_an_error_like_any_other() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let (_, said) = fails(3, limited("-f 1000", &harness.compiling("next", &[])));
    assert!(said.contains("E0720") && said.contains("too large"), "{said}");
    assert!(!harness.path("next").exists());
    ok(harness.compiling("next", &[]));
    let folder = harness.path("pages");
    fs::create_dir(&folder).unwrap();
    let mut report = samp(["report", "-o"]);
    report.arg(folder.join("page.html")).arg(&plan);
    fails(3, limited("-f 8", &report));
    assert_eq!(files(&folder), [], "nothing is left of it");
}

#[test]
fn a_cache_that_cannot_be_is_not_the_inputs_fault() {
    let harness = Harness::new();
    let file = harness.path("file");
    fs::write(&file, "").unwrap();
    let mut command = harness.compiling("plan", &["--target", "h100"]);
    command.env_remove("SAMP_CACHE").env_remove("XDG_CACHE_HOME").env("HOME", &file);
    let (_, said) = fails(3, command);
    assert!(said.contains("E0513") && said.contains("SAMP_CACHE"), "{said}");
    assert!(said.contains(&format!("{}/.cache/samp/kernels", file.display())), "{said}");
}

#[test]
fn a_plan_that_may_not_be_read_is_not_found_wanting() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    fs::set_permissions(harness.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let with_plan = |args: &[&str]| {
        let mut command = samp(args);
        command.arg(&plan);
        unprivileged(command)
    };
    let reached = with_plan(&["validate", "--no-probe"]).output();
    if !reached.is_ok_and(|out| out.status.success()) {
        println!("SKIPPED: another user cannot run samp here");
        return;
    }
    for file in ["plan.json", "weights-00001-of-00001.safetensors", "tokenizer.json"] {
        let set = |mode| fs::set_permissions(plan.join(file), fs::Permissions::from_mode(mode)).unwrap();
        set(0o000);
        for args in [&["validate"][..], &["validate", "--json"], &["inspect"]] {
            let (_, said) = fails(3, with_plan(args));
            assert!(said.contains("E1301") && said.contains(file), "{file} {args:?}: {said}");
        }
        set(0o644);
    }
}

#[test]
fn names_that_are_too_long_are_the_inputs_fault_and_said_before_the_work() {
    let harness = Harness::new();
    let long = |length: usize| "n".repeat(length);
    let [impossible, no_room] = [300, 250].map(long);
    for (name, args) in [(&impossible, &[][..]), (&no_room, &[]), (&long(240), &["--calib"])] {
        let mut command = harness.compiling(name, args);
        if !args.is_empty() {
            command.arg(crate::routing::data());
        }
        let (_, said) = fails(2, command);
        assert!(said.contains("E0712") && said.contains("give a shorter one"), "{said}");
    }
    for command in ["validate", "inspect"] {
        let (_, said) = fails(2, samp([Path::new(command), &harness.path(&impossible)]));
        assert!(said.contains("longer than the file system allows"), "{said}");
    }
    let (_, said) =
        fails(2, samp([Path::new("compile"), &tiny_llama(), Path::new("-o"), Path::new(&long(5000))]));
    assert!(said.contains("E0712"), "{said}");
    let plan = harness.compile("plan", &[]);
    let mut report = samp(["report", "-o"]);
    report.arg(harness.path(&impossible)).arg(plan);
    let (_, said) = fails(2, report);
    assert!(said.contains("E0712") && said.contains("too long"), "{said}");
    assert_eq!(fs::read_dir(harness.dir.path()).unwrap().count(), 1, "the plan alone");
}
