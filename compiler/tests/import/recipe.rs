use samp_abi::{Format, ScaleAxis};
use samp_compiler::{
    import::{import_config, parameters},
    lower::{
        QualityPass,
        recipe::{load, load_measured, parse_measured, parse_recipe, recipe_schema},
    },
};
use samp_ir::Diagnostic;

use crate::{assert_case, report, testdata};

#[test]
fn built_in_names() {
    assert_eq!(load("samp").unwrap().recipe.name, "samp");
    assert_eq!(load("uniform:int4_g64").unwrap().recipe.name, "uniform:int4_g64");
    assert_eq!(load("samp").unwrap().source, "samp");
}

/// Bytes of all weights of a model under a recipe, norms and biases in f32.
fn weight_bytes(config: &str, recipe: &str) -> u64 {
    let config = import_config(&testdata(&format!("configs/{config}.json"))).unwrap();
    let parameters = parameters(&config);
    let (matrices, vectors): (Vec<_>, Vec<_>) = parameters.iter().partition(|p| p.shape.len() == 2);
    let keys: Vec<&str> = matrices.iter().map(|p| p.key.as_str()).collect();
    let formats = load(recipe).unwrap().recipe.resolve(&keys).unwrap();
    let packed: u64 = matrices.iter().zip(formats).map(|(p, f)| f.bytes(p.shape[0], p.shape[1])).sum();
    packed + vectors.iter().map(|p| 4 * p.shape[0]).sum::<u64>()
}

/// The sizes that the arithmetic of the formats gives for Llama-3-70B.
#[test]
fn seventy_billion_parameters() {
    let gigabytes = |recipe: &str| weight_bytes("llama-3-70b", recipe) as f64 / 1e9;
    assert!((gigabytes("samp") - 45.37).abs() < 0.01, "{}", gigabytes("samp"));
    let ends_fp8 = testdata("recipes/nf4-fp8-ends.toml").display().to_string();
    assert!((gigabytes(&ends_fp8) - 37.42).abs() < 0.01, "{}", gigabytes(&ends_fp8));
}

#[test]
fn toml_recipes() {
    let text = "name = \"r\"\nkv = \"fp8\"\n[[rule]]\nmatch = \"*\"\nformat = \"fp8\"\n\
                [[rule]]\nmatch = \"layers.*.mlp.*\"\nformat = \"int4_g64_asym\"\n";
    let recipe = parse_recipe(text, "r.toml").unwrap();
    assert_eq!((recipe.name.as_str(), recipe.kv), ("r", Some(Format::Fp8E4m3(ScaleAxis::Tensor))));
    assert_eq!(recipe.rules[0].format, Format::Fp8E4m3(ScaleAxis::Channel));
    assert_eq!(recipe.rules[1].pattern, "layers.*.mlp.*");
}

/// Where measurements decide, a recipe says the rest.
#[test]
fn measured_recipes() {
    let text = "name = \"r\"\nkv = \"f16\"\nquality = [\"fold\", \"gptq\"]\n";
    let recipe = parse_measured(text, "r.toml").unwrap();
    assert_eq!(recipe.kv, Some(Format::F16));
    assert_eq!(recipe.quality, Some(vec![QualityPass::Fold, QualityPass::Gptq]));
    assert_eq!(parse_measured("name = \"r\"", "r.toml").unwrap().quality, None);
    let value: serde_json::Value = toml::from_str(text).unwrap();
    let schema = serde_json::from_str(&recipe_schema()).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&value));
}

#[test]
fn refused_recipes() {
    let parse = |text: &str| parse_recipe(text, "r.toml").map(drop);
    let named = |spec: &str| load(spec).map(drop);
    let rule = |rule: &str| parse_recipe(&format!("name = \"r\"\n\n[[rule]]\n{rule}\n"), "r.toml");
    let measured = |text: &str| parse_measured(text, "r.toml").map(drop);
    let resolve = |text: &str| -> Result<(), Diagnostic> {
        let keys = ["embed_tokens", "layers.0.self_attn.q_proj", "layers.0.mlp.up_proj"];
        rule(text)?.resolve(&keys).map(drop)
    };
    let cases = [
        ("unknown name", named("sampp")),
        ("unknown uniform format", named("uniform:fp3")),
        ("no TOML", parse("name = ")),
        ("no name", parse("rule = []")),
        ("empty name", parse("name = \"\"\nrule = []")),
        ("no rules", parse("name = \"r\"")),
        ("stray key", parse("name = \"r\"\nfomat = \"nf4\"\nrule = []")),
        ("unknown KV format", parse("name = \"r\"\nkv = \"int8\"\nrule = []")),
        ("unknown format", rule("match = \"*\"\nformat = \"nf5\"").map(drop)),
        ("stray key in a rule", rule("match = \"*\"\nformat = \"nf4\"\ngroup = 64").map(drop)),
        ("rule without a pattern", rule("format = \"nf4\"").map(drop)),
        ("empty pattern", rule("match = \"\"\nformat = \"nf4\"").map(drop)),
        ("unmatched projection", resolve("match = \"layers.*\"\nformat = \"nf4\"")),
        (
            "unused rule",
            resolve("match = \"*\"\nformat = \"nf4\"\n[[rule]]\nmatch = \"lm_head\"\nformat = \"f16\""),
        ),
        ("quality without data", parse("name = \"r\"\nquality = [\"gptq\"]\nrule = []")),
        ("built-in name with data", load_measured("samp").map(drop)),
        ("rules with data", measured("name = \"r\"\n[[rule]]\nmatch = \"*\"\nformat = \"nf4\"")),
        ("unknown pass", measured("name = \"r\"\nquality = [\"spin\"]")),
        ("no rounding", measured("name = \"r\"\nquality = [\"fold\"]")),
        ("rotation alone", measured("name = \"r\"\nquality = [\"rotate\", \"gptq\"]")),
    ];
    assert_case("bad_recipes", &report(cases));
}

/// `docs/recipe.schema.json` is what the code says. `SAMP_UPDATE_SCHEMAS=1` writes it anew.
#[test]
fn schema_is_published() {
    let path = testdata("../docs/recipe.schema.json");
    if std::env::var_os("SAMP_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, recipe_schema()).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(published, recipe_schema(), "run the test with SAMP_UPDATE_SCHEMAS=1 and review the change");
}

#[test]
fn shipped_recipes_satisfy_the_schema() {
    let schema = serde_json::from_str(&recipe_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for entry in std::fs::read_dir(testdata("recipes")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        assert!(validator.is_valid(&value), "{}", path.display());
        parse_recipe(&text, "recipe.toml").unwrap();
    }
}
