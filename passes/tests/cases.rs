//! Runs `testdata/cases/PASS/*.mlir`. The first line of a case says what to run: the pass and its inputs.

use samp_abi::{Format, ScaleAxis, TargetName, plan::Limits};
use samp_ir::{
    Context, Diagnostic, Module, Phase, WeightOp,
    filetest::{self, Case},
    verify, verify_between,
};
use samp_passes::{
    Changed, Constraints, Decision, DeviceMemory, FormatCost, KernelCandidate, KvCost, MemberScales,
    MemoryInputs, Rounding, Selection, Sensitivities, WeightSensitivity, annotate_sensitivity,
    assign_precision, assign_recipe, correct_weights, equalize, fold_norms, fuse_add_rms_norm, fuse_gate_up,
    fuse_qkv, keep_outliers, legal_ops, legalize, narrow_activations, plan_memory,
    recipe::{Recipe, Rule},
    rotate, round_weights, select_kernels, split_linears,
};

/// Runs every case of a folder through `pass` and shows the graph that it leaves.
fn cases(folder: &str, pass: impl Fn(&Case, &mut Module) -> Result<(), Diagnostic>) {
    filetest::run(folder, |case| {
        let mut module = case.module(&Context::new())?;
        pass(case, &mut module)?;
        Ok(module.to_string())
    });
}

#[test]
fn fuse_qkv_cases() {
    cases("fuse_qkv", |_, module| fuse_qkv(module).map(drop));
}

#[test]
fn fuse_gate_up_cases() {
    cases("fuse_gate_up", |_, module| fuse_gate_up(module).map(drop));
}

#[test]
fn fuse_add_rms_norm_cases() {
    cases("fuse_add_rms_norm", |_, module| fuse_add_rms_norm(module).map(drop));
}

/// `narrow_activations TARGET`.
#[test]
fn narrow_activations_cases() {
    cases("narrow_activations", |case, module| {
        narrow_activations(module, case.word(1))?;
        verify(module, Phase::Typed)
    });
}

#[test]
fn fold_norms_cases() {
    cases("fold_norms", |_, module| {
        fold_norms(module)?;
        verify(module, Phase::Fused)
    });
}

#[test]
fn equalize_cases() {
    cases("equalize", |_, module| {
        equalize(module)?;
        verify(module, Phase::Fused)
    });
}

/// `rotate SEED`, norms folded before. A warning stands before the graph.
#[test]
fn rotate_cases() {
    filetest::run("rotate", |case| {
        let mut module = case.module(&Context::new())?;
        fold_norms(&mut module)?;
        let (_, warning) = rotate(&mut module, case.word(1))?;
        verify(&module, Phase::Fused)?;
        Ok(warning.map_or(String::new(), |warning| format!("{warning}\n\n")) + &module.to_string())
    });
}

#[test]
fn correct_weights_cases() {
    cases("correct_weights", |_, module| {
        correct_weights(module)?;
        verify(module, Phase::Fused)
    });
}

/// `annotate_sensitivity KEY FORMAT=NATS…`.
#[test]
fn annotate_sensitivity_cases() {
    cases("annotate_sensitivity", |case, module| {
        let cost = |word: &String| {
            let (format, nats) = word.split_once('=').expect("FORMAT=NATS");
            let (format, nats) = (format.parse().expect("a format"), nats.parse().expect("a number"));
            FormatCost { format, nats, strata: vec![] }
        };
        let formats = case.command[2..].iter().map(cost).collect();
        let weight = WeightSensitivity { key: case.word(1), outliers: vec![], formats, members: vec![] };
        annotate_sensitivity(module, &Sensitivities { weights: vec![weight], strata: vec![] })?;
        verify(module, Phase::Annotated)
    });
}

/// The device bytes that a case is solved for, with the KV cache left open.
fn device() -> DeviceMemory {
    let cache = |format, bytes, nats| KvCost { bytes, loss: FormatCost { format, nats, strata: vec![] } };
    let fp8 = Format::Fp8E4m3(ScaleAxis::Tensor);
    let kv =
        vec![cache(Format::F32, 262_144, 0.0), cache(Format::F16, 131_072, 1e-5), cache(fp8, 65_536, 1.5e-3)];
    DeviceMemory { arena_bytes: 50_000, split_arena_bytes: 60_000, kv }
}

fn decided(module: &Module, most: f64) -> Result<Decision, Diagnostic> {
    let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
    let matrices = module.views::<WeightOp>().filter(|w| w.tensor_type().rows().is_some_and(|rows| rows > 1));
    let weight = |(index, weight): (usize, WeightOp<'_>)| WeightSensitivity {
        key: weight.key().into(),
        outliers: vec![],
        formats: vec![cost(Format::Nf4, 1e-3 * (1 + index) as f64), cost(Format::F16, 0.0)],
        members: vec![],
    };
    let known = Sensitivities { weights: matrices.enumerate().map(weight).collect(), strata: vec![] };
    let constraints = Constraints { device_bytes: Some(most), ..Constraints::default() };
    let selection =
        Selection { target: TargetName::Cpu, buckets: vec![1], kv: Format::F32, context: 64, exact: false };
    assign_precision(module, &known, &constraints, &device(), &selection)
}

