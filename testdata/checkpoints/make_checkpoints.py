"""Makes the small random checkpoints beside this file, each with the logits that Hugging Face transformers gives in f32.

Run from anywhere, with torch and transformers installed:  python testdata/checkpoints/make_checkpoints.py [NAME…]

Together they cover what import claims to read. A case is a config.json as such checkpoints spell it, weights, and
reference.safetensors with `input_ids` i64 [batch, len] and `logits` f32 [batch, len, vocab]. Each case also names keys on
which it depends (`differs`): with those changed, transformers has to give clearly different logits, so a reader that misses
the feature cannot pass.
"""

import json
import pathlib
import shutil
import sys
import tempfile
import zlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 64,
    "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "vocab_size": 96, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}
MISTRAL = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}
QWEN2 = {**LLAMA, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "rms_norm_eps": 1e-6}
QWEN3 = {**QWEN2, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 16}
PHI3 = {
    **LLAMA, "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "original_max_position_embeddings": 16,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attention_dropout": 0.0, "attention_bias": False, "rope_theta": 1e4,
    "pad_token_id": 3, "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
}
LONGROPE = {
    "type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0], "long_factor": [1.0, 1.5, 4.0, 9.0, 16.0, 30.0],
}
# Heads of 32 channels, which GPUs have kernels for.
WIDE_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
GRANITE = {**LLAMA, "architectures": ["GraniteForCausalLM"], "model_type": "granite"}
SMOLLM3 = {
    **LLAMA, "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "num_hidden_layers": 4,
    "rms_norm_eps": 1e-6, "attention_bias": False, "mlp_bias": False, "max_window_layers": 28, "pad_token_id": 3,
}
MINISTRAL = {**LLAMA, "architectures": ["MinistralForCausalLM"], "model_type": "ministral", "head_dim": 16}
LLAMA3_ROPE = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def case(base=LLAMA, without=(), length=32, shards=1, differs=None, **keys):
    config = {key: value for key, value in {**base, **keys}.items() if key not in without}
    return {"config": config, "length": length, "shards": shards, "differs": differs or {}}


