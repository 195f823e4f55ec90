//! Interrupted compiles continue, and end in the same bytes.

use super::*;

/// Interrupts after `stop` tensors, lets `meanwhile` happen to the partial folder, and finishes.
fn resumed(
    fixture: &Fixture,
    stop: usize,
    meanwhile: impl FnOnce(&Path),
) -> (usize, BTreeMap<String, Vec<u8>>) {
    let interrupted = fixture.emit("plan", 1, &StopAfter::new(stop));
    assert!(matches!(interrupted, Err(EmitError::Interrupted)));
    assert!(!fixture.path("plan").exists());
    meanwhile(&fixture.path(".plan.partial"));
    let emitted = fixture.emit("plan", 2, &Silent).unwrap();
    let files = read_all(&fixture.path("plan"));
    fs::remove_dir_all(fixture.path("plan")).unwrap();
    (emitted.resumed, files)
}

fn uninterrupted(fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    fixture.emit("whole", 2, &Silent).unwrap();
    read_all(&fixture.path("whole"))
}

#[test]
fn from_every_tensor_on_without_doing_one_again() {
    let fixture = Fixture::new();
    let whole = uninterrupted(&fixture);
    for stop in 1..=fixture.spec.tensors.len() {
        let (taken_over, files) = resumed(&fixture, stop, |_| ());
        assert_eq!(taken_over, stop);
        assert!(files == whole, "stopped after {stop}");
    }
}

#[test]
fn damaged_leftovers_are_made_again() {
    let fixture = Fixture::new();
    let whole = uninterrupted(&fixture);
    let weights = |partial: &Path| partial.join("out/weights-00001-of-00003.safetensors");
    let flip = |path: &Path, at_end: u64| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() - at_end as usize;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let (taken_over, files) = resumed(&fixture, 4, |partial| flip(&weights(partial), 1));
    assert!(taken_over == 3 && files == whole);
    let (taken_over, files) = resumed(&fixture, 4, |partial| flip(&partial.join("journal"), 60));
    assert!(taken_over == 3 && files == whole);
    let (taken_over, files) = resumed(&fixture, 4, |partial| fs::write(weights(partial), "short").unwrap());
    assert!(taken_over < 4 && files == whole);
    let (taken_over, files) =
        resumed(&fixture, 4, |partial| fs::remove_dir_all(partial.join("out")).unwrap());
    assert!(taken_over == 0 && files == whole);
    let (taken_over, files) =
        resumed(&fixture, 4, |partial| fs::write(partial.join("out/stray"), "x").unwrap());
    assert!(taken_over == 4 && files == whole);
}

/// The hashes of the sources go into the manifest, and no byte on disk tells whether they are right.
#[test]
fn a_journal_whose_hash_of_a_source_changed_is_not_believed() {
    let fixture = Fixture::new();
    let whole = uninterrupted(&fixture);
    let (taken_over, files) = resumed(&fixture, 4, |partial| {
        let journal = partial.join("journal");
        let text = fs::read_to_string(&journal).unwrap();
        let at = text.rfind(r#""sources":[""#).unwrap() + r#""sources":[""#.len();
        let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
        fs::write(&journal, format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap();
    });
    assert!(taken_over == 3 && files == whole);
}

#[test]
fn other_inputs_begin_anew() {
    let mut fixture = Fixture::new();
    let stopped = fixture.emit("plan", 1, &StopAfter::new(4));
    assert!(matches!(stopped, Err(EmitError::Interrupted)));
    fixture.spec.tensors[3].format = Format::F16;
    let whole = uninterrupted(&fixture);
    assert_eq!(fixture.emit("plan", 2, &Silent).unwrap().resumed, 0);
    assert!(read_all(&fixture.path("plan")) == whole);

    let stopped = fixture.emit("next", 1, &StopAfter::new(4));
    assert!(matches!(stopped, Err(EmitError::Interrupted)));
    write_checkpoint(fixture.folder.path(), &fixture.spec.tensors);
    assert_eq!(fixture.emit("next", 2, &Silent).unwrap().resumed, 0);
}

/// No weight depends on the checkpoint's name: what was finished under one goes into a plan of another, as a whole.
#[test]
fn under_another_name() {
    let mut fixture = Fixture::new();
    let named = uninterrupted(&fixture);
    fixture.spec.name = Some("interrupted".into());
    assert!(matches!(fixture.emit("plan", 1, &StopAfter::new(3)), Err(EmitError::Interrupted)));
    fixture.spec.name = Some("made-up".into());
    let emitted = fixture.emit("plan", 2, &Silent).unwrap();
    assert_eq!((emitted.resumed, emitted.plan.provenance.name.as_deref()), (3, Some("made-up")));
    assert!(read_all(&fixture.path("plan")) == named);
}
