"""Writes golden.json: rotary frequencies, and what turned channels are multiplied by, as transformers has them (in f32).

Run from anywhere, with torch and transformers installed:  python testdata/rope/make_golden.py
Each case holds a whole config.json, the context it is served with (null: as trained) and the frequencies.
"""

import json
import pathlib

import transformers
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = pathlib.Path(__file__).parent
BASE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
    "num_attention_heads": 8, "num_hidden_layers": 2, "vocab_size": 1000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
}


def case(name, context=None, **keys):
    config = {**BASE, **keys}
    # for_model takes its argument apart.
    parsed = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    kind = parsed.rope_parameters["rope_type"]
    if kind == "default":
        module = Phi3RotaryEmbedding if config["model_type"] == "phi3" else LlamaRotaryEmbedding
        frequencies, scale = module.compute_default_rope_parameters(parsed)
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[kind](parsed, seq_len=context)
    return {
        "name": name, "config": config, "context": context, "inv_frequencies": frequencies.tolist(), "scale": scale,
    }


def main():
    shipped = lambda name: json.loads((HERE.parent / "configs" / f"{name}.json").read_text())
    llama3 = {
        "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
    }
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    longrope = {
        "rope_type": "longrope", "short_factor": [1 + i / 100 for i in range(32)],
        "long_factor": [1.5 ** (i / 4) for i in range(32)],
    }
    phi = {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": 1024, "num_attention_heads": 8,
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "pad_token_id": 0,
    }
    cases = [
        case("llama-2-7b", **shipped("llama-2-7b")),
        case("llama-3-8b", **shipped("llama-3-8b")),
        case("llama-3.1-8b", **shipped("llama-3.1-8b")),
        case("llama-3.2-1b", **shipped("llama-3.2-1b")),
        case("default theta", head_dim=48),
        case("linear", rope_scaling={"type": "linear", "factor": 2.5}),
        case("linear in the old and the new spelling", rope_scaling={"type": "linear", "rope_type": "linear", "factor": 4}),
        case("dynamic as trained", rope_scaling={"type": "dynamic", "factor": 2.0}),
        case("dynamic below", context=1000, rope_scaling={"type": "dynamic", "factor": 2.0}),
        case("dynamic beyond", context=8192, rope_theta=500000.0, rope_scaling={"type": "dynamic", "factor": 2.0}),
        case("llama3 in rope_parameters", rope_parameters={**llama3, "rope_theta": 1e6}),
        case("yarn of Qwen 2.5", rope_theta=1e6, rope_scaling={**yarn}),
        case("yarn of a large factor", rope_scaling={**yarn, "factor": 40.0, "original_max_position_embeddings": 64}),
        case("yarn with all options", head_dim=48, rope_theta=500.0, rope_scaling={
            **yarn, "beta_fast": 20, "beta_slow": 3, "mscale": 0.8, "mscale_all_dim": 1.2, "truncate": False}),
        case("yarn with betas at one place", rope_scaling={**yarn, "beta_fast": 4.0, "beta_slow": 4.0, "truncate": False}),
        case("yarn with its own magnitude", rope_parameters={
            "rope_type": "yarn", "factor": 2.0, "attention_factor": 1.5, "rope_theta": 1e5}),
        case("longrope", context=4096, rope_scaling={**longrope, "original_max_position_embeddings": 1024}),
        case("longrope within", context=1024, rope_scaling={**longrope, "original_max_position_embeddings": 1024}),
        case("longrope with a factor", context=2048, rope_scaling={
            **longrope, "factor": 16.0, "original_max_position_embeddings": 256}),
        case("Phi-4-mini", context=131072, **{**phi, "partial_rotary_factor": 0.75}, rope_scaling={
            "type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1 + i * i / 50 for i in range(48)]}),
        case("Phi-3 without scaling", **{**phi, "max_position_embeddings": 4096, "partial_rotary_factor": 0.3}),
        case("default in rope_parameters", rope_parameters={"rope_type": "default", "rope_theta": 2e5}),
    ]
    text = json.dumps({"transformers": transformers.__version__, "cases": cases}, indent=1)
    (HERE / "golden.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
