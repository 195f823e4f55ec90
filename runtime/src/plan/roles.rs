//! What each step is given: operand shapes against the model, tensors against their roles, kernels against both.

use samp_abi::{
    Format, Layout,
    plan::{BufferId, MANIFEST_FILE, Op, OpKind, Plan, RowDim, Step, TensorId},
};
use samp_kernels::{
    kernel::{Kernel, OpShape},
    registry,
    target::Target,
};

use super::{
    code,
    fault::{Fault, Findings, Place},
    program::step_name,
};

/// Checks every step. Needs the numbers, the tensors' shapes and the program's references to hold.
pub(super) fn check(plan: &Plan, findings: &mut Findings) {
    let (hidden, vocab) = (plan.model.hidden_size, plan.model.vocab_size);
    for (index, step) in plan.program.steps.iter().enumerate() {
        let mut check = StepCheck { plan, step, place: findings.at(MANIFEST_FILE, step_name(index, step)) };
        check.shapes(hidden, vocab);
        check.constants();
        check.names();
        check.kernels();
    }
    check_sampler(plan, findings);
    let logits = &plan.program.buffers[plan.program.logits.0 as usize];
    let mut place = findings.at(MANIFEST_FILE, "program.logits");
    place.check(
        (logits.rows, logits.width) == (RowDim::Outputs, vocab),
        Fault::OpShape,
        format_args!("[outputs, {vocab}]"),
        format_args!("[{:?}, {}]", logits.rows, logits.width),
    );
    check_bindings(plan, findings);
}

/// The sampler chooses among the plan's vocabulary on the plan's target.
fn check_sampler(plan: &Plan, findings: &mut Findings) {
    let (name, target) = (&plan.program.sampler, plan.target);
    let shape = OpShape::sample(plan.limits.max_tokens, plan.model.vocab_size);
    let holds =
        registry::candidates(Target::of(target), OpKind::Sample, shape).any(|kernel| kernel.name == name);
    let expected = format_args!("a sampler for {target} and {} tokens", shape.rows);
    findings.at(MANIFEST_FILE, "program.sampler").check(holds, Fault::Kernel, expected, name);
}

struct StepCheck<'a> {
    plan: &'a Plan,
    step: &'a Step,
    place: Place<'a>,
}

