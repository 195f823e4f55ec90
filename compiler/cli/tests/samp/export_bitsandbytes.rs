//! Plans exported for bitsandbytes: every value comes back by samp's own import and by the library.

use serde_json::Value;

use crate::{
    export::python_with,
    harness::{Harness, fails, ok},
    other_stacks::{assert_round_trip, compile, exporting, ran},
};

const BITSANDBYTES: [&str; 2] = ["--format", "bitsandbytes"];

#[test]
fn bitsandbytes_come_back_with_every_value() {
    let harness = Harness::new();
    let out = harness.path("exported");
    for formats in [["nf4"; 7], ["fp4"; 7], ["nf4", "nf4", "f16", "nf4", "fp4", "fp4", "bf16"]] {
        let plan = compile(&harness, formats);
        ok(exporting(&plan, &out, &BITSANDBYTES));
        assert_round_trip(&harness, &plan, &out, true);
    }
}

#[test]
fn int8_is_a_place_off_and_other_formats_are_refused() {
    let harness = Harness::new();
    let out = harness.path("exported");
    let plan = compile(&harness, ["int8", "int8", "int8", "int8", "int8", "int8", "int4"]);
    let (_, said) = fails(1, exporting(&plan, &out, &BITSANDBYTES));
    assert!(said.contains("error[E0727]") && said.contains("1/127"), "{said}");
    assert!(said.contains("it has nf4, fp4 and int8 alone") && !out.exists(), "{said}");
    let allowed = [&BITSANDBYTES[..], &["--allow-rounding", "--json"]].concat();
    let report: Value = serde_json::from_str(&ok(exporting(&plan, &out, &allowed))).unwrap();
    for tensor in report["tensors"].as_array().unwrap() {
        let error = tensor["largest_relative_error"].as_f64().unwrap();
        if tensor["formats"][0] == "int8" {
            assert!(error > 0.0 && error < 3e-7, "{tensor}");
        }
    }
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    let description = &config["quantization_config"];
    assert_eq!((&description["load_in_8bit"], &description["load_in_4bit"]), (&true.into(), &false.into()));
    ok(harness.compiling_model(&out, "again", &["--force"]));
}

/// Has bitsandbytes dequantize every weight of 4 bits of the checkpoint that the first argument names, in f32, and compares all
/// values with those of the plain one in the second.
const DEQUANTIZED: &str = r#"
import sys, torch
from bitsandbytes.functional import QuantState, dequantize_4bit
from safetensors.torch import load_file
stored, plain = (load_file(folder + "/model.safetensors") for folder in sys.argv[1:])
values = 0
for name in [name for name in stored if name.endswith(".weight.absmax")]:
    weight = name.removesuffix(".absmax")
    parts = {key[len(weight) + 1:]: value for key, value in stored.items() if key.startswith(weight + ".")}
    state = QuantState.from_dict(parts, device=torch.device("cpu"))
    state.dtype = torch.float32
    want, found = plain[weight], dequantize_4bit(stored[weight], state)
    differing = int((found != want).sum())
    assert found.shape == want.shape and differing == 0, f"{weight}: {differing} of {want.numel()} values differ"
    values += want.numel()
print(values)
"#;

#[test]
fn bitsandbytes_dequantizes_every_value() {
    let Some(python) = python_with("torch, bitsandbytes, safetensors") else {
        return println!("SKIPPED: no Python with torch and bitsandbytes (set SAMP_PYTHON)");
    };
    let harness = Harness::new();
    let (out, plain) = (harness.path("exported"), harness.path("plain"));
    for kind in ["nf4", "fp4"] {
        let plan = compile(&harness, [kind; 7]);
        ok(exporting(&plan, &out, &BITSANDBYTES));
        ok(exporting(&plan, &plain, &[]));
        assert_eq!(ran(&python, DEQUANTIZED, &[&out, &plain]), "5111808", "{kind}");
    }
}
