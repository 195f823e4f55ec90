//! What publishing replaces, refuses and leaves behind.

use super::{super::output_kind::PLAN, *};

#[test]
fn publishes_in_one_step_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("plan");
    let staging = Staging::open(&target, PLAN, false).unwrap();
    write_synced(&staging.out().join("plan.json"), b"1").unwrap();
    assert!(!target.exists());
    staging.publish().unwrap();
    assert_eq!(fs::read(target.join("plan.json")).unwrap(), b"1");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn replaces_only_a_plan_and_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("plan");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("thesis.tex"), "years of work").unwrap();
    let open = |force| Staging::open(&target, PLAN, force);
    assert!(matches!(open(false), Err(EmitError::Exists(_))));
    assert!(matches!(open(true), Err(EmitError::NotReplaceable { .. })));
    fs::rename(target.join("thesis.tex"), target.join("plan.json")).unwrap();
    let staging = open(true).unwrap();
    write_synced(&staging.out().join("plan.json"), b"new").unwrap();
    staging.publish().unwrap();
    assert_eq!(fs::read(target.join("plan.json")).unwrap(), b"new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// What somebody else put into a plan's folder is not deleted with it.
#[test]
fn a_plan_with_foreign_files_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let manifest =
        r#"{"schema": "9.0.0", "weights": [{"path": "w"}], "files": [{"path": "kernels/a.cubin"}]}"#;
    let target = plan(folder.path(), "plan", manifest);
    fs::create_dir(target.join("kernels")).unwrap();
    for own in ["w", "kernels/a.cubin", "plan.json.minisig", ".DS_Store", "kernels/Thumbs.db"] {
        fs::write(target.join(own), "").unwrap();
    }
    Staging::open(&target, PLAN, true).unwrap().discard().unwrap();
    for name in ["README.md", ".git", "kernels/notes", "golden.json", "weights-00001-of-00001.safetensors"] {
        let path = target.join(name);
        fs::write(&path, "").unwrap();
        let refused = Staging::open(&target, PLAN, true);
        assert!(
            matches!(&refused, Err(EmitError::ForeignFiles { foreign, .. }) if foreign == &[name]),
            "{refused:?}"
        );
        fs::remove_file(&path).unwrap();
    }
    // What appears while the new plan is made is not deleted either.
    let staging = Staging::open(&target, PLAN, true).unwrap();
    fs::create_dir(target.join("results")).unwrap();
    assert!(matches!(staging.publish(), Err(EmitError::ForeignFiles { .. })));
    assert!(target.join("results").exists());
}

#[test]
fn a_damaged_plan_is_replaced_with_the_files_that_plans_have() {
    let folder = tempfile::tempdir().unwrap();
    let target = plan(folder.path(), "plan", "{ cut sho");
    fs::create_dir(target.join("kernels")).unwrap();
    let usual = [
        "weights-00001-of-00002.safetensors",
        "plan.mlir",
        "golden.json",
        "config.json",
        "kernels/report.json",
    ];
    usual.iter().for_each(|name| fs::write(target.join(name), "").unwrap());
    Staging::open(&target, PLAN, true).unwrap().discard().unwrap();
    fs::write(target.join("thesis.tex"), "years of work").unwrap();
    assert!(matches!(Staging::open(&target, PLAN, true), Err(EmitError::ForeignFiles { .. })));
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("plan");
    let first = Staging::open(&target, PLAN, false).unwrap();
    assert!(matches!(Staging::open(&target, PLAN, false), Err(EmitError::Locked { .. })));
    first.discard().unwrap();
    Staging::open(&target, PLAN, false).unwrap();
}

#[test]
fn a_target_that_appears_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("plan");
    let staging = Staging::open(&target, PLAN, false).unwrap();
    fs::create_dir(&target).unwrap();
    assert!(matches!(staging.publish(), Err(EmitError::Exists(_))));
}

/// A plan that holds `text`, at `folder/name`.
fn plan(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("plan.json"), text).unwrap();
    path
}

#[test]
fn a_target_that_appears_before_the_lock_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let target = plan(folder.path(), "plan", "theirs");
    let (target, partial) = names(&target).unwrap();
    plan(&partial, "out", "left behind");
    fs::write(partial.join("journal"), "stale").unwrap();
    let refused = Staging::enter(target.clone(), partial.clone(), PLAN, false);
    assert!(matches!(refused, Err(EmitError::Exists(_))), "{refused:?}");
    assert!(!partial.exists());
    assert_eq!(fs::read(target.join("plan.json")).unwrap(), b"theirs");
}

#[test]
fn a_published_plan_is_no_failure_though_the_rest_cannot_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let target = plan(folder.path(), "plan", r#"{"files": [{"path": "way"}]}"#);
    // The way to the partial folder leads through the target, so that it is lost once that is replaced.
    let real = folder.path().join("real");
    plan(&real, "out", "new");
    std::os::unix::fs::symlink(&real, target.join("way")).unwrap();
    let partial = target.join("way");
    let lock = lock(&partial, &target).unwrap();
    let staging = Staging { target: target.clone(), partial, kind: PLAN, force: true, _lock: lock };
    staging.publish().unwrap();
    assert_eq!(fs::read(target.join("plan.json")).unwrap(), b"new");
}

#[test]
fn what_a_published_plan_left_behind_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let (target, partial) = names(&plan(folder.path(), "plan", "new")).unwrap();
    let (out, old) = (plan(&partial, "out", "older"), plan(&partial, "old", "old"));
    let staging = Staging::open(&target, PLAN, true).unwrap();
    assert!(!old.exists());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    drop(staging);
    // Unfinished work has a journal, and stays.
    fs::write(partial.join("journal"), "").unwrap();
    fs::write(out.join("weights"), "").unwrap();
    Staging::open(&target, PLAN, true).unwrap();
    assert!(out.join("weights").exists());
}

#[test]
fn a_replacement_interrupted_between_its_renames_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let (target, partial) = names(&folder.path().join("plan")).unwrap();
    plan(&partial, "old", "old");
    assert!(matches!(Staging::open(&target, PLAN, false), Err(EmitError::Exists(_))));
    assert_eq!(fs::read(target.join("plan.json")).unwrap(), b"old");
}

#[test]
fn targets_without_a_name_or_folder_are_refused() {
    for target in ["/", "..", "/nowhere/at/all/plan"] {
        let refused = Staging::open(Path::new(target), PLAN, false);
        assert!(matches!(refused, Err(EmitError::BadTarget(..))), "{target}: {refused:?}");
    }
}
