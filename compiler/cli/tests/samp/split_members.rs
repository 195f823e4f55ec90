//! Members of a fused linear in formats of their own: such a plan computes what its weights say, and is checked part by part.

use std::{fs, path::Path};

use samp_abi::{
    Format,
    plan::{MANIFEST_FILE, Op, Plan, seal, unseal},
};

use crate::{
    harness::{Harness, assert_same, fails, ok, root, samp, tiny_llama},
    logits::{largest_difference, saved_logits},
    outlier_checkpoint::write_uneven_checkpoint,
    routing::{certificate, data, routing},
};

/// Queries and values of some layers unlike their keys, and one gate unlike its factor.
const RECIPE: &str = r#"
name = "split"

[[rule]]
match = "*"
format = "f16"

[[rule]]
match = "layers.*"
format = "int8"

[[rule]]
match = "layers.*.v_proj"
format = "f16"

[[rule]]
match = "layers.*.q_proj"
format = "fp8_e4m3"

[[rule]]
match = "layers.1.*.up_proj"
format = "bf16"
"#;

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

pub fn manifest(plan: &Path) -> Plan {
    unseal(&fs::read(plan.join(MANIFEST_FILE)).unwrap(), hash).unwrap()
}

/// The labels of all steps that put parts together.
pub fn joined(plan: &Plan) -> Vec<&str> {
    let joins = plan.program.steps.iter().filter(|step| matches!(step.op, Op::Concat { .. }));
    joins.map(|step| step.label.as_str()).collect()
}

/// Whether the plan, an exact one, computes on both devices what its exported weights compute unquantized and joined.
pub fn computes_what_it_exports(harness: &Harness, plan: &Path, model: &Path) {
    let exported = harness.path("exported");
    ok(samp(["export".as_ref(), "--force".as_ref(), plan.as_os_str(), "-o".as_ref(), exported.as_os_str()]));
    ok(harness.compiling_model(&exported, "again", &["--force", "--recipe", "uniform:f32"]));
    let again = harness.path("again");
    assert_eq!(joined(&manifest(&again)), [""; 0]);
    let expected = saved_logits(harness, &again, "cpu", model);
    for device in ["cpu", "reference"] {
        let difference = largest_difference(&saved_logits(harness, plan, device, model), &expected);
        println!("{} on {device}: {difference:.2e}", model.display());
        assert!(difference <= 1e-3, "{} on {device}: {difference}", model.display());
    }
}

/// Compiles by `RECIPE` and gives the plan's folder.
fn compiled(harness: &Harness, model: &Path) -> std::path::PathBuf {
    let recipe = harness.path("split.toml");
    fs::write(&recipe, RECIPE).unwrap();
    ok(harness.compiling_model(model, "plan", &["--force", "--exact", "--recipe", recipe.to_str().unwrap()]));
    harness.path("plan")
}

#[test]
fn members_of_a_fused_linear_have_formats_of_their_own() {
    let harness = Harness::new();
    for model in [tiny_llama(), root().join("testdata/checkpoints/all-biases")] {
        let plan = compiled(&harness, &model);
        ok(samp(["validate".as_ref(), plan.as_os_str()]));
        let found = manifest(&plan);
        let mut expected: Vec<String> =
            (0..found.model.layers).map(|layer| format!("layers.{layer}.self_attn.qkv_proj")).collect();
        expected.insert(2, "layers.1.mlp.gate_up_proj".into());
        assert_eq!(joined(&found), expected);
        let format = |name: &str| found.tensors.iter().find(|t| t.name == name).map(|t| t.format.to_string());
        let formats =
            ["q_proj", "k_proj", "v_proj"].map(|m| format(&format!("layers.0.self_attn.{m}")).unwrap());
        assert_eq!(formats, ["fp8_e4m3", "int8", "f16"]);
        assert_eq!(
            format("layers.0.mlp.gate_up_proj").unwrap(),
            Format::Int8 { outliers: false }.to_string()
        );
        computes_what_it_exports(&harness, &plan, &model);
    }
}