/// `assign_precision BYTES…`: what is decided for a device of each size, and why.
#[test]
fn assign_precision_cases() {
    filetest::run("assign_precision", |case| {
        let module = case.module(&Context::new())?;
        let shown = |most: &String| {
            let decision = match decided(&module, most.parse().expect("bytes")) {
                Ok(decision) => decision,
                Err(finding) => return format!("{most} bytes: {finding}\n"),
            };
            assert!(decision.admits(&decision.formats), "a decision is within its own limits");
            assert_eq!(decision.recipe.kv, Some(decision.kv));
            let reasons: String = decision.reasons().iter().map(|reason| format!("  {reason}\n")).collect();
            format!("{most} bytes: {}\n{reasons}", decision.solution.limits[0])
        };
        Ok(case.command[1..].iter().map(shown).collect())
    });
}

/// `round_weights gptq`, or `round_weights refine`.
#[test]
fn round_weights_cases() {
    cases("round_weights", |case, module| {
        let rounding = match case.command[1].as_str() {
            "refine" => Rounding::Refine,
            _ => Rounding::Compensate,
        };
        round_weights(module, rounding)?;
        verify(module, Phase::Typed)
    });
}

/// `keep_outliers KEY=COLUMN,…`: these weights are in int8 with outliers, all others in f32.
#[test]
fn keep_outliers_cases() {
    cases("keep_outliers", |case, module| {
        let measured = |word: &String| {
            let (key, columns) = word.split_once('=').expect("KEY=COLUMN,…");
            let outliers = columns.split(',').filter_map(|column| column.parse().ok()).collect();
            WeightSensitivity { key: key.into(), outliers, formats: vec![], members: vec![] }
        };
        let weights: Vec<WeightSensitivity> = case.command[1..].iter().map(measured).collect();
        for weight in module.views::<WeightOp>().map(|w| w.id()).collect::<Vec<_>>() {
            let key = module.view::<WeightOp>(weight).expect("a weight").key().to_owned();
            let keeps = weights.iter().any(|w| w.key == key);
            module.set_format(weight, if keeps { Format::INT8_OUTLIERS } else { Format::F32 });
        }
        keep_outliers(module, Some(&Sensitivities { weights, strata: vec![] }))?;
        verify(module, Phase::Typed)
    });
}

/// `legalize TARGET [without OP…]`.
#[test]
fn legalize_cases() {
    cases("legalize", |case, module| {
        let target: TargetName = case.word(1);
        let mut legal = legal_ops(target);
        legal.retain(|op| !case.command.iter().skip(2).any(|word| word == op.name()));
        legalize(module, target, &legal).map(drop)?;
        verify(module, Phase::Fused)
    });
}

/// `split_linears PATTERN=FORMAT…`, and what `assign_recipe` then makes of it.
#[test]
fn split_linears_cases() {
    cases("split_linears", |case, module| {
        let recipe = recipe(case);
        let Changed(split) = split_linears(module, &recipe, &MemberScales::default())?;
        verify_between(module, Phase::Annotated, Phase::Typed)?;
        let (_, warnings) = assign_recipe(module, &recipe)?;
        assert_eq!(
            (split_linears(module, &recipe, &MemberScales::default())?, warnings),
            (Changed(0), vec![]),
            "{split} split once"
        );
        verify(module, Phase::Typed)
    });
}

/// The recipe of `PASS PATTERN=FORMAT…`.
fn recipe(case: &Case) -> Recipe {
    let rule = |word: &String| {
        let (pattern, format) = word.split_once('=').expect("PATTERN=FORMAT");
        Rule { pattern: pattern.into(), format: format.parse().expect("a format") }
    };
    Recipe { name: "case".into(), kv: None, rules: case.command[1..].iter().map(rule).collect() }
}

/// `assign_recipe samp`, or `assign_recipe PATTERN=FORMAT…`. A warning stands before the graph.
#[test]
fn assign_recipe_cases() {
    filetest::run("assign_recipe", |case| {
        let mut module = case.module(&Context::new())?;
        let recipe = if case.command[1] == "samp" { Recipe::samp() } else { recipe(case) };
        let (_, warnings) = assign_recipe(&mut module, &recipe)?;
        verify(&module, Phase::Typed)?;
        let warnings: String = warnings.iter().map(|warning| format!("{warning}\n\n")).collect();
        Ok(warnings + &module.to_string())
    });
}

/// `select_kernels TARGET BUCKET…`, activations typed before.
#[test]
fn select_kernels_cases() {
    cases("select_kernels", |case, module| {
        narrow_activations(module, case.word(1))?;
        let selection = Selection {
            target: case.word(1),
            buckets: (2..case.command.len()).map(|i| case.word(i)).collect(),
            kv: Format::F32,
            context: 1024,
            exact: false,
        };
        let (_, explanations) = select_kernels(module, &selection)?;
        let sorted = |candidates: &[KernelCandidate]| candidates.is_sorted_by(|a, b| a.time.0 <= b.time.0);
        assert!(explanations.iter().all(|e| sorted(&e.candidates)), "the cheapest candidate is chosen");
        verify(module, Phase::Selected)
    });
}

/// `plan_memory MAX_TOKENS`.
#[test]
fn plan_memory_cases() {
    cases("plan_memory", |case, module| {
        let limits = Limits { max_tokens: case.word(1), max_sequences: 4, max_context: 128 };
        plan_memory(module, &MemoryInputs { limits, kv_bytes_per_token: 256 }).map(drop)?;
        verify(module, Phase::Planned)
    });
}
