//! Plans without files: the steps that the compiler makes of a model, in one bucket, from its sizes alone.

mod program;

use samp_abi::plan::{
    Architecture, KernelChoice, KvCache, Limits, Memory, Model, OpKind, Plan, Program, Provenance, Rope,
    SCHEMA_VERSION, Tensor,
};
use samp_kernels::{kernel::OpShape, target::Target, timing};
use samp_runtime::plan::code;

use super::{attention::PAGE_TOKENS, kv_format::KvFormat};
use crate::{
    error::GpuError,
    model_shape::{ModelShape, Projection},
    recipe_formats::RecipeFormats,
};
use program::Built;

/// The base of Llama 3's rotary frequencies.
const ROPE_THETA: f64 = 500_000.0;

/// A model, how it is stored, and its largest step.
#[derive(Clone, Copy, Debug)]
pub struct SyntheticPlan {
    /// Sizes of the model.
    pub shape: ModelShape,
    /// Formats of its weights.
    pub formats: RecipeFormats,
    /// Format of its cache.
    pub kv: KvFormat,
    /// Limits of its steps; the only bucket is of the most tokens.
    pub limits: Limits,
}

impl SyntheticPlan {
    /// The manifest, with the kernels that the cost model rates fastest, but for projections those that `linear` names.
    pub fn manifest(
        &self,
        target: &Target,
        linear: impl Fn(Projection) -> Option<&'static str>,
    ) -> Result<Plan, GpuError> {
        let Built { program, tensors, arena_bytes } =
            program::build(&self.shape, self.formats, self.limits, self.formats.activations(target));
        let (model, kv) = (self.model(), self.cache());
        let memory = Memory {
            weights_bytes: tensors.iter().map(Tensor::bytes).sum(),
            arena_bytes,
            kv_bytes_per_token: kv.bytes_per_token(&model),
        };
        let mut plan = Plan {
            schema: SCHEMA_VERSION,
            digest: String::new(),
            target: target.name,
            model,
            limits: self.limits,
            kv,
            program,
            memory,
            tensors,
            weights: vec![],
            files: vec![],
            provenance: Provenance {
                name: None,
                tool: "samp-gpu".into(),
                recipe: String::new(),
                sources: vec![],
            },
        };
        plan.program = with_kernels(&plan, target, linear)?;
        Ok(plan)
    }

    fn model(&self) -> Model {
        let shape = &self.shape;
        let pairs = shape.head_dim / 2;
        let frequency = |pair: u32| ROPE_THETA.powf(-f64::from(pair) / f64::from(pairs));
        Model {
            architecture: Architecture::LlamaForCausalLM,
            hidden_size: shape.hidden.into(),
            intermediate_size: shape.intermediate.into(),
            layers: shape.layers.into(),
            heads: shape.heads.into(),
            kv_heads: shape.kv_heads.into(),
            head_dim: shape.head_dim.into(),
            vocab_size: shape.vocab.into(),
            rope: Rope { inv_frequencies: (0..pairs).map(frequency).collect(), rotary_dim: None, scale: 1.0 },
            sliding_window: None,
            full_attention_layers: vec![],
            unturned_layers: vec![],
            embedding_scale: 1.0,
            tied_embeddings: false,
            bos_token_id: None,
            eos_token_ids: vec![],
        }
    }

    fn cache(&self) -> KvCache {
        let scales = if self.kv == KvFormat::F16 { 0 } else { self.shape.layers as usize };
        KvCache { format: self.kv.format(), page_tokens: PAGE_TOKENS.into(), scales: vec![[1.0; 2]; scales] }
    }
}

/// The program with a kernel for every step and a sampler.
fn with_kernels(
    plan: &Plan,
    target: &Target,
    linear: impl Fn(Projection) -> Option<&'static str>,
) -> Result<Program, GpuError> {
    let max_tokens = plan.limits.max_tokens;
    let cheapest = |op: OpKind, shape: OpShape| {
        let kernel = timing::cheapest(target, op, shape).map(|kernel| kernel.name);
        kernel.ok_or_else(|| GpuError::Kernel { what: format!("{op} of {shape:?} on {}", target.name) })
    };
    let matrix = code::matrix_of(plan);
    let constants = code::plan_constants(plan, &matrix);
    let mut program = plan.program.clone();
    for step in &mut program.steps {
        let projection = Projection::ALL.into_iter().find(|p| step.label.ends_with(p.label()));
        let kernel = match projection.and_then(&linear) {
            Some(kernel) => kernel,
            None => cheapest(step.op.kind(), constants.shape(&step.op, max_tokens, plan.limits.max_context))?,
        };
        step.kernels = vec![KernelChoice { max_tokens, kernel: kernel.into() }];
    }
    program.sampler = cheapest(OpKind::Sample, OpShape::sample(max_tokens, plan.model.vocab_size))?.into();
    Ok(program)
}

