//! What is refused, and what is left behind.

use super::*;
use disk::DiskSpace;
use samp_runtime::EngineError;

fn refusal(change: impl FnOnce(&mut PlanSpec)) -> EmitError {
    let mut fixture = Fixture::new();
    change(&mut fixture.spec);
    let refusal = fixture.emit("plan", 2, &Silent).unwrap_err();
    assert!(!fixture.path("plan").exists() && !fixture.path(".plan.partial").exists());
    refusal
}

#[test]
fn what_cannot_be_done_is_refused_before_work_begins() {
    let outliers = refusal(|spec| spec.tensors[2].format = Format::Int8 { outliers: true });
    assert!(matches!(outliers, EmitError::OutlierStatistics(_)), "{outliers}");
    let narrow = refusal(|spec| {
        spec.tensors[1].format = Format::Nf4;
        spec.tensors[1].cols = 96;
    });
    assert!(matches!(narrow, EmitError::Encode { .. }), "{narrow}");
    let missing = refusal(|spec| spec.tensors[0].sources[0].name = "nowhere".into());
    assert!(
        missing.to_string().contains("`nowhere`: expected BF16 [64, 128], found no such tensor"),
        "{missing}"
    );
    let shape = refusal(|spec| spec.tensors[2].sources[0].shape = vec![25, COLS]);
    assert!(shape.to_string().contains("[50, 128]"), "{shape}");
    let dtype = refusal(|spec| spec.tensors[0].sources[0].dtype = ElementType::F32);
    assert!(dtype.to_string().contains("expected F32 [64, 128], found BF16"), "{dtype}");
    let twice = refusal(|spec| spec.tensors[1].name = "norm".into());
    assert!(matches!(twice, EmitError::Mismatch { .. }), "{twice}");
}

#[test]
fn a_tensor_that_cannot_be_encoded_leaves_nothing() {
    let fixture = Fixture::new();
    let path = fixture.path("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&half::bf16::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let refusal = fixture.emit("plan", 2, &Silent).unwrap_err();
    assert!(matches!(refusal, EmitError::NotFinite { .. }), "{refusal}");
    assert!(!fixture.path("plan").exists() && !fixture.path(".plan.partial").exists());
}

#[test]
fn a_plan_that_fails_its_probe_is_not_published() {
    let fixture = Fixture::new();
    let refusal = |probe: &Probe<'_>| {
        let out = fixture.path("plan");
        let progress = &Silent;
        let options = EmitOptions {
            out: &out,
            force: false,
            threads: 1,
            memory_budget: 0,
            progress,
            probe,
            encoded_weights: None,
            certificate: "{}",
        };
        let refusal = emit(&fixture.spec, &fixture.checkpoint(), &options).unwrap_err();
        assert!(!out.exists());
        refusal.to_string()
    };
    let not_started = || EngineError::TooManySequences { limit: 0 };
    assert!(refusal(&|_, _, _| Err(not_started().into())).contains(&not_started().to_string()));
    let nan = vec![vec![f32::NAN; VOCAB as usize]; 2];
    assert!(refusal(&|_, _, _| Ok(unrounded(nan.clone()))).contains("not finite"));
    assert!(refusal(&|_, _, _| Ok(unrounded(vec![vec![0.0; 3]; 2]))).contains("shape"));
}

#[test]
fn a_checkpoint_that_changes_meanwhile_is_refused() {
    struct Touch(PathBuf);
    impl Progress for Touch {
        fn begin(&self, stage: &str, _: u64) {
            if stage != "syncing" {
                return;
            }
            let file = fs::File::options().write(true).open(&self.0).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    }
    let fixture = Fixture::new();
    let refusal = fixture.emit("plan", 1, &Touch(fixture.path("model.safetensors"))).unwrap_err();
    assert!(matches!(refusal, EmitError::Import(_)), "{refusal}");
    assert!(!fixture.path("plan").exists());
}

#[test]
fn a_full_disk_is_named_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let space = DiskSpace { target: "plan".into(), bytes: 1 << 60 };
    let refusal = space.check(folder.path(), false).unwrap_err();
    let EmitError::NoSpace { needed, free, .. } = refusal else { panic!("{refusal}") };
    assert!(needed > 1 << 60 && free > 0 && free < 1 << 60);
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = EmitError::Io { action: "writing", path: "x".into(), source: full };
    let explained = space.explain(error, folder.path(), true);
    assert!(matches!(explained, EmitError::NoSpace { .. }) && explained.can_continue(), "{explained}");
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_work_begins() {
    let mut fixture = Fixture::new();
    fixture.spec.carried[0] = CarriedFile::at("config.json", fixture.path("huge"));
    fs::File::create(fixture.path("huge")).unwrap().set_len(8 << 40).unwrap();
    let refusal = fixture.emit("plan", 1, &Silent).unwrap_err();
    assert!(matches!(refusal, EmitError::NoSpace { begun: false, .. }), "{refusal}");
    assert!(!fixture.path("plan").exists() && !fixture.path(".plan.partial").exists());
}

#[test]
fn every_error_has_a_code_of_its_own() {
    let io = || std::io::Error::other("x");
    let text = String::new;
    let errors = [
        EmitError::Exists("x".into()),
        EmitError::NotReplaceable { path: "x".into(), expected: "x" },
        EmitError::BadTarget("x".into(), "x".into()),
        EmitError::Locked { output: "x".into(), process: Some(7) },
        EmitError::NoSpace { path: "x".into(), needed: 1, free: 0, begun: false },
        EmitError::Mismatch { tensor: text(), expected: text(), found: text() },
        EmitError::OutlierStatistics(text()),
        refusal(|spec| (spec.tensors[1].format, spec.tensors[1].cols) = (Format::Nf4, 96)),
        EmitError::Probe(ProbeError::Shape),
        EmitError::Interrupted,
        EmitError::Io { action: "x", path: "x".into(), source: io() },
        EmitError::NotExportable { path: "x".into(), why: text() },
    ];
    let codes: std::collections::BTreeSet<&str> = errors.iter().map(EmitError::code).collect();
    assert_eq!(codes.len(), errors.len());
    assert!(codes.iter().all(|code| code.len() == 5 && code.starts_with("E07")), "{codes:?}");
    let finding = crate::import::Checkpoint::open(Path::new("/nowhere")).map(drop).unwrap_err();
    assert_eq!(EmitError::from(finding.clone()).code(), finding.code);
}