CASES = {
    # Llama 1 and 2 say neither rope_theta nor num_key_value_heads.
    "llama-mha": case(without=("num_key_value_heads",), rms_norm_eps=1e-6, differs={"rope_theta": 5e5}),
    "gqa-head-dim": case(
        head_dim=24, torch_dtype="float16", rope_theta=5e5, differs={"rope_theta": 1e4}),
    "attention-bias": case(attention_bias=True, mlp_bias=False, differs={"attention_bias": False}),
    "all-biases": case(
        attention_bias=True, mlp_bias=True, intermediate_size=128, torch_dtype="float16", shards=2,
        differs={"mlp_bias": False}),
    "tied": case(tie_word_embeddings=True, vocab_size=128, torch_dtype="float16", differs={"rope_theta": 5e5}),
    # The head is stored although it is tied, and everything odd at once.
    "tied-odd": case(
        tie_word_embeddings=True, attention_bias=True, vocab_size=101, hidden_size=60, intermediate_size=77,
        num_attention_heads=5, num_key_value_heads=1, head_dim=10, differs={"rope_theta": 5e5}),
    "odd-sizes": case(
        vocab_size=103, hidden_size=54, intermediate_size=90, num_attention_heads=3, num_key_value_heads=3,
        head_dim=14, torch_dtype="float32", differs={"rope_theta": 5e5}),
    "rope-llama3": case(rope_theta=5e5, rope_scaling=LLAMA3_ROPE, length=48, differs={"rope_scaling": None}),
    "rope-linear": case(rope_scaling={"type": "linear", "factor": 2.5}, differs={"rope_scaling": None}),
    "rope-dynamic": case(
        rope_scaling={"type": "dynamic", "factor": 2.0}, differs={"max_position_embeddings": 16}),
    # Longer than trained: transformers takes the frequencies for exactly this length.
    "rope-dynamic-long": case(
        rope_scaling={"type": "dynamic", "factor": 2.0}, max_position_embeddings=24, length=48,
        differs={"max_position_embeddings": 64}),
    "rope-parameters": case(
        without=("torch_dtype",), dtype="bfloat16", rope_parameters={**LLAMA3_ROPE, "rope_theta": 2e4}, length=48,
        head_dim=16, differs={"rope_parameters": {"rope_type": "default", "rope_theta": 2e4}}),
    "eps-and-theta": case(
        rms_norm_eps=0.3, rope_theta=123.5, hidden_size=32, num_attention_heads=2, num_key_value_heads=1,
        torch_dtype="float32", differs={"rms_norm_eps": 0.29}),
    # The window counts the position itself: one more or less is another function.
    "mistral-window": case(
        MISTRAL, sliding_window=7, rope_theta=1e4, length=48, shards=2, differs={"sliding_window": 8}),
    "mistral-window-1": case(
        MISTRAL, sliding_window=1, torch_dtype="float16", length=24, differs={"sliding_window": 2}),
    "mistral-full": case(
        MISTRAL, sliding_window=None, num_attention_heads=3, num_key_value_heads=1, head_dim=32, rope_theta=1e6,
        length=48, differs={"sliding_window": 40}),
    # As Qwen 2 spells a window that it does not use; keys of its layers beyond those that are there.
    "qwen2": case(
        QWEN2, use_sliding_window=False, sliding_window=32768, max_window_layers=28, **WIDE_HEADS,
        rope_theta=1e6, length=48, differs={"rope_theta": 1e4}),
    "qwen2-window": case(
        QWEN2, use_sliding_window=True, sliding_window=5, max_window_layers=1, num_hidden_layers=3,
        tie_word_embeddings=True, torch_dtype="float16", length=40, differs={"max_window_layers": 2}),
    "qwen2-layer-types": case(
        QWEN2, use_sliding_window=True, sliding_window=9, num_hidden_layers=3, head_dim=10, hidden_size=60,
        intermediate_size=77, num_attention_heads=6, num_key_value_heads=2, vocab_size=101, length=40,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        differs={"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}),
    "qwen3": case(
        QWEN3, attention_bias=False, head_dim=32, tie_word_embeddings=True, use_sliding_window=False,
        rope_theta=1e6, rms_norm_eps=1e-2, differs={"rms_norm_eps": 0.5}),
    "qwen3-odd": case(
        QWEN3, attention_bias=True, head_dim=10, hidden_size=54, intermediate_size=77, num_attention_heads=6,
        num_key_value_heads=1, vocab_size=101, torch_dtype="float32", use_sliding_window=True, sliding_window=6,
        max_window_layers=1, length=40, differs={"attention_bias": False}),
    "rope-yarn": case(QWEN2, rope_theta=1e6, rope_scaling=YARN, **WIDE_HEADS, length=48, differs={"rope_scaling": None}),
    "rope-yarn-options": case(
        rope_theta=1e4, rope_scaling={
            **YARN, "rope_type": "yarn", "factor": 8.0, "beta_fast": 16, "beta_slow": 2, "mscale": 0.7,
            "mscale_all_dim": 1.5, "truncate": False, "attention_factor": None,
        }, head_dim=24, length=40,
        differs={"rope_scaling": {**YARN, "factor": 8.0, "beta_fast": 16, "beta_slow": 2, "mscale": 0.7, "truncate": False}}),
    # Without scaling; all of a head is turned, and each query sees a window.
    "phi3": case(
        PHI3, original_max_position_embeddings=4096, rope_scaling=None, num_key_value_heads=4, sliding_window=11,
        length=40, shards=2, differs={"sliding_window": 12}),
    # Beyond the first context: factors for long ones, and a part of each head turned.
    "phi3-longrope": case(
        PHI3, rope_scaling={key: value * 2 if key.endswith("factor") else value for key, value in LONGROPE.items()},
        partial_rotary_factor=0.75, **WIDE_HEADS, length=48, tie_word_embeddings=True,
        differs={"rope_scaling": None}),
    # Within it: factors for short ones, by the name that they had first.
    "phi3-longrope-short": case(
        PHI3, rope_scaling={**LONGROPE, "type": "su", "original_max_position_embeddings": 16}, head_dim=18, hidden_size=54, intermediate_size=77,
        num_attention_heads=3, num_key_value_heads=1, vocab_size=101, partial_rotary_factor=0.7,
        torch_dtype="float32", length=16,
        differs={"original_max_position_embeddings": 15}),
    "granite": case(
        GRANITE, embedding_multiplier=1.5, attention_multiplier=0.0625, residual_multiplier=0.22, logits_scaling=2.0,
        tie_word_embeddings=True, rope_theta=1e4, rope_scaling=None, attention_bias=False, mlp_bias=False, **WIDE_HEADS,
        differs={"residual_multiplier": 0.25}),
    "granite-odd": case(
        GRANITE, embedding_multiplier=3.7, attention_multiplier=0.4, residual_multiplier=1.3, logits_scaling=1.7,
        attention_bias=True, mlp_bias=True, rms_norm_eps=1e-2, hidden_size=54, intermediate_size=90,
        num_attention_heads=3, num_key_value_heads=1, vocab_size=101, torch_dtype="float32",
        differs={"attention_multiplier": 0.3}),
    # Every fourth layer turns nothing, as it is by default; the theta is the class's own.
    "smollm3": case(
        SMOLLM3, without=("tie_word_embeddings",), **WIDE_HEADS, length=40, differs={"no_rope_layers": [1, 1, 1, 1]}),
    "smollm3-window": case(
        SMOLLM3, no_rope_layers=[0, 1, 0], num_hidden_layers=3, use_sliding_window=True, sliding_window=6,
        rope_theta=5e6, tie_word_embeddings=False, attention_bias=True, torch_dtype="float16", length=40,
        differs={"no_rope_layers": [1, 0, 1]}),
    "ministral": case(
        MINISTRAL, num_hidden_layers=3, sliding_window=7, length=40, rope_theta=1e6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        differs={"layer_types": ["full_attention"] * 3}),
    "ministral-yarn": case(
        MINISTRAL, sliding_window=9, length=48, tie_word_embeddings=True, torch_dtype="float16",
        rope_scaling={**YARN, "rope_theta": 1e6, "mscale": 1.0, "mscale_all_dim": 0.0},
        differs={"sliding_window": 10}),
    # Norms are kept in f32, and the members of what samp fuses are of different types.
    "mixed-types": case(shards=2, attention_bias=True, differs={"attention_bias": False}),
}


def stored_dtype(name, key, config):
    if name != "mixed-types":
        return DTYPES[config.get("dtype", config.get("torch_dtype"))]
    if "norm" in key or "up_proj" in key or "k_proj.bias" in key:
        return torch.float32
    return torch.float16 if "v_proj" in key or "embed" in key else torch.bfloat16


def random_weight(key, shape, generator):
    """Spread so that attention is peaked, norms differ from 1, biases from 0, and logits are of order 1 to 10."""
    noise = torch.randn(shape, generator=generator)
    if "norm" in key:
        return 1 + 0.2 * noise
    if key.endswith(".bias"):
        return 0.3 * noise
    if "embed" in key or "lm_head" in key:
        return 0.3 * noise
    return noise * (1.8 if "q_proj" in key or "k_proj" in key else 0.8) / shape[-1] ** 0.5


def weights(name, config):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(parsed(config))
    tensors = {}
    for key, empty in model.state_dict().items():
        tensors[key] = random_weight(key, empty.shape, generator).to(stored_dtype(name, key, config))
    if parsed(config).tie_word_embeddings:
        tensors.pop("lm_head.weight")
        if name == "tied-odd":
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    return tensors


def parsed(config):
    keys = json.loads(json.dumps(config))  # for_model takes its argument apart
    return transformers.AutoConfig.for_model(**keys)


def save_weights(folder, tensors, count):
    if count == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    keys = sorted(tensors)
    half = len(keys) // 2
    weight_map = {}
    for number, part in enumerate((keys[:half], keys[half:]), 1):
        file = f"model-{number:05}-of-{count:05}.safetensors"
        save_file({key: tensors[key] for key in part}, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def logits(folder, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(ids).logits


def logits_otherwise(folder, ids, config):
    """With another config.json."""
    with tempfile.TemporaryDirectory() as other:
        shutil.copytree(folder, other, dirs_exist_ok=True)
        write_config(pathlib.Path(other), config)
        return logits(other, ids)


def write_config(folder, config):
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def make(name, config, length, shards, differs):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_config(folder, config)
    save_weights(folder, weights(name, config), shards)
    generator = torch.Generator().manual_seed(1 + zlib.crc32(name.encode()))
    ids = torch.randint(config["vocab_size"], (2, length), generator=generator)
    found = logits(folder, ids)
    difference = (found - logits_otherwise(folder, ids, {**config, **differs})).abs().max().item()
    print(f"{name:18} logits to {found.abs().max():5.1f}, without its feature {difference:6.3f} off")
    assert difference > 0.05, f"{name}: {differs} makes no difference"
    save_file({"input_ids": ids, "logits": found.contiguous()}, folder / "reference.safetensors")


def main():
    transformers.logging.set_verbosity_error()
    for name in sys.argv[1:] or CASES:
        make(name, **CASES[name])


if __name__ == "__main__":
    main()
