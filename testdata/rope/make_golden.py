"""Writes golden.json: rotary frequencies as Hugging Face transformers computes them (in f32).

Run from anywhere, with torch and transformers installed:  python testdata/rope/make_golden.py
Each case holds a whole config.json, the context it is served with (null: as trained) and the frequencies.
"""

import json
import pathlib

import transformers
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = pathlib.Path(__file__).parent
BASE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
    "num_attention_heads": 8, "num_hidden_layers": 2, "vocab_size": 1000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
}


def case(name, context=None, **keys):
    config = {**BASE, **keys}
    # from_dict takes its argument apart.
    parsed = transformers.LlamaConfig.from_dict(json.loads(json.dumps(config)))
    kind = parsed.rope_parameters["rope_type"]
    if kind == "default":
        frequencies, attention_factor = LlamaRotaryEmbedding.compute_default_rope_parameters(parsed)
    else:
        frequencies, attention_factor = ROPE_INIT_FUNCTIONS[kind](parsed, seq_len=context)
    assert attention_factor == 1.0
    return {"name": name, "config": config, "context": context, "inv_frequencies": frequencies.tolist()}


def main():
    shipped = lambda name: json.loads((HERE.parent / "configs" / f"{name}.json").read_text())
    llama3 = {
        "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 512,
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
        case("default in rope_parameters", rope_parameters={"rope_type": "default", "rope_theta": 2e5}),
    ]
    text = json.dumps({"transformers": transformers.__version__, "cases": cases}, indent=1)
    (HERE / "golden.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