impl StepCheck<'_> {
    fn shapes(&mut self, hidden: u64, vocab: u64) {
        let model = &self.plan.model;
        let (queries, keys) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
        match self.step.op {
            Op::Embed { weight, out } => {
                self.matrix(weight, [vocab, hidden]);
                self.buffer(out, RowDim::Tokens, hidden);
            }
            Op::RmsNorm { x, weight, out, .. } => {
                let (width, head) = match self.head_norm() {
                    Some(heads) => (heads * model.head_dim, model.head_dim),
                    None => (hidden, hidden),
                };
                self.vector(weight, head);
                self.alike(&[x, out], width);
            }
            Op::AddRmsNorm { x, residual, weight, sum, out, .. } => {
                self.vector(weight, hidden);
                self.alike(&[x, residual, sum, out], hidden);
            }
            Op::Add { a, b, out } => self.alike(&[a, b, out], hidden),
            Op::Linear { x, weight, bias, out } => {
                let (rows, _) = self.shape(out);
                let [outputs, inputs] = [self.width(out), self.width(x)];
                self.buffer(x, rows, inputs);
                self.matrix(weight, [outputs, inputs]);
                if let Some(bias) = bias {
                    self.vector(bias, outputs);
                }
            }
            Op::RopeAppend { qkv, out, .. } => {
                self.buffer(qkv, RowDim::Tokens, queries + 2 * keys);
                self.buffer(out, RowDim::Tokens, queries);
            }
            Op::PagedAttention { q, out, .. } => {
                self.buffer(q, RowDim::Tokens, queries);
                self.buffer(out, RowDim::Tokens, queries);
            }
            Op::SiluMul { gate_up, out } => {
                let (rows, _) = self.shape(out);
                self.buffer(gate_up, rows, 2 * model.intermediate_size);
                self.buffer(out, rows, model.intermediate_size);
            }
            Op::Concat { ref parts, out } => {
                let (rows, width) = self.shape(out);
                parts.iter().for_each(|&part| self.buffer(part, rows, self.width(part)));
                let together = parts.iter().map(|&part| self.width(part)).sum::<u64>();
                let expected = format_args!("parts {width} wide together");
                self.place.check(together == width, Fault::OpShape, expected, together);
            }
            Op::Gather { x, out } => {
                self.buffer(x, RowDim::Tokens, hidden);
                self.buffer(out, RowDim::Outputs, hidden);
            }
        }
    }

    /// The heads that a norm of queries or keys is of, which its label tells.
    fn head_norm(&self) -> Option<u64> {
        let model = &self.plan.model;
        [(Q_NORM, model.heads), (K_NORM, model.kv_heads)]
            .into_iter()
            .find_map(|(norm, heads)| self.step.label.ends_with(norm).then_some(heads))
    }

    fn shape(&self, id: BufferId) -> (RowDim, u64) {
        let buffer = &self.plan.program.buffers[id.0 as usize];
        (buffer.rows, buffer.width)
    }

    fn width(&self, id: BufferId) -> u64 {
        self.shape(id).1
    }

    fn buffer(&mut self, id: BufferId, rows: RowDim, width: u64) {
        let found = self.shape(id);
        let expected = format_args!("{id} [{rows:?}, {width}]");
        let found_text = format_args!("[{:?}, {}]", found.0, found.1);
        self.place.check(found == (rows, width), Fault::OpShape, expected, found_text);
    }

    /// All buffers count the same rows, and are `width` wide.
    fn alike(&mut self, ids: &[BufferId], width: u64) {
        let (rows, _) = self.shape(ids[0]);
        ids.iter().for_each(|&id| self.buffer(id, rows, width));
    }

    fn matrix(&mut self, id: TensorId, shape: [u64; 2]) {
        let tensor = &self.plan.tensors[id.0 as usize];
        let found = [tensor.rows, tensor.cols];
        let name = &tensor.name;
        let expected = format_args!("`{name}` {shape:?}");
        self.place.check(found == shape, Fault::OpShape, expected, format_args!("{found:?}"));
    }

    fn vector(&mut self, id: TensorId, width: u64) {
        self.matrix(id, [1, width]);
        let tensor = &self.plan.tensors[id.0 as usize];
        let found = (tensor.format, tensor.layout);
        self.place.check(
            found == (Format::F32, Layout::RowMajor),
            Fault::OpShape,
            format_args!("`{}` f32 row_major", tensor.name),
            format_args!("{} {}", found.0, found.1),
        );
    }

    fn constants(&mut self) {
        if let Op::RmsNorm { eps, .. } | Op::AddRmsNorm { eps, .. } = self.step.op {
            let holds = eps.is_finite() && eps > 0.0;
            self.place.check(holds, Fault::OpConstant, "eps above 0", eps);
        }
    }

    /// A step carries the name of its weight, so that no two of one shape can be taken for each other. The head of a tied model carries its own.
    fn names(&mut self) {
        let name = |id: TensorId| self.plan.tensors[id.0 as usize].name.as_str();
        let label = &self.step.label;
        match self.step.op {
            Op::Embed { weight, .. } | Op::RmsNorm { weight, .. } | Op::AddRmsNorm { weight, .. } => {
                self.place.check(
                    name(weight) == label,
                    Fault::Binding,
                    format_args!("`{label}`"),
                    name(weight),
                );
            }
            Op::Linear { weight, bias, out, .. } => {
                let tied = self.plan.model.tied_embeddings && out == self.plan.program.logits;
                let own = tied || name(weight) == label;
                self.place.check(own, Fault::Binding, format_args!("`{label}`"), name(weight));
                if let Some(bias) = bias {
                    let own = name(bias).strip_suffix(".bias") == Some(label);
                    self.place.check(own, Fault::Binding, format_args!("`{label}.bias`"), name(bias));
                }
            }
            Op::Concat { ref parts, .. } => self.members(parts),
            _ => {}
        }
    }

    /// The parts of a concatenation are the linears that its label joins, in their order.
    fn members(&mut self, parts: &[BufferId]) {
        let label = &self.step.label;
        let expected = JOINED.iter().find_map(|(joined, members)| {
            let block = label.strip_suffix(joined)?;
            Some(members.iter().map(|member| format!("{block}{member}")).collect::<Vec<_>>())
        });
        let found: Vec<&str> =
            parts.iter().map(|&part| linear_into(self.plan, part).unwrap_or("no linear")).collect();
        let holds = expected.as_ref().is_some_and(|expected| *expected == found);
        let expected = expected.map_or("a label of joined linears".into(), |members| members.join(", "));
        self.place.check(holds, Fault::Binding, expected, format_args!("`{label}` of {}", found.join(", ")));
    }

    fn kernels(&mut self) {
        let buckets = &self.plan.program.buckets;
        let bounds: Vec<u64> = self.step.kernels.iter().map(|k| k.max_tokens).collect();
        let expected = format_args!("one kernel for each of {buckets:?}");
        if !self.place.check(bounds == *buckets, Fault::Kernel, expected, format_args!("{bounds:?}")) {
            return;
        }
        for choice in &self.step.kernels {
            match registry::find(&choice.kernel) {
                Some(kernel) => self.kernel(kernel, choice.max_tokens),
                None => self.place.wrong(Fault::Kernel, "a kernel of the registry", &choice.kernel),
            }
        }
    }

    fn kernel(&mut self, kernel: &Kernel, tokens: u64) {
        let (name, kind, target) = (kernel.name, self.step.op.kind(), self.plan.target);
        self.place.check(kernel.op == kind, Fault::Kernel, format_args!("a kernel of {kind}"), name);
        let runs = kernel.targets.contains(&target);
        self.place.check(runs, Fault::Kernel, format_args!("a kernel for {target}"), name);
        let matrix = code::matrix_of(self.plan);
        let shape = code::plan_constants(self.plan, &matrix).shape(
            &self.step.op,
            tokens,
            self.plan.limits.max_context,
        );
        let expected = format_args!("a kernel that takes {shape:?}");
        self.place.check(kernel.takes(&shape, Target::of(target)), Fault::Kernel, expected, name);
        if let (Some(layout), Op::Embed { weight, .. } | Op::Linear { weight, .. }) =
            (kernel.layout, &self.step.op)
        {
            let found = self.plan.tensors[weight.0 as usize].layout;
            let expected = format_args!("{layout}, which {name} reads");
            self.place.check(found == layout, Fault::Kernel, expected, found);
        }
    }
}

