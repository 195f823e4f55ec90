//! What a finished plan is like.

use super::*;
use crate::{
    certificate::Profile,
    schema::{certificate_schema, plan_schema, profile_schema},
};

#[test]
fn the_number_of_threads_changes_no_byte() {
    let fixture = Fixture::new();
    fixture.emit("one", 1, &Silent).unwrap();
    let one = read_all(&fixture.path("one"));
    for threads in [1, 2, 7] {
        let name = format!("with {threads}");
        fixture.emit(&name, threads, &Silent).unwrap();
        assert!(read_all(&fixture.path(&name)) == one, "{threads} threads");
    }
}

#[test]
fn every_file_is_as_the_manifest_says() {
    let fixture = Fixture::new();
    let emitted = fixture.emit("plan", 2, &Silent).unwrap();
    let (plan, mut files) = (emitted.plan, read_all(&fixture.path("plan")));
    assert_eq!(emitted.bytes, files.values().map(|f| f.len() as u64).sum::<u64>());
    let manifest = files.remove("plan.json").unwrap();
    assert_eq!(samp_abi::plan::unseal(&manifest, hash::blake3_hex).unwrap(), plan);
    for file in &plan.files {
        let bytes = files.remove(&file.path).unwrap();
        assert_eq!((file.bytes, &file.blake3), (bytes.len() as u64, &hash::blake3_hex(&bytes)));
    }
    for part in plan.tensors.iter().flat_map(|t| &t.parts) {
        let bytes = &files[&plan.weights[part.file as usize].path];
        let bytes = &bytes[part.offset as usize..][..part.bytes as usize];
        assert_eq!(part.blake3, hash::blake3_hex(bytes));
    }
    let names: Vec<&String> = plan.weights.iter().map(|w| &w.path).collect();
    assert!(names.len() > 1 && names.iter().copied().eq(files.keys()));
    let carried: Vec<&str> = plan.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(carried, ["certificate.json", "config.json", "golden.json", "plan.mlir"]);
}

#[test]
fn other_readers_of_safetensors_accept_the_weights_files() {
    let fixture = Fixture::new();
    let plan = fixture.emit("plan", 2, &Silent).unwrap().plan;
    for (index, weights) in plan.weights.iter().enumerate() {
        let bytes = fs::read(fixture.path("plan").join(&weights.path)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut pads = file.names().len();
        for (tensor, part) in samp_abi::plan::parts_of_file(&plan.tensors, index as u32) {
            let name = format!("{}.{}", tensor.name, part.component.name());
            let view = file.tensor(&name).unwrap();
            assert_eq!(view.data(), &bytes[part.offset as usize..][..part.bytes as usize], "{name}");
            assert_eq!(view.dtype().to_string(), part.dtype.safetensors_name());
            pads -= 1;
        }
        let pads = (0..pads).flat_map(|n| file.tensor(&format!("__pad.{n}")).unwrap().data());
        assert!(pads.copied().all(|byte| byte == 0));
    }
}

#[test]
fn what_samp_writes_follows_its_published_schema() {
    let fixture = Fixture::new();
    fixture.emit("plan", 2, &Silent).unwrap();
    Profile::empty().write(&fixture.path("plan/profile.json")).unwrap();
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let schemas =
        [("plan", plan_schema()), ("certificate", certificate_schema()), ("profile", profile_schema())];
    for (name, schema) in schemas {
        let path = published.join(format!("{name}.schema.json"));
        if std::env::var_os("SAMP_UPDATE_SCHEMAS").is_some() {
            fs::write(&path, &schema).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text == schema,
            "{path:?} is out of date: run this test with SAMP_UPDATE_SCHEMAS=1 and review it"
        );
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let validator = jsonschema::validator_for(&json(&schema)).unwrap();
        let file = fs::read_to_string(fixture.path("plan").join(format!("{name}.json"))).unwrap();
        let faults: Vec<String> = validator.iter_errors(&json(&file)).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
        assert!(!validator.is_valid(&serde_json::json!({ "schema": "1.0.0" })));
    }
}

#[test]
fn the_certificate_counts_bits_over_the_linears_of_the_decoder() {
    let fixture = Fixture::new();
    let certificate = Certificate::new(&fixture.spec, None, &[]);
    // 50 rows of fp8 in tiles of 16: 64 rows of codes and 50 scales.
    assert_eq!(certificate.decoder_linears.weights, 50 * COLS);
    assert_eq!(certificate.decoder_linears.bytes, 64 * COLS + 50 * 4);
    assert_eq!(certificate.all_tensors.weights, (64 + 1 + 50 + 120 + 1 + 64) * COLS);
    assert_eq!(certificate.tensors[0].size.bits_per_weight, 16.0);
    assert!(serde_json::to_value(&certificate).unwrap()["calibration"].is_null());
}

#[test]
fn the_forecast_is_what_is_written() {
    let fixture = Fixture::new();
    let forecast = forecast(&fixture.spec, 2, DEFAULT_BUDGET);
    let emitted = fixture.emit("plan", 2, &Silent).unwrap();
    assert_eq!(forecast.weights_bytes, emitted.plan.memory.weights_bytes);
    let file = |name: &str| fs::metadata(fixture.path("plan").join(name)).unwrap().len();
    let not_counted = file("plan.json") + file("certificate.json") + file("golden.json");
    assert_eq!(forecast.disk_bytes + not_counted, emitted.bytes);
}

#[test]
fn an_existing_plan_is_replaced_whole_and_only_when_asked() {
    let mut fixture = Fixture::new();
    fixture.emit("plan", 1, &Silent).unwrap();
    let old = read_all(&fixture.path("plan"));
    fixture.spec.max_file_bytes = u64::MAX;
    assert!(matches!(fixture.emit("plan", 1, &Silent), Err(EmitError::Exists(_))));
    let replace = |progress: &dyn Progress| fixture.emit_to(&fixture.path("plan"), 1, true, progress);
    assert!(matches!(replace(&StopAfter::new(3)), Err(EmitError::Interrupted)));
    assert!(read_all(&fixture.path("plan")) == old);
    assert_eq!(replace(&Silent).unwrap().resumed, 3);
    let new = read_all(&fixture.path("plan"));
    assert!(new.contains_key("weights-00001-of-00001.safetensors") && new.len() < old.len());
    assert!(!fixture.path(".plan.partial").exists());
}
