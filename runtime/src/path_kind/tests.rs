use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use tempfile::TempDir;

use super::{Wanted::*, *};

const RECORDS: Wanted = File("a file of records", &[".jsonl", ".txt"]);

/// A folder with these files, made as they are named; a name that ends in `/` is a folder.
fn folder(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| add(dir.path(), name));
    dir
}

fn add(dir: &Path, name: &str) {
    let path = dir.join(name);
    if name.ends_with('/') {
        return fs::create_dir_all(path).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

/// What is found at `path` below a folder with these files, and the remedy; the folder is `DIR` in both.
fn refused(names: &[&str], path: &str, wanted: Wanted) -> (String, String) {
    said(&folder(names), path, wanted)
}

fn said(dir: &TempDir, path: &str, wanted: Wanted) -> (String, String) {
    let wrong = expect(&dir.path().join(path), wanted).unwrap_err();
    assert!(!wrong.environment, "{wrong}");
    let shown = |text: &str| text.replace(&dir.path().display().to_string(), "DIR");
    (shown(&wrong.found), shown(&wrong.hint))
}

const CHECKPOINT: [&str; 2] = ["m/config.json", "m/model.safetensors"];

#[test]
fn what_is_wanted_is_accepted() {
    let dir = folder(&[&CHECKPOINT[..], &["p/plan.json", "d.jsonl"]].concat());
    for (path, wanted) in [
        ("m", Checkpoint),
        ("m", PlanOrCheckpoint),
        ("p", Plan),
        ("p", PlanOrCheckpoint),
        ("d.jsonl", RECORDS),
    ] {
        expect(&dir.path().join(path), wanted).unwrap();
    }
}

#[test]
fn a_plan_for_a_checkpoint_and_the_reverse_are_told_apart() {
    let (found, hint) = refused(&CHECKPOINT, "m", Plan);
    assert_eq!(
        (found.as_str(), hint.as_str()),
        ("a checkpoint", "compile it first: samp compile DIR/m -o PLAN, then give PLAN")
    );
    let (found, hint) = refused(&["p/plan.json"], "p", Checkpoint);
    assert!(
        found == "a plan" && hint.contains("give the checkpoint") && hint.contains("samp export"),
        "{hint}"
    );
    let (found, hint) = refused(&["m/config.json"], "m", Plan);
    assert!(found == "config.json without weights" && hint.contains("plan.json"), "{found}; {hint}");
}

#[test]
fn files_of_a_folder_lead_to_their_folder() {
    let files = [&CHECKPOINT[..], &["p/plan.json", "m/model.safetensors.index.json"]].concat();
    for (path, wanted, found, hint) in [
        ("m/model.safetensors", Checkpoint, "a file of weights", "give its folder: DIR/m"),
        ("m/model.safetensors.index.json", Checkpoint, "an index of weights", "give its folder: DIR/m"),
        ("p/plan.json", Plan, "a plan's manifest", "give its folder: DIR/p"),
        ("p/plan.json", PlanOrCheckpoint, "a plan's manifest", "give its folder: DIR/p"),
    ] {
        assert_eq!(refused(&files, path, wanted), (found.into(), hint.into()), "{path}");
    }
    let (found, hint) = refused(&files, "p/plan.json", Checkpoint);
    assert!(found == "a plan's manifest" && hint.contains("give the checkpoint"), "{hint}");
}

#[test]
fn folders_in_what_is_wanted_lead_to_the_folder_above() {
    let files =
        [&CHECKPOINT[..], &["m/original/consolidated.00.pth", "p/plan.json", "p/kernels/a.cubin"]].concat();
    for (path, wanted, hint) in [("m/original", Checkpoint, "DIR/m"), ("p/kernels", Plan, "DIR/p")] {
        assert_eq!(refused(&files, path, wanted).1, format!("give the folder above it: {hint}"));
    }
}

#[test]
fn folders_of_plans_and_of_checkpoints_name_what_is_in_them() {
    let plans = ["plans/h100/plan.json", "plans/a100/plan.json", "plans/notes/readme"];
    let expected = ("a folder of 2 plans".into(), "give one of them: DIR/plans/a100, DIR/plans/h100".into());
    assert_eq!(refused(&plans, "plans", Plan), expected);
    let expected = ("a folder with a checkpoint in it".into(), "give that one: DIR/m".into());
    assert_eq!(refused(&CHECKPOINT, "", Checkpoint), expected);
    assert_eq!(refused(&CHECKPOINT, "", PlanOrCheckpoint).1, "give that one: DIR/m");
}

#[test]
fn a_cache_of_the_hub_leads_to_its_snapshot() {
    let files = [
        "models--o--n/snapshots/c0/config.json",
        "models--o--n/snapshots/c1/config.json",
        "models--o--n/blobs/",
    ];
    let dir = folder(&files);
    fs::create_dir(dir.path().join("models--o--n/refs")).unwrap();
    fs::write(dir.path().join("models--o--n/refs/main"), "c0\n").unwrap();
    let (found, hint) = said(&dir, "models--o--n", Checkpoint);
    assert!(found.contains("the hub's cache"), "{found}");
    assert_eq!(hint, "give its snapshot: DIR/models--o--n/snapshots/c0");
}

#[test]
fn adapters_are_to_be_merged() {
    let (found, hint) = refused(&["a/adapter_config.json", "a/adapter_model.safetensors"], "a", Checkpoint);
    assert!(
        found.contains("PEFT adapter") && hint.contains("merge_and_unload") && hint.contains(" DIR/a MERGED"),
        "{hint}"
    );
}

#[test]
fn other_forms_of_weights_say_what_converts_them() {
    for (name, found, hint) in [
        ("q4.gguf", "GGUF", "compile it: samp compile DIR/m/q4.gguf -o PLAN"),
        ("consolidated.00.pth", "Meta", "convert_llama_weights_to_hf --input_dir DIR/m --model_size"),
        (
            "pytorch_model.bin",
            "PyTorch",
            "T.from_pretrained(d).save_pretrained(o)' DIR/m m-hf, then give m-hf",
        ),
        ("pytorch_model.bin.index.json", "PyTorch", "save_pretrained"),
        ("tf_model.h5", "TensorFlow", "in safetensors"),
        ("flax_model.msgpack", "Flax", "in safetensors"),
        ("model.onnx", "ONNX", "in safetensors"),
    ] {
        for (path, files) in
            [("m", vec![format!("m/{name}"), "m/config.json".into()]), ("m/", vec![format!("m/{name}")])]
        {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let said = refused(&files, path, Checkpoint);
            assert!(
                said.0.contains(found) && said.0.contains(name) && said.1.contains(hint),
                "{name}: {said:?}"
            );
        }
        let file = format!("m/{name}");
        let said = refused(&[&file], &file, Checkpoint);
        assert!(said.0.contains(found) && said.1.contains(hint), "{file}: {said:?}");
        expect(&folder(&[&CHECKPOINT[..], &[file.as_str()]].concat()).path().join("m"), Checkpoint).unwrap();
    }
}

/// Whatever a folder is called.
#[test]
fn every_remedy_is_filled_with_paths() {
    for format in &weight_format::WEIGHT_FORMATS {
        let remedy = format.remedy(Path::new("a {out}/x.bin"));
        assert!(!remedy.contains("{folder}") && !remedy.contains("{file}"), "{remedy}");
        assert_eq!(remedy.contains("{out}"), remedy.contains("'a {out}"), "{remedy}");
    }
}

#[test]
fn a_download_that_was_not_finished_says_how_to_go_on() {
    let (found, hint) =
        refused(&["m/config.json", "m/.cache/huggingface/download/a.incomplete"], "m", Checkpoint);
    assert_eq!(found, "a download that is not finished: no weights yet");
    assert!(hint.contains("hf download ORG/NAME --local-dir DIR/m"), "{hint}");
    let snapshot = "models--o--n/snapshots/c0";
    let (_, hint) = refused(&[&format!("{snapshot}/config.json")], snapshot, Checkpoint);
    assert!(hint.contains("hf download o/n takes only"), "{hint}");
}

#[test]
fn names_that_are_not_there_say_where_they_were_looked_for_and_what_is_near() {
    let (found, hint) = refused(&["tiny.plan/plan.json"], "tniy.plan", Plan);
    assert_eq!(
        (found.as_str(), hint.as_str()),
        ("nothing named `tniy.plan` in DIR", "did you mean DIR/tiny.plan?")
    );
    let (found, hint) = refused(&CHECKPOINT, "n/m", Checkpoint);
    assert_eq!((found.as_str(), hint.as_str()), ("nothing named `n` in DIR", Checkpoint.explained()));
    let work = std::env::current_dir().unwrap().display().to_string();
    let wrong = expect(Path::new("nowhere-at-all"), Plan).unwrap_err();
    assert_eq!(wrong.found, format!("nothing named `nowhere-at-all` in the working directory {work}"));
    let wrong = expect(Path::new("src/nowhere-at-all"), Plan).unwrap_err();
    assert_eq!(
        wrong.found,
        format!("nothing named `nowhere-at-all` in src, below the working directory {work}")
    );
    let wrong = expect(Path::new(""), Plan).unwrap_err();
    assert_eq!(
        (wrong.found.as_str(), wrong.hint.as_str()),
        ("an empty path", "a variable of the script may not be set")
    );
    assert!(expect(Path::new("~/m"), Checkpoint).unwrap_err().hint.contains("home"));
}

#[test]
fn a_plan_that_was_begun_can_be_finished() {
    let goes_on = |from: &str| {
        format!(
            "the compile that makes it was not finished: the same samp compile command goes on from DIR/{from}"
        )
    };
    assert_eq!(refused(&[".new.partial/journal"], "new", Plan).1, goes_on(".new.partial"));
    // A name that is nearly so, and the folder itself, are not what is meant.
    let files = ["tiny.calibration.partial/measured-0.jsonl", "tiny2/plan.json"];
    for wanted in [Plan, PlanOrCheckpoint] {
        assert_eq!(refused(&files, "tiny", wanted).1, goes_on("tiny.calibration.partial"));
    }
    assert_eq!(refused(&files[..1], "tiny", Checkpoint).1, Checkpoint.explained());
}

#[test]
fn models_on_the_hub_say_how_they_are_fetched() {
    let wrong = expect(Path::new("some-org/Llama-9-1B"), Checkpoint).unwrap_err();
    let command = "hf download some-org/Llama-9-1B --local-dir Llama-9-1B, then give Llama-9-1B";
    assert!(wrong.hint.ends_with(command), "{wrong}");
}

#[test]
fn links_that_lead_nowhere_say_where_they_point() {
    let dir = folder(&CHECKPOINT);
    symlink("/somewhere/gone", dir.path().join("link")).unwrap();
    assert_eq!(said(&dir, "link", Plan).0, "a link to /somewhere/gone, which is not there");
    assert_eq!(said(&dir, "link/plan", Plan).0, "a link to /somewhere/gone, which is not there");
    symlink("loop", dir.path().join("loop")).unwrap();
    assert_eq!(said(&dir, "loop", Plan).0, "links that lead in a circle");
    symlink("m", dir.path().join("good")).unwrap();
    expect(&dir.path().join("good"), Checkpoint).unwrap();
}

#[test]
fn paths_below_files_empty_folders_and_odd_bytes_are_described() {
    let (found, _) = refused(&["p/plan.json"], "p/plan.json/x", Plan);
    assert_eq!(found, "DIR/p/plan.json, which is a file and no folder");
    assert_eq!(refused(&["p/"], "p", Plan).0, "an empty folder");
    assert_eq!(refused(&["p/b", "p/a"], "p", Plan).0, "a folder with other files: a, b");
    let dir = folder(&[]);
    let odd = dir.path().join(OsStr::from_bytes(b"pl\xffan"));
    assert!(expect(&odd, Plan).unwrap_err().found.contains("nothing named `pl\u{fffd}an`"));
    fs::create_dir(&odd).unwrap();
    assert_eq!(expect(&odd, Plan).unwrap_err().found, "an empty folder");
}

/// Root may look everywhere, so that there the test shows nothing.
#[test]
fn what_may_not_be_looked_at_is_the_environments_fault() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&["closed/p/plan.json"]);
    let closed = dir.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let looked = ["", "p"].map(|path| expect(&closed.join(path), Plan));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    for wrong in
        looked.into_iter().filter_map(Result::err).filter(|wrong| !wrong.found.contains("a folder with"))
    {
        assert!(wrong.environment && wrong.hint.contains("permissions"), "{wrong}");
    }
}

#[test]
fn folders_for_files_name_a_file_in_them() {
    let (found, hint) = refused(&["data/a.jsonl", "data/readme"], "data", RECORDS);
    assert_eq!(
        (found.as_str(), hint.as_str()),
        ("a folder with other files: a.jsonl, readme", "give a file in it, such as DIR/data/a.jsonl")
    );
    assert_eq!(
        refused(&["p/plan.json", "p/a.txt"], "p", RECORDS),
        ("a plan".into(), "check the path".into())
    );
    assert_eq!(refused(&["data.jsonl"], "data", RECORDS).1, "did you mean DIR/data.jsonl?");
}
