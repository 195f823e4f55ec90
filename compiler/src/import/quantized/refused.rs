//! Methods that samp does not read, each with the reason and what to do instead.

use samp_ir::Diagnostic;

use crate::import::json::Object;

/// The methods by name.
const REFUSED: &[(&str, &str)] = &[
    ("aqlm", "its codebooks are learned vectors, which no format of samp holds"),
    ("auto-round", "its packing follows the kernel that it was made for"),
    ("awq_marlin", "its words are shuffled for one kernel"),
    (
        "bitnet",
        "its linears compute with ternary weights and scaled activations, another function than Llama's",
    ),
    (
        "eetq",
        "its codes are permuted for the matrix units of one GPU architecture, by a library that is no part of the file",
    ),
    ("exl2", "its rows are permuted and each has its own width"),
    ("gguf", "a GGUF file is given by itself"),
    ("gptq_marlin", "its words are shuffled for one kernel"),
    ("higgs", "its codebooks are those of one kernel, over rotated weights"),
    ("hqq", "its zero points are floats, which no format of samp holds"),
    ("marlin", "its words are shuffled for one kernel"),
    ("mxfp4", "its layout is that of one mixture-of-experts model"),
    ("quanto", "its tensors are those of one library's Python classes"),
    ("quark", "its layout is not among those that samp reads"),
    ("quip", "its weights are rotated, and its codebooks are lattices"),
    ("spqr", "its outliers are sparse"),
    ("torchao", "its tensors are those of one library's Python classes"),
    ("vptq", "its codebooks are learned vectors, which no format of samp holds"),
];

/// The refusal of a method that is not read.
pub(super) fn refuse_method(keys: &Object<'_>, name: &str) -> Diagnostic {
    let expected = "gptq, awq, compressed-tensors, bitsandbytes, fp8, fbgemm_fp8 or modelopt";
    let finding = keys.unsupported("quant_method", expected, &name.into());
    let why = REFUSED.iter().find(|(method, _)| *method == name);
    let finding =
        why.into_iter().fold(finding, |finding, (method, why)| finding.note(format!("{method}: {why}")));
    finding.hint("compile the checkpoint that this one was quantized from")
}
