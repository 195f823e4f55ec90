//! Each thing that a manifest decides, changed alone.

use samp_abi::{Component, Format, ScaleAxis};
use samp_abi::{
    ElementType, Layout, TargetName,
    plan::{
        Architecture, Buffer, BufferId, KernelChoice, KvCache, Limits, Memory, Model, Op, Program,
        Provenance, Rope, RowDim, SCHEMA_VERSION, Source, Step, StoredComponent, TensorId,
    },
};

use super::*;

fn choices(kernels: &[(u64, &str)]) -> Vec<KernelChoice> {
    kernels.iter().map(|&(max_tokens, kernel)| KernelChoice { max_tokens, kernel: kernel.into() }).collect()
}

fn tensor(name: &str) -> Tensor {
    let part = StoredComponent {
        component: Component::Values,
        dtype: ElementType::F32,
        shape: vec![1, 8],
        file: 0,
        offset: 0,
        bytes: 32,
        blake3: "aa".into(),
    };
    let (format, layout) = (Format::F32, Layout::RowMajor);
    Tensor { name: name.into(), sources: vec![], format, layout, rows: 1, cols: 8, parts: vec![part] }
}

fn model() -> Model {
    Model {
        architecture: Architecture::LlamaForCausalLM,
        hidden_size: 8,
        intermediate_size: 16,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        vocab_size: 64,
        rope: Rope { inv_frequencies: (0..16).map(f64::from).collect(), rotary_dim: None, scale: 1.0 },
        sliding_window: None,
        full_attention_layers: vec![],
        unturned_layers: vec![],
        embedding_scale: 1.0,
        tied_embeddings: false,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
    }
}

fn plan() -> Plan {
    let step = |label: &str, op| Step { label: label.into(), op, kernels: choices(&[(1, "x"), (16, "y")]) };
    let norm = |x, out| Op::RmsNorm { x: BufferId(x), weight: TensorId(1), eps: 1e-5, out: BufferId(out) };
    let buffer = Buffer { rows: RowDim::Tokens, width: 8, dtype: ElementType::F32, offset: 0, bytes: 512 };
    let file = |path: &str| PlainFile { path: path.into(), bytes: 1, blake3: "bb".into() };
    let embed = Op::Embed { weight: TensorId(0), out: BufferId(0) };
    Plan {
        schema: SCHEMA_VERSION,
        digest: String::new(),
        target: TargetName::Cpu,
        model: model(),
        limits: Limits { max_tokens: 16, max_sequences: 2, max_context: 64 },
        kv: KvCache { format: Format::Fp8E4m3(ScaleAxis::Tensor), page_tokens: 16, scales: vec![[1.0, 1.0]] },
        program: Program {
            buckets: vec![1, 16],
            buffers: vec![buffer; 3],
            steps: vec![step("embed", embed), step("first", norm(0, 1)), step("second", norm(1, 2))],
            logits: BufferId(2),
            sampler: "sample_cpu".into(),
        },
        memory: Memory { weights_bytes: 64, arena_bytes: 512, kv_bytes_per_token: 64 },
        tensors: vec![tensor("embed_tokens"), tensor("norm")],
        weights: vec![],
        files: vec![
            file("tokenizer.json"),
            file(GRAPH_FILE),
            file(GOLDEN_FILE),
            file(CERTIFICATE_FILE),
            file(CONFIG_FILE),
        ],
        provenance: Provenance { name: None, tool: "samp".into(), recipe: "r".into(), sources: vec![] },
    }
}

/// What is said of one change to the second plan.
fn said(change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut other = plan();
    change(&mut other);
    differences(&plan(), &other).iter().map(ToString::to_string).collect()
}

#[test]
fn every_constant_of_the_model_the_limits_and_the_cache_counts() {
    assert_eq!(said(|_| ()), [""; 0]);
    assert_eq!(said(|p| p.model.vocab_size = 65), ["model.vocab_size 64→65"]);
    assert_eq!(said(|p| p.model.heads = 4), ["model.heads 2→4"]);
    assert_eq!(said(|p| p.model.sliding_window = Some(32)), ["model.sliding_window none→32"]);
    assert_eq!(said(|p| p.model.bos_token_id = None), ["model.bos_token_id 1→none"]);
    assert_eq!(said(|p| p.model.eos_token_ids.push(3)), ["model.eos_token_ids [2]→[2,3]"]);
    assert_eq!(
        said(|p| (p.model.rope.inv_frequencies[3], p.model.rope.inv_frequencies[5]) = (0.5, 0.25)),
        ["model.rope.inv_frequencies at 2 of 16 places, first at 3 3.0→0.5"]
    );
    assert_eq!(said(|p| p.limits.max_context = 32), ["limits.max_context 64→32"]);
    assert_eq!(said(|p| p.kv.scales[0][1] = 0.5), ["kv.scales [[1.0,1.0]]→[[1.0,0.5]]"]);
    assert_eq!(said(|p| p.kv.page_tokens = 32), ["kv.page_tokens 16→32"]);
    let memory = said(|p| p.memory.kv_bytes_per_token = 128);
    assert_eq!(memory, ["KV cache of one token 64 B→128 B, +64 B"]);
}

#[test]
fn steps_count_in_both_directions() {
    assert_eq!(said(|p| drop(p.program.steps.pop())), ["second step rms_norm→absent"]);
    let mut longer = plan();
    let step = Step { label: "third".into(), ..longer.program.steps[2].clone() };
    longer.program.steps.push(step);
    let changes = differences(&plan(), &longer);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].to_string(), "third step absent→rms_norm");
}

