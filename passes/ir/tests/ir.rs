//! The graph as its users see it: verifying, printing, parsing, editing, dataflow.

use std::{process::Command, time::Instant};

use samp_abi::plan::RowDim;
use samp_ir::{
    AddOp, Context, Dataflow, Diagnostic, Dtype, Family, GatherOp, LinearOp, LiveRange, Module, OpKind,
    Phase, RmsNormOp, TensorType, WeightOp, filetest, findings, verify,
};

mod graph;

use graph::tiny;

#[test]
fn verifier_cases() {
    let context = Context::new();
    filetest::run("verify", |case| {
        assert_eq!(case.command[0], "verify", "{}", case.file);
        let found = findings(&case.module(&context)?, case.word::<Phase>(1));
        let rendered: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
        Ok(if rendered.is_empty() { "ok".into() } else { rendered.join("\n\n") })
    });
}

#[test]
fn prints_and_parses_to_the_same_text() {
    let context = Context::new();
    let module = tiny(&context, 1);
    verify(&module, Phase::Model).expect("a model graph");
    let text = module.to_string();
    let again = Module::parse(&context, &text, "tiny.mlir").expect("its own text parses");
    assert_eq!(again.to_string(), text);
    insta::assert_snapshot!(text);
}

#[test]
fn mlir_opt_reads_the_dump() {
    let folder = tempfile::tempdir().expect("a folder");
    let [dialect, dump] = ["samp.irdl.mlir", "tiny.mlir"].map(|name| folder.path().join(name));
    std::fs::write(&dialect, Context::dialect()).expect("written");
    let text = tiny(&Context::new(), 2).to_string();
    std::fs::write(&dump, &text).expect("written");
    let mut mlir_opt = Command::new("mlir-opt-22");
    let Ok(output) = mlir_opt.arg(format!("--irdl-file={}", dialect.display())).arg(&dump).output() else {
        eprintln!("skipped: mlir-opt-22 is not installed (apt install mlir-22-tools)");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text.trim());
}

#[test]
fn every_finite_eps_survives_the_text() {
    let context = Context::new();
    for eps in [1e-5, 1.0 / 3.0, 1e-6 + f64::EPSILON, f64::MIN_POSITIVE, 0.0] {
        let mut module = tiny(&context, 0);
        let norm = module.views::<RmsNormOp<'_>>().next().expect("the last norm").id();
        let [x, w] = module.op(norm).operands()[..] else { panic!("a norm has two operands") };
        module.before(norm).rms_norm("other", x, w, eps);
        let again = Module::parse(&context, &module.to_string(), "eps.mlir").expect("parses");
        assert_eq!(
            again.views::<RmsNormOp<'_>>().next().expect("the new norm").eps().to_bits(),
            eps.to_bits()
        );
    }
}

#[test]
fn text_that_is_no_graph_is_refused_without_a_panic() {
    let context = Context::new();
    let good = tiny(&context, 1).to_string();
    let deep = "[".repeat(100_000);
    for text in ["", "\0", "module {", "loc(\"\")", "ML", "// only words", "module {} module {}", &deep] {
        let finding = Module::parse(&context, text, "bad.mlir").expect_err(text);
        assert_eq!(finding.family, Family::BadInput);
        assert!(finding.location.file.is_some(), "{finding}");
    }
    // Cut anywhere, the text is refused, or (only after its last bracket) whole.
    for end in (0..good.trim_end().len()).step_by(7) {
        assert!(Module::parse(&context, &good[..end], "cut.mlir").is_err(), "cut at {end}");
    }
}

#[test]
fn dead_ops_go_in_one_sweep_and_the_living_stay() {
    let context = Context::new();
    let mut module = tiny(&context, 1);
    assert_eq!(module.eliminate_dead_ops(), 0);
    // Return the normed embedding instead of the logits: head and layer die, and what only they used.
    let embedded = module.ops().find(|op| op.kind() == OpKind::Embed).expect("the embedding").result(0);
    let gather = module.views::<GatherOp<'_>>().next().expect("the gather").id();
    module.set_operand(gather, 0, embedded);
    assert!(module.eliminate_dead_ops() > 20);
    let kinds: Vec<&str> = module.ops().map(|op| op.kind().name()).collect();
    let rest = [
        "samp.weight",
        "samp.embed",
        "samp.gather",
        "samp.weight",
        "samp.rms_norm",
        "samp.weight",
        "samp.linear",
    ];
    assert_eq!(kinds, rest);
    verify(&module, Phase::Model).expect("still a model graph");
}

#[test]
fn users_come_in_program_order_each_once() {
    let context = Context::new();
    let module = tiny(&context, 1);
    let norm = module.views::<RmsNormOp<'_>>().next().expect("the first norm").result(0);
    let users: Vec<&str> = module.users(norm).iter().map(|op| op.label()).collect();
    assert_eq!(users, ["q_proj", "k_proj", "v_proj"].map(|p| format!("layers.0.self_attn.{p}")));
    assert_eq!(module.use_count(norm), 3);
    let logits = module.output().expect("an output");
    assert_eq!((module.users(logits).len(), module.use_count(logits)), (0, 1));
}

