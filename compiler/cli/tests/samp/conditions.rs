//! What weights are measured and rounded under: said by a recipe, and kept with a profile.

use std::{fs, path::Path};

use crate::{
    harness::{fails, ok, output, samp, text},
    limits::Small,
};

#[test]
fn a_recipe_says_the_quality_passes_and_the_command_line_overrules_it() {
    let small = Small::new();
    let recipe = small.harness.path("recipe.toml");
    let given = recipe.display().to_string();
    let mlir = |name: &str| fs::read_to_string(small.harness.path(name).join("plan.mlir")).unwrap();
    fs::write(&recipe, "name = \"r\"\nkv = \"fp8\"\nquality = [\"fold\", \"refine\"]\n").unwrap();
    let plan = small.plan("recipe", &["--max-bits", "9", "--recipe", &given]);
    assert_eq!(plan.kv.format.to_string(), "fp8_e4m3_tensor");
    let graph = mlir("recipe");
    assert!(graph.contains("fold_columns(") && graph.contains("refine") && !graph.contains("gptq"));
    small.plan("flag", &["--max-bits", "9", "--recipe", &given, "--quality", "gptq"]);
    let graph = mlir("flag");
    assert!(!graph.contains("fold_columns(") && graph.contains("gptq"));
    let (_, error) = fails(2, small.compiling("samp", &["--recipe", "samp"]));
    assert!(error.contains("E0404") && error.contains("measurements decide"), "{error}");
    let (_, error) = fails(2, small.harness.compiling("fixed", &["--recipe", &given]));
    assert!(error.contains("E0412") && error.contains("--calib"), "{error}");
}

/// Measures the small checkpoint on texts.
fn profile(small: &Small, name: &str, texts: &Path, args: &[&str]) -> String {
    let mut measure = samp(["measure", "--quiet", "--record-tokens", "24", "--calib"]);
    let path = small.harness.path(name);
    measure.arg(texts).args(args).arg("-o").arg(&path).arg(&small.model);
    ok(measure);
    path.display().to_string()
}

#[test]
fn profiles_serve_compiles_under_the_conditions_that_they_were_measured_under() {
    let small = Small::new();
    let own = profile(&small, "own.json", &small.texts, &["--quality", "fold,gptq"]);
    let compiling =
        |args: &[&str]| small.compiling("plan", &[&["--max-bits", "9", "--force"], args].concat());
    // Corrections come after what is measured.
    for quality in ["fold,gptq", "fold,correct,gptq"] {
        let out = output(compiling(&["--profile", &own, "--quality", quality]));
        assert!(out.status.success() && !text(&out.stderr).contains("E1106"), "{}", text(&out.stderr));
    }
    for (quality, found) in [
        ("fold,equalize,gptq", "expected fold,equalize, found fold"),
        ("gptq", "expected none, found fold"),
        ("fold,refine", "expected refine, found gptq"),
    ] {
        let (_, error) = fails(2, compiling(&["--profile", &own, "--quality", quality]));
        assert!(error.contains("error[E1101]") && error.contains(found) && error.contains("hint"), "{error}");
    }
    let fewer = small.harness.path("fewer.jsonl");
    let texts = fs::read_to_string(&small.texts).unwrap();
    fs::write(&fewer, texts.lines().take(60).collect::<Vec<_>>().join("\n")).unwrap();
    let other = profile(&small, "other.json", &fewer, &["--quality", "fold,gptq"]);
    let out = output(compiling(&["--profile", &other, "--quality", "fold,gptq"]));
    assert!(out.status.success() && text(&out.stderr).contains("warning[E1106]"), "{}", text(&out.stderr));
    let measured = fs::read_to_string(&other).unwrap();
    let data = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap()["data"].clone();
    let kept = small.certificate("plan")["quality"]["profile"]["data"].clone();
    assert_eq!(kept, data(&measured), "the certificate says what was measured on");
}