#[test]
fn a_step_is_what_it_computes_from_what() {
    let eps = said(|p| {
        let Op::RmsNorm { eps, .. } = &mut p.program.steps[1].op else { unreachable!() };
        *eps = 1e-6;
    });
    assert_eq!(eps, ["first step rms_norm(embed#0, norm) eps 1e-5→rms_norm(embed#0, norm) eps 1e-6"]);
    let input = said(|p| {
        let Op::RmsNorm { x, .. } = &mut p.program.steps[2].op else { unreachable!() };
        *x = BufferId(0);
    });
    assert_eq!(input, ["second step rms_norm(first#0, norm) eps 1e-5→rms_norm(embed#0, norm) eps 1e-5"]);
    let renumbered = said(|p| {
        p.tensors.swap(0, 1);
        for step in &mut p.program.steps {
            match &mut step.op {
                Op::Embed { weight, .. } | Op::RmsNorm { weight, .. } => weight.0 = 1 - weight.0,
                _ => unreachable!(),
            }
        }
    });
    assert_eq!(renumbered, [""; 0]);
}

#[test]
fn kernels_are_compared_by_the_tokens_they_serve() {
    let cut = |kernels: &[(u64, &str)]| said(|p| p.program.steps[0].kernels = choices(kernels));
    assert_eq!(cut(&[(1, "x"), (2, "y"), (8, "y"), (16, "y")]), [""; 0]);
    assert_eq!(cut(&[(1, "x"), (4, "x"), (16, "y")]), ["embed kernel for 2 to 4 tokens y→x"]);
    assert_eq!(cut(&[(1, "x"), (2, "z"), (4, "z"), (16, "z")]), ["embed kernel for 2 to 16 tokens y→z"]);
    assert_eq!(cut(&[(1, "x"), (32, "y")]), [""; 0]);
}

#[test]
fn carried_files_count_and_derived_ones_do_not() {
    assert_eq!(said(|p| p.files[0].blake3 = "cc".into()), ["tokenizer.json file bb→cc"]);
    assert_eq!(said(|p| drop(p.files.remove(0))), ["tokenizer.json file bb→absent"]);
    assert_eq!(said(|p| p.files[1..].iter_mut().for_each(|f| f.blake3 = "cc".into())), [""; 0]);
}

#[test]
fn tensors_count_by_shape_format_layout_and_values() {
    assert_eq!(said(|p| p.tensors[1].cols = 9), ["norm shape [1, 8]→[1, 9]"]);
    assert_eq!(said(|p| p.tensors[1].format = Format::F16), ["norm f32→f16, +0 B"]);
    assert_eq!(said(|p| p.tensors[1].layout = Layout::Rows16), ["norm layout row_major→rows16"]);
    assert_eq!(said(|p| p.tensors[1].parts[0].blake3 = "cc".into()), ["norm values one set→another"]);
}

/// Two linears over one weight, and the same split: said of the weight once, in both directions.
#[test]
fn a_parted_weight_is_one_change() {
    let source = |name: &str| Source { name: name.into(), shape: vec![4, 8], blake3: String::new() };
    let named = |name: &str, sources: &[&str], format: Format| Tensor {
        sources: sources.iter().map(|name| source(name)).collect(),
        format,
        rows: 4,
        ..tensor(name)
    };
    let linear =
        |weight, out| Op::Linear { x: BufferId(0), weight: TensorId(weight), bias: None, out: BufferId(out) };
    let step = |label: &str, op| Step { label: label.into(), op, kernels: choices(&[(16, "x")]) };
    let whole = {
        let mut plan = plan();
        plan.tensors.push(named("layers.0.mlp.gate_up_proj", &["gate", "up"], Format::INT8));
        plan.tensors.push(Tensor { rows: 1, ..named("gate_up_proj.bias", &["gb", "ub"], Format::F32) });
        plan.program.steps.push(step("layers.0.mlp.gate_up_proj", linear(2, 3)));
        plan
    };
    let split = {
        let mut plan = plan();
        plan.tensors.push(named("layers.0.mlp.gate_proj", &["gate"], Format::Nf4));
        plan.tensors.push(named("layers.0.mlp.up_proj", &["up"], Format::INT8));
        plan.tensors.push(Tensor { rows: 1, ..named("gate_proj.bias", &["gb"], Format::F32) });
        plan.tensors.push(Tensor { rows: 1, ..named("up_proj.bias", &["ub"], Format::F32) });
        plan.program.steps.push(step("layers.0.mlp.gate_proj", linear(2, 3)));
        plan.program.steps.push(step("layers.0.mlp.up_proj", linear(3, 4)));
        let join = Op::Concat { parts: vec![BufferId(3), BufferId(4)], out: BufferId(5) };
        plan.program.steps.push(step("layers.0.mlp.gate_up_proj", join));
        plan
    };
    let said =
        |a: &Plan, b: &Plan| -> Vec<String> { differences(a, b).iter().map(ToString::to_string).collect() };
    assert_eq!(said(&whole, &split), ["layers.0.mlp.gate_up_proj int8→gate: nf4, up: int8, +32 B"]);
    assert_eq!(said(&split, &whole), ["layers.0.mlp.gate_up_proj gate: nf4, up: int8→int8, −32 B"]);
    assert_eq!(said(&split, &split), [""; 0]);
    let mut other = split.clone();
    other.tensors[2].format = Format::INT8;
    assert_eq!(said(&split, &other), ["layers.0.mlp.gate_proj nf4→int8, +0 B"]);
}