/// Where a limit on bits leaves something to gain, members of some fused linears get formats of their own.
#[test]
fn a_routed_plan_parts_members_where_that_pays() {
    let harness = Harness::new();
    let args = ["--max-bits", "4.7", "--formats", "nf4,int6,f16", "--exact"];
    let said = ok(routing(&harness, "one", &data(), &[&args[..], &["--explain", "--json"]].concat()));
    ok(routing(&harness, "two", &data(), &[&args[..], &["--threads", "1"]].concat()));
    assert_same(&harness.path("one"), &harness.path("two"));
    let plan = harness.path("one");
    ok(samp(["validate".as_ref(), plan.as_os_str()]));
    let found = manifest(&plan);
    let split = joined(&found);
    println!("split: {split:?}");
    assert!(!split.is_empty());
    let certificate = certificate(&plan);
    assert!(certificate["decoder_linears"]["bits_per_weight"].as_f64().unwrap() <= 4.7);
    let weights = certificate["quality"]["profile"]["weights"].as_array().unwrap();
    let whole = weights.iter().find(|w| w["key"] == split[0]).unwrap();
    let members = whole["parts"].as_array().unwrap();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let decided = report["plans"][0]["decided"]["formats"].as_array().unwrap();
    for member in members {
        let tensor = found.tensors.iter().find(|t| t.name == member["key"].as_str().unwrap()).unwrap();
        assert_eq!(member["rows"], tensor.rows);
        assert!(
            decided.iter().any(|d| d["key"] == member["key"] && d["format"] == tensor.format.to_string())
        );
    }
    // Together they lose what the whole was measured to lose.
    let nats = |of: &serde_json::Value| of["formats"][0]["divergence"]["nats"].as_f64().unwrap();
    let sum: f64 = members.iter().map(nats).sum();
    assert!((sum / nats(whole) - 1.0).abs() < 1e-9, "{sum} of {}", nats(whole));
    let page = harness.path("report.html");
    ok(samp(["report".as_ref(), plan.as_os_str(), "-o".as_ref(), page.as_os_str()]));
    assert!(fs::read_to_string(page).unwrap().contains(members[0]["key"].as_str().unwrap()));
    computes_what_it_exports(&harness, &plan, &tiny_llama());
}

#[test]
fn explained_lowering_says_what_was_split() {
    let harness = Harness::new();
    let recipe = harness.path("split.toml");
    fs::write(&recipe, RECIPE).unwrap();
    let recipe = recipe.to_str().unwrap();
    let said = ok(harness.compiling("plan", &["--dry-run", "--explain", "--recipe", recipe]));
    assert!(said.contains("split_linears: 7 places"), "{said}");
    assert!(said.contains("concat_cpu"), "{said}");
}

#[test]
fn a_difference_names_the_members_of_what_was_split() {
    let harness = Harness::new();
    let split = compiled(&harness, &tiny_llama());
    let whole = harness.compile("whole", &["--recipe", "uniform:int8"]);
    let (said, _) = fails(1, samp(["diff".as_ref(), whole.as_os_str(), split.as_os_str()]));
    let line = |of: &str| said.lines().find(|line| line.starts_with(of)).unwrap_or_default().to_owned();
    let [first, last] = ["qkv_proj", "gate_up_proj"].map(|name| {
        line(&format!("layers.1.{}.{name} ", if name == "qkv_proj" { "self_attn" } else { "mlp" }))
    });
    assert!(first.contains("int8→q: fp8_e4m3, k: int8, v: f16, +"), "{said}");
    assert!(last.contains("int8→gate: int8, up: bf16, +"), "{said}");
    assert!(!said.contains("absent"), "{said}");
}

#[test]
fn exchanged_parts_are_refused() {
    let harness = Harness::new();
    let plan = compiled(&harness, &tiny_llama());
    let sound = manifest(&plan);
    for (first, second) in [(0, 1), (1, 2), (0, 2)] {
        let mut changed = sound.clone();
        let step = changed.program.steps.iter_mut().find(|s| s.label == "layers.0.self_attn.qkv_proj");
        let Op::Concat { parts, .. } = &mut step.unwrap().op else { panic!("split") };
        parts.swap(first, second);
        fs::write(plan.join(MANIFEST_FILE), seal(&changed, hash)).unwrap();
        let (found, _) = fails(1, samp(["validate".as_ref(), plan.as_os_str()]));
        assert!(found.contains("layers.0.self_attn.q_proj, layers.0.self_attn.k_proj"), "{found}");
    }
}

#[test]
fn members_of_other_sizes_lose_no_more_in_nf4() {
    let harness = Harness::new();
    let expected =
        saved_logits(&harness, &harness.compile("plain", &["--recipe", "uniform:f32"]), "cpu", &tiny_llama());
    let [even, uneven] = [1.0f32, 64.0].map(|factor| {
        let (model, name) = (harness.path(&format!("times {factor}")), format!("plan {factor}"));
        write_uneven_checkpoint(&model, factor);
        ok(harness.compiling_model(&model, &name, &["--recipe", "uniform:nf4"]));
        let plan = harness.path(&name);
        let apart = joined(&manifest(&plan)).len();
        let found = saved_logits(&harness, &plan, "cpu", &tiny_llama());
        let squares = found.iter().zip(&expected).map(|(x, y)| f64::from(x - y).powi(2));
        (apart, (squares.sum::<f64>() / found.len() as f64).sqrt())
    });
    println!("parts and error, even: {even:?}, uneven: {uneven:?}");
    assert!(even.0 == 0 && uneven.0 > 0);
    assert!(uneven.1 <= 1.1 * even.1, "{uneven:?} against {even:?}");
}
