//! Machine code in plans for GPUs: which kernels a plan calls for, and the file of each.

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::{
    Format, Layout,
    plan::{Plan, TensorId},
};
use samp_kernels::{
    cuda::Source,
    instantiate::{LaunchSpec, Matrix, PlanConstants},
    registry,
    target::Target,
};

use super::fault::{Fault, Findings};

/// The folder of machine code inside a plan.
pub const CODE_FOLDER: &str = "kernels";

/// The file of a kernel's machine code for GPUs of a compute capability, inside a plan. Its name holds a hash of everything
/// that the code follows from: code of other sources than this build's has another name and is never run.
pub fn code_path(source: &Source, capability: (u32, u32)) -> String {
    let (major, minor) = capability;
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    source.texts().flat_map(|(name, text)| [name, text]).for_each(&mut add);
    let hash = hasher.finalize().to_hex();
    format!("{CODE_FOLDER}/{}-sm{major}{minor}-{}.cubin", source.symbol, &hash[..16])
}

/// A step for which this build has no such kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: kernel `{kernel}` is none of this build's that takes the step's shapes")]
pub struct NoKernel {
    /// The step's label.
    pub step: String,
    /// Name of the kernel that the plan asks for.
    pub kernel: String,
}

impl NoKernel {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        crate::error_code::NO_SUCH_KERNEL
    }
}

/// What the sampler is called where steps go by their labels.
pub const SAMPLER: &str = "sampler";

/// The kernels that a plan calls for.
pub struct PlanKernels {
    /// Of each step, one for each token bucket.
    pub steps: Vec<Vec<LaunchSpec>>,
    /// The one that chooses tokens.
    pub sampler: LaunchSpec,
}

/// The kernels of a plan's steps and its sampler.
pub fn plan_kernels(plan: &Plan) -> Result<PlanKernels, NoKernel> {
    let matrix = matrix_of(plan);
    instantiate(&plan_constants(plan, &matrix))
}

/// What a plan fixes for its kernels; `matrix` is that of [`matrix_of`].
pub fn plan_constants<'a>(plan: &'a Plan, matrix: &'a dyn Fn(TensorId) -> Matrix) -> PlanConstants<'a> {
    PlanConstants { model: &plan.model, kv: &plan.kv, program: &plan.program, matrix }
}

/// The kernels of all steps and the sampler.
pub fn instantiate(constants: &PlanConstants<'_>) -> Result<PlanKernels, NoKernel> {
    let step = |step: &samp_abi::plan::Step| {
        let one = |choice: &samp_abi::plan::KernelChoice| {
            let kernel = registry::find(&choice.kernel);
            let found = kernel.and_then(|kernel| LaunchSpec::new(kernel, step, constants));
            found.ok_or_else(|| NoKernel { step: step.label.clone(), kernel: choice.kernel.clone() })
        };
        step.kernels.iter().map(one).collect()
    };
    let steps = constants.program.steps.iter().map(step).collect::<Result<_, _>>()?;
    let none = || NoKernel { step: SAMPLER.into(), kernel: constants.program.sampler.clone() };
    Ok(PlanKernels { steps, sampler: LaunchSpec::sampler(constants).ok_or_else(none)? })
}

/// The sources among them, by the path of their code.
pub fn sources(kernels: &PlanKernels, capability: (u32, u32)) -> BTreeMap<String, Source> {
    // Layers share kernels, and a path takes hashing all headers.
    let sources: BTreeSet<Source> =
        kernels.steps.iter().flatten().chain([&kernels.sampler]).flat_map(LaunchSpec::sources).collect();
    sources.into_iter().map(|source| (code_path(&source, capability), source)).collect()
}

/// How the tensors of a manifest are stored.
pub fn matrix_of(plan: &Plan) -> impl Fn(TensorId) -> Matrix {
    let stored = |format: Format, layout: Layout, rows, cols| Matrix { format, layout, rows, cols };
    move |id| {
        let tensor = &plan.tensors[id.0 as usize];
        stored(tensor.format, tensor.layout, tensor.rows, tensor.cols)
    }
}

/// Checks that a plan for a GPU holds the code of every kernel that it calls for. Needs its contents to hold.
pub(super) fn check(plan: &Plan, findings: &mut Findings) {
    let Some(capability) = Target::of(plan.target).compute_capability else { return };
    let kernels = match plan_kernels(plan) {
        Ok(kernels) => kernels,
        Err(NoKernel { step, kernel }) => {
            let expected = "a kernel of this build for the step's shapes";
            return findings.at(samp_abi::plan::MANIFEST_FILE, step).wrong(Fault::Kernel, expected, kernel);
        }
    };
    for path in sources(&kernels, capability).keys() {
        let listed = plan.files.iter().any(|file| file.path == *path);
        let mut place = findings.at(path, "machine code");
        place.check(listed, Fault::OtherBuild, "code of this build's kernel among the plan's files", "none");
    }
}