#[cfg(test)]
mod tests {
    use samp_abi::{
        TargetName,
        plan::{WeightsFile, align_part, weights_header},
    };
    use samp_runtime::{Fault, validate_manifest};

    use super::*;
    use crate::{
        bench::{ACTIVATIONS, linear::LinearProblem},
        model_shape::BenchModel,
    };

    fn synthetic(model: BenchModel, recipe: &str, kv: KvFormat) -> SyntheticPlan {
        let limits = Limits { max_tokens: 4, max_sequences: 4, max_context: 64 };
        SyntheticPlan { shape: model.shape(), formats: recipe.parse().unwrap(), kv, limits }
    }

    /// A kernel that computes whole buckets of four tokens.
    fn for_four(projection: Projection, plan: &SyntheticPlan, target: &Target) -> Option<&'static str> {
        let (matrix, format) = (plan.shape.matrix(projection), plan.formats.weight_format(projection));
        let problem = LinearProblem { format, activations: ACTIVATIONS, matrix, f32_out: false };
        problem.candidates(target, 4).last().map(|candidate| candidate.name)
    }

    /// The plan with its weights placed in a file.
    fn placed(mut plan: Plan) -> Plan {
        let header_bytes = weights_header(&plan.tensors, 0).unwrap().len() as u64;
        let mut end = header_bytes;
        for part in plan.tensors.iter_mut().flat_map(|tensor| &mut tensor.parts) {
            part.offset = end;
            end = align_part(end + part.bytes).unwrap();
        }
        let path = "weights-00001-of-00001.safetensors".into();
        plan.weights = vec![WeightsFile { path, bytes: end, header_bytes, header_blake3: String::new() }];
        plan
    }

    #[test]
    fn manifests_are_sound_but_for_files_of_code() {
        for (model, recipe, kv, target) in [
            (BenchModel::Tiny, "samp", KvFormat::F16, TargetName::H200),
            (BenchModel::Llama3_70b, "samp", KvFormat::Fp8, TargetName::H200),
            (BenchModel::Llama3_8b, "uniform:f16", KvFormat::F16, TargetName::A100),
        ] {
            let (synthetic, target) = (synthetic(model, recipe, kv), Target::of(target));
            let named = |projection| for_four(projection, &synthetic, target);
            let plan = synthetic.manifest(target, named).unwrap();
            let mut faults = validate_manifest(&placed(plan.clone()));
            faults.retain(|fault| fault.fault != Fault::OtherBuild);
            assert_eq!(faults, [], "{model:?} {recipe}");
            let mut broken = placed(plan);
            broken.program.steps.swap(1, 2);
            assert!(validate_manifest(&broken).iter().any(|fault| fault.fault == Fault::Dataflow));
        }
    }

    #[test]
    fn projections_take_the_kernels_that_are_named() {
        let named = "linear_nf4_fragments_mma64";
        let linear = |projection| (projection == Projection::Down).then_some(named);
        let plan =
            synthetic(BenchModel::Tiny, "samp", KvFormat::F16).manifest(Target::of(TargetName::H200), linear);
        let steps = plan.unwrap().program.steps;
        let of = |label: &str| &steps.iter().find(|step| step.label == label).unwrap().kernels[0].kernel;
        assert_eq!(of("layers.1.mlp.down_proj"), named);
        assert_ne!(of("layers.1.mlp.gate_up_proj"), named);
    }

    #[test]
    fn what_no_kernel_takes_is_refused() {
        let plan = synthetic(BenchModel::Tiny, "uniform:int6", KvFormat::F16);
        let error = plan.manifest(Target::of(TargetName::A100), |_| None).unwrap_err().to_string();
        assert!(error.contains("linear") && error.contains("a100"), "{error}");
    }
}
