"""Measures samp and llama.cpp in turns; called by cpu_peers.sh. Writes results.json and prints medians and ratios."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import gguf
import numpy

PROMPT, GENERATE = 512, 64
# samp's recipe, and the peers' formats of as many bits. The head is f16 everywhere.
PAIRS = [
    ("uniform:nf4", ["Q4_0", "IQ4_NL"]),
    ("uniform:int4", ["Q4_0"]),
    ("uniform:int8", ["Q8_0"]),
    ("uniform:f16", ["F16"]),
]
TENSORS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def run(*command):
    """The output of a command, which must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def whole(path, make):
    """Makes a file or folder under another name first, unless it is there."""
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        partial = path.with_name("partial-" + path.name)
        make(partial)
        partial.rename(path)
    return path


def name_in_gguf(name):
    base = name.removesuffix(".weight")
    if base in OUTSIDE:
        return OUTSIDE[base] + ".weight"
    _, _, layer, rest = base.split(".", 3)
    return f"blk.{layer}.{TENSORS[rest]}.weight"


def tensors(model):
    """Name, shape and bf16 bits of each tensor of a checkpoint."""
    for path in sorted(model.glob("*.safetensors")):
        data = numpy.memmap(path, dtype=numpy.uint8, mode="r")
        size = int(data[:8].view("<u8")[0])
        for name, tensor in json.loads(data[8 : 8 + size].tobytes()).items():
            if name != "__metadata__":
                start, end = tensor["data_offsets"]
                yield name, tensor["shape"], data[8 + size + start : 8 + size + end].view("<u2")


def write_gguf(model, path):
    """A model without a tokenizer: llama-bench takes random tokens."""
    config = json.loads((model / "config.json").read_text())
    to = gguf.GGUFWriter(str(path), "llama")
    to.add_context_length(4096)
    to.add_embedding_length(config["hidden_size"])
    to.add_block_count(config["num_hidden_layers"])
    to.add_feed_forward_length(config["intermediate_size"])
    to.add_head_count(config["num_attention_heads"])
    to.add_head_count_kv(config["num_key_value_heads"])
    to.add_rope_dimension_count(config["head_dim"])
    to.add_rope_freq_base(config["rope_theta"])
    to.add_layer_norm_rms_eps(config["rms_norm_eps"])
    to.add_vocab_size(config["vocab_size"])
    to.add_tokenizer_model("no_vocab")
    to.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for name, shape, bits in tensors(model):
        values = (bits.astype(numpy.uint32) << 16).view(numpy.float32).reshape(shape)
        to.add_tensor(name_in_gguf(name), values if len(shape) == 1 else values.astype(numpy.float16))
    to.write_header_to_file()
    to.write_kv_data_to_file()
    to.write_tensors_to_file()
    to.close()


def load():
    """Processes that wanted to run over the last minute, beside what is measured."""
    return os.getloadavg()[0]


def bench_samp(samp, plan):
    told = run(samp, "bench", plan, "--prompt", PROMPT, "--generate", GENERATE, "--sequences", "1,16",
               "--repeat", 1, "--json", "--quiet")
    told = json.loads(told)
    one, many = told["decode"]
    return {
        "prompt": told["prompt"]["tokens_per_second"]["median"],
        "decode": one["tokens_per_second"]["median"],
        "decode_16": many["tokens_per_second"]["median"],
        "part_of_memory": one["part_of_memory"]["median"],
        "memory_gb_per_second": told["machine"]["memory_gb_per_second"]["median"],
    }


def bench_peer(folder, model, threads):
    told = run(folder / "bin/llama-bench", "-m", model, "-p", PROMPT, "-n", GENERATE, "-t", threads, "-r", 1, "-o", "json")
    speeds = {("prompt" if row["n_prompt"] else "decode"): row["avg_ts"] for row in json.loads(told)}
    return speeds


def main(samp, out, shape, rounds):
    out, threads = Path(out), len(os.sched_getaffinity(0))
    builds = [out / name for name in ("native", "avx512") if (out / name).exists()]
    model = whole(out / shape, lambda path: run(samp, "synth", "--shape", shape, path))
    plans = {
        recipe: whole(out / f"{shape}-{recipe.split(':')[1]}.plan",
                      lambda path, recipe=recipe: run(samp, "compile", model, "--target", "cpu", "--recipe", recipe, "-o", path))
        for recipe, _ in PAIRS
    }
    base = whole(out / f"{shape}.F16.gguf", lambda path: write_gguf(model, path))
    models = {"F16": base}
    for kind in ("Q4_0", "IQ4_NL", "Q8_0"):
        models[kind] = whole(
            out / f"{shape}.{kind}.gguf",
            lambda path, kind=kind: run(out / "native/bin/llama-quantize", "--pure", "--output-tensor-type", "F16",
                                        "--token-embedding-type", "F16", base, path, kind, threads),
        )
    results = []
    for round in range(int(rounds)):
        for recipe, kinds in PAIRS:
            row = {"round": round, "load": load(), "recipe": recipe, "samp": bench_samp(samp, plans[recipe]), "peers": {}}
            for kind in kinds:
                for build in builds:
                    row["peers"][f"{kind} {build.name}"] = bench_peer(build, models[kind], threads)
            results.append(row)
            (out / "results.json").write_text(json.dumps({"threads": threads, "shape": shape, "rounds": results}, indent=1))
            print(f"round {round} {recipe}: {json.dumps(row['samp'])} {json.dumps(row['peers'])}", file=sys.stderr)
    show(shape, threads, results)


def show(shape, threads, results):
    """Medians over rounds, of ratios within a round."""
    print(f"{shape}, {threads} threads; tokens a second of samp, and how many times those of llama.cpp")
    print(f"{'samp':14}{'llama.cpp':18}{'prompt':>9}{'':9}{'decode':>9}{'':9}{'of memory':>10}{'16 sequences':>14}")
    for recipe, _ in PAIRS:
        rows = [row for row in results if row["recipe"] == recipe]
        median = lambda of: statistics.median(of(row) for row in rows)
        for peer in rows[0]["peers"]:
            ratio = lambda what: median(lambda row: row["samp"][what] / row["peers"][peer][what])
            speed = lambda what: median(lambda row: row["samp"][what])
            print(
                f"{recipe:14}{peer:18}{speed('prompt'):9.1f}{ratio('prompt'):7.2f} x{speed('decode'):9.2f}{ratio('decode'):7.2f} x"
                f"{100 * speed('part_of_memory'):8.0f} %{median(lambda row: row['samp']['decode_16'] / row['samp']['decode']):12.1f} x"
            )
    print(f"load before each: {min(row['load'] for row in results):.1f} to {max(row['load'] for row in results):.1f}")


main(*sys.argv[1:])