#[test]
fn the_function_type_follows_what_is_returned() {
    let context = Context::new();
    let mut module = tiny(&context, 0);
    let logits = module.output().expect("an output");
    module.set_dtype(logits, Dtype::F16);
    assert!(module.to_string().contains("-> tensor<?x256xf16> {"));
    let finding = verify(&module, Phase::Model).expect_err("logits are f32");
    assert_eq!(finding.code, "E0211");
    assert_eq!(finding.notes[1], "1 more findings");
    let head = module.defined_by::<LinearOp<'_>>(logits).expect("the head").x();
    module.replace_all_uses(logits, head);
    assert!(module.to_string().contains("-> tensor<?x64xf32> {"));
}

#[test]
fn ops_are_added_where_they_are_wanted() {
    let context = Context::new();
    let mut module = tiny(&context, 0);
    let gather = module.views::<GatherOp<'_>>().next().expect("the gather");
    let (id, x) = (gather.id(), gather.x());
    let mut b = module.before(id);
    let once = b.add("once", x, x);
    let twice = b.add("twice", once, once);
    module.set_operand(id, 0, twice);
    let bias = TensorType::vector(256, Dtype::F32);
    module.at_end().weight("unused.bias", &["bias"], &[], bias);
    verify(&module, Phase::Model).expect("a model graph");
    insta::assert_snapshot!(module.to_string());
}

#[test]
#[should_panic(expected = "op 1 was erased; do not keep names of ops across their erasure")]
fn an_erased_op_is_caught() {
    let mut module = tiny(&Context::new(), 0);
    let embed = module.ops().find(|op| op.kind() == OpKind::Embed).expect("the embedding");
    let (id, x) = (embed.id(), embed.result(0));
    let y = module.before(id).add("first", x, x);
    module.replace_all_uses(x, y);
    let add = module.defining_op(y).expect("the sum").id();
    module.set_operand(add, 0, y);
    module.set_operand(add, 1, y);
    module.erase(id);
    assert!(!module.is_alive(id));
    module.tensor_type(x);
}

#[test]
#[should_panic(expected = "samp.embed `embed_tokens` cannot be erased: its result is still used")]
fn a_used_op_is_not_erased() {
    let mut module = tiny(&Context::new(), 0);
    let embed = module.ops().find(|op| op.kind() == OpKind::Embed).expect("the embedding").id();
    module.erase(embed);
}

#[test]
fn a_module_outlives_the_handle_on_its_context() {
    let module = {
        let context = Context::new();
        tiny(&context, 1)
    };
    verify(&module, Phase::Model).expect("a model graph");
}

#[test]
fn eighty_layers_verify_in_well_under_a_second() {
    let context = Context::new();
    let text = tiny(&context, 80).to_string();
    let start = Instant::now();
    let module = Module::parse(&context, &text, "deep.mlir").expect("parses");
    verify(&module, Phase::Model).expect("a model graph");
    let elapsed = start.elapsed();
    eprintln!("{} ops parsed and verified in {elapsed:?}", module.ops().count());
    assert!(elapsed.as_secs_f64() < 1.0, "{elapsed:?}");
}

#[test]
fn live_ranges_reach_from_definition_to_last_use() {
    let context = Context::new();
    let module = tiny(&context, 1);
    let flow = Dataflow::new(&module);
    let order = flow.order();
    let name = |LiveRange { value, start, end }: LiveRange| {
        let label = |position: usize| order.get(position).map_or("the end", |&op| module.op(op).label());
        assert_eq!(module.defining_op(value).map(|op| op.id()), Some(order[start]));
        format!("{} .. {}: {:?}", label(start), label(end), flow.row_dim(value).expect("rows"))
    };
    let ranges: Vec<String> = flow.live_ranges().into_iter().map(name).collect();
    insta::assert_snapshot!(ranges.join("\n"));
    assert!(module.views::<WeightOp<'_>>().all(|w| flow.row_dim(w.value()).is_none()));
    assert_eq!(flow.row_dim(module.inputs().outputs), Some(RowDim::Outputs));
    assert!(!petgraph::algo::is_cyclic_directed(flow.graph()));
    assert_eq!(module.views::<AddOp<'_>>().count(), 2);
}

#[test]
fn diagnostics_serialise_what_they_know() {
    let finding = Diagnostic::unsupported("E0302", "expected hidden_act `silu`, found `gelu`")
        .in_file("config.json")
        .note("samp compiles Llama and Mistral")
        .hint("use a checkpoint of one of these")
        .warning();
    insta::assert_snapshot!(serde_json::to_string_pretty(&finding).expect("plain data"));
    insta::assert_snapshot!("rendered", finding);
}