/// Linears over one input that a plan may join into one, with the names of their members in order.
const JOINED: [(&str, &[&str]); 2] = [
    (".self_attn.qkv_proj", &[".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj"]),
    (".mlp.gate_up_proj", &[".mlp.gate_proj", ".mlp.up_proj"]),
];

/// How the labels of norms of queries and of keys end.
const Q_NORM: &str = ".self_attn.q_norm";
const K_NORM: &str = ".self_attn.k_norm";

/// The label of the linear that writes a buffer, by itself or through a norm of queries or keys.
fn linear_into(plan: &Plan, buffer: BufferId) -> Option<&str> {
    let writes = |step: &&Step| step.op.writes().contains(&buffer);
    let step = plan.program.steps.iter().find(writes)?;
    match step.op {
        Op::Linear { .. } => Some(&step.label),
        Op::RmsNorm { x, .. } => {
            let writes = |step: &&Step| matches!(step.op, Op::Linear { out, .. } if out == x);
            let linear = plan.program.steps.iter().find(writes)?;
            let normed = step.label.replace("_norm", "_proj") == linear.label;
            normed.then_some(linear.label.as_str())
        }
        _ => None,
    }
}

/// One embedding; each tensor used by one step, but a tied table also by the head and by nothing else.
fn check_bindings(plan: &Plan, findings: &mut Findings) {
    let mut uses = vec![0u32; plan.tensors.len()];
    for id in plan.program.steps.iter().flat_map(|s| s.op.tensors()) {
        uses[id.0 as usize] += 1;
    }
    let steps = || plan.program.steps.iter().map(|s| &s.op);
    let tables: Vec<TensorId> = steps()
        .filter_map(|op| if let Op::Embed { weight, .. } = op { Some(*weight) } else { None })
        .collect();
    let head = steps().find_map(|op| match *op {
        Op::Linear { weight, out, .. } if out == plan.program.logits => Some(weight),
        _ => None,
    });
    let mut place = findings.at(MANIFEST_FILE, "program");
    place.check(tables.len() == 1, Fault::Binding, "one embed step", tables.len());
    place.check(head.is_some(), Fault::Binding, "a linear step that gives the logits", "none");
    let tied = plan.model.tied_embeddings;
    let shared = head.is_some() && head == tables.first().copied();
    place.check(
        tied == shared,
        Fault::Binding,
        format_args!("tied_embeddings = {shared}, as the head's weight shows"),
        tied,
    );
    for (index, (tensor, found)) in plan.tensors.iter().zip(uses).enumerate() {
        let expected = if tied && tables.first() == Some(&TensorId(index as u32)) { 2 } else { 1 };
        let mut place =
            findings.at(MANIFEST_FILE, format_args!("tensor {index} `{}`", tensor.name.escape_debug()));
        place.check(
            found == expected,
            Fault::Binding,
            format_args!("{expected} uses"),
            format_args!("{found}"),
        );
    }
}
