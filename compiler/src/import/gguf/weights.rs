//! Tensors of a GGUF file as weights of the architecture: their names, and the order of their rows.

use samp_abi::Format;
use samp_kernels::format::RowSource;

use super::{block_type::BlockType, header::GgufTensor};
use crate::import::quantized::StoredTensor;

/// Names after `blk.N.`, and what transformers calls them.
const LAYER_NAMES: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
const OUTER_NAMES: &[(&str, &str)] = &[
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// A tensor's name in the architecture; `None` of one that it does not have.
pub(super) fn name_in_architecture(name: &str) -> Option<String> {
    if let Some((_, outer)) = OUTER_NAMES.iter().find(|(found, _)| *found == name) {
        return Some((*outer).into());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    let known = LAYER_NAMES.iter().find(|(found, _)| *found == module);
    let is_number = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    let (_, module) = known.filter(|_| is_number && matches!(kind, "weight" | "bias"))?;
    Some(format!("model.layers.{layer}.{module}.{kind}"))
}

/// What llama.cpp calls a tensor of the architecture, if it has it.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    if let Some((outer, _)) = OUTER_NAMES.iter().find(|(_, known)| *known == name) {
        return Some((*outer).into());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    let (found, _) = LAYER_NAMES.iter().find(|(_, known)| *known == module)?;
    Some(format!("blk.{layer}.{found}.{kind}"))
}

/// A weight in blocks, as [`BlockType::decode`] reads them.
#[derive(Clone, Debug)]
pub(in crate::import) struct BlockWeight {
    pub(super) tensor: StoredTensor,
    pub(super) block: &'static BlockType,
    pub(super) shape: Vec<u64>,
    /// The heads whose rows are turned, of queries and keys.
    pub(super) heads: Option<u64>,
}

impl BlockWeight {
    /// Whether the tensor has to be decoded: it is no plain float, or its rows lie in another order.
    pub(super) fn is_needed(tensor: &GgufTensor, heads: Option<u64>) -> bool {
        tensor.block.weights > 1 || heads.is_some()
    }

    pub(in crate::import) fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub(in crate::import) fn tensor(&self) -> &StoredTensor {
        &self.tensor
    }

    /// Columns of a row; a vector whose order changes is a column.
    pub(in crate::import) fn cols(&self) -> usize {
        self.shape.get(1).map_or(1, |&cols| cols as usize)
    }

    /// The format that holds the very values: a float's own.
    pub(in crate::import) fn kept_format(&self) -> Result<Format, String> {
        match self.block.name {
            "F32" => Ok(Format::F32),
            "F16" => Ok(Format::F16),
            "BF16" => Ok(Format::Bf16),
            name => Err(format!("its blocks are {name}, which no format of samp holds exactly")),
        }
    }

    /// Where a row lies in the file. llama.cpp rotates neighbours, transformers a channel and the one half a head away: of
    /// each head the rows of both halves lie in turn.
    fn stored_row(&self, row: usize) -> usize {
        let Some(heads) = self.heads else { return row };
        let head_dim = (self.shape[0] / heads) as usize;
        let (head, within) = (row / head_dim, row % head_dim);
        let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
        head * head_dim + 2 * pair + half
    }
}

impl RowSource for BlockWeight {
    fn read(&self, first: usize, out: &mut [f32]) {
        let (cols, block) = (self.cols(), self.block);
        let row_bytes = cols / block.weights * block.bytes;
        for (row, out) in (first..).zip(out.chunks_exact_mut(cols)) {
            let stored = &self.tensor.bytes()[self.stored_row(row) * row_bytes..][..row_bytes];
            let blocks = out.chunks_exact_mut(block.weights).zip(stored.chunks_exact(block.bytes));
            blocks.for_each(|(out, bytes)| (block.decode)(bytes, out));
        }
    }
}
