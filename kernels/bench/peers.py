#!/usr/bin/env python3
"""What others reach on the same GPU and shapes: torch's f16, fp8 and int4 linears, its attention, and bitsandbytes' NF4.

Writes JSON, whole after each row. Each figure is the median over replays of a CUDA graph that goes round in enough operands
to leave the cache cold, as `samp-gpu bench kernels` measures. A peer that cannot be had or fails is listed under "absent"
with the reason; after a fault of the GPU, which leaves nothing to go on with, what was measured until then stands.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys

TOKENS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
BATCHES = [1, 8, 32, 128]
CONTEXTS = [512, 2048, 8192]
PROMPTS = [2048, 8192]
COLD_BYTES = 320 << 20
MODELS = {
    "llama-3-8b": {"hidden": 4096, "intermediate": 14336, "heads": 32, "kv_heads": 8, "head_dim": 128},
    "llama-3-70b": {"hidden": 8192, "intermediate": 28672, "heads": 64, "kv_heads": 8, "head_dim": 128},
}
VOCAB = 128256


def shapes(model):
    """Rows and columns of the linears as samp fuses them."""
    hidden, intermediate = model["hidden"], model["intermediate"]
    heads, kv = model["heads"] * model["head_dim"], model["kv_heads"] * model["head_dim"]
    return {
        "qkv": (heads + 2 * kv, hidden),
        "o": (hidden, heads),
        "gate_up": (2 * intermediate, hidden),
        "down": (hidden, intermediate),
        "lm_head": (VOCAB, hidden),
    }


class Lost(Exception):
    """The GPU does nothing more for this process."""


class Bench:
    """Measures on the current GPU, into a report that is kept in a file."""

    def __init__(self, torch, path):
        self.torch, self.path = torch, path
        # The default generator is no longer of use after a recording that failed.
        self.generator = torch.Generator("cuda")
        self.report = {**versions(torch), "ceilings": {}, "linear": [], "attention": [], "absent": {}}
        self.write()

    def write(self):
        """The file holds all of the report, or what it held before."""
        with open(self.path + ".partial", "w") as file:
            json.dump(self.report, file, indent=1)
        os.replace(self.path + ".partial", self.path)

    def normal(self, *shape):
        """Normal numbers in f16."""
        return self.torch.randn(shape, device="cuda", dtype=self.torch.float16, generator=self.generator)

    def add(self, what, row):
        self.report[what].append(row)
        self.write()

    def microseconds(self, launches, least=5, most=41, enough_us=10e3):
        """Median time of one of the launches, recorded together and replayed."""
        torch = self.torch
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            launches[0]()
            launches[-1]()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for launch in launches:
                launch()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def once():
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e3

        once()
        repeats = min(most, max(least, int(enough_us / once())))
        return statistics.median(once() for _ in range(repeats)) / len(launches)

    def operands(self, make, bytes_each):
        """Enough of them that none is found in the cache when its turn comes."""
        return [make() for _ in range(max(1, min(64, -(-COLD_BYTES // max(1, bytes_each)))))]

    def turns(self, operands, run, bytes_each):
        """The launches of one recording, over the operands in turn."""
        wanted = max(len(operands), min(128, int(1e3 / (bytes_each / 4e6 + 2)) + 1))
        return [lambda turn=turn: run(operands[turn % len(operands)]) for turn in range(wanted)]

    def attempt(self, peer, measure):
        """The figure, or nothing and why."""
        if peer in self.report["absent"]:
            return None
        try:
            return measure()
        except Exception as error:  # whatever a peer raises, the others go on
            self.report["absent"][peer] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            self.write()
        try:
            self.torch.cuda.synchronize()
        except Exception as error:
            raise Lost(f"after {peer}: {error}".splitlines()[0]) from None
        return None


def versions(torch):
    """What is measured, by which versions."""
    found = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name()}
    try:
        found["bitsandbytes"] = importlib.metadata.version("bitsandbytes")
    except importlib.metadata.PackageNotFoundError:
        found["bitsandbytes"] = None
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found["driver"] = subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["driver"] = None
    return found


def ceilings(bench):
    """GB/s of a large copy, read and written bytes counted, and TFLOPS of a large f16 product of random data."""
    torch = bench.torch
    x = torch.empty(2 << 30, dtype=torch.uint8, device="cuda").random_(generator=bench.generator)
    y = torch.empty_like(x)
    copy = bench.microseconds([lambda: y.copy_(x)] * 2)
    del x, y
    a, b = (bench.normal(8192, 8192) for _ in range(2))
    product = bench.microseconds([lambda: torch.mm(a, b)] * 2)
    return {"copy_gbs": 2 * (2 << 30) / copy / 1e3, "matmul_tflops": 2 * 8192**3 / product / 1e6}


def peers_over(bench, rows, cols):
    """For each peer: bytes of a weight, how one is made, what x is stored as, and what computes x times a weight."""
    torch, functional = bench.torch, bench.torch.nn.functional
    half = lambda: bench.normal(rows, cols) * 0.02
    one = torch.ones((), device="cuda")

    def int4():
        # Two codes to a byte, in tiles of 8 x 16 columns; a scale and a zero for each group of 128.
        codes = torch.empty(rows, cols // 2, device="cuda", dtype=torch.uint8)
        codes.random_(generator=bench.generator)
        packed = torch.ops.aten._convert_weight_to_int4pack(codes, 8)
        return packed, bench.normal(cols // 128, rows, 2).to(torch.bfloat16)

    def nf4():
        import bitsandbytes.functional as quantize

        return quantize.quantize_4bit(half(), blocksize=64, quant_type="nf4", compress_statistics=True)

    def by_nf4(x, weight):
        import bitsandbytes

        return bitsandbytes.matmul_4bit(x, weight[0], quant_state=weight[1])

    fp8 = torch.float8_e4m3fn
    by_fp8 = lambda x, weight: torch._scaled_mm(x, weight.t(), one, one, out_dtype=torch.float16)
    by_int4 = lambda x, weight: torch.ops.aten._weight_int4pack_mm(x, weight[0], 128, weight[1])
    return {
        "torch f16": (2 * rows * cols, half, torch.float16, functional.linear),
        "torch fp8": (rows * cols, lambda: half().to(fp8), fp8, by_fp8),
        "torch int4": (rows * cols // 2, int4, torch.bfloat16, by_int4),
        "bitsandbytes nf4": (rows * cols // 2, nf4, torch.float16, by_nf4),
    }


def linears(bench, model, tokens):
    """Every peer over the shapes of a model."""
    torch = bench.torch
    for projection, (rows, cols) in shapes(MODELS[model]).items():
        for peer, (size, make, stored, run) in peers_over(bench, rows, cols).items():
            if projection == "lm_head" and peer != "torch f16":
                continue
            weights = bench.attempt(peer, lambda: bench.operands(make, size))
            for count in tokens if weights else []:
                # The fp8 product takes rows of 16 at a time: fewer are padded, as its callers do.
                padded = max(count, 16) if peer == "torch fp8" else count

                def measure():
                    x = bench.normal(padded, cols).to(stored)
                    return bench.microseconds(bench.turns(weights, lambda weight: run(x, weight), size))

                time = bench.attempt(peer, measure)
                if time is not None:
                    row = {"model": model, "projection": projection, "rows": rows, "cols": cols}
                    bench.add("linear", {**row, "tokens": count, "peer": peer, "microseconds": time})
            del weights
            torch.cuda.empty_cache()


def attention(bench, model):
    """torch's attention over a cache that is not paged: of one token of each sequence, and of whole prompts."""
    torch, sizes = bench.torch, MODELS[model]
    attend = torch.nn.functional.scaled_dot_product_attention
    loads = [(batch, 1, context) for batch in BATCHES for context in CONTEXTS]
    for batch, tokens, context in [(1, prompt, prompt) for prompt in PROMPTS] + loads:
        shape = (batch, sizes["kv_heads"], context, sizes["head_dim"])
        size = 4 * shape[0] * shape[1] * shape[2] * shape[3]
        peer = "torch sdpa" if tokens == 1 else "torch causal sdpa"

        def measure():
            q = bench.normal(batch, sizes["heads"], tokens, sizes["head_dim"])
            run = lambda kv: attend(q, *kv, is_causal=tokens > 1, enable_gqa=True)
            if tokens > 1:
                # A prompt takes arithmetic: two launches are long enough, whatever the cache holds.
                kv = [bench.normal(*shape), bench.normal(*shape)]
                return bench.microseconds([lambda: run(kv)] * 2)
            operands = bench.operands(lambda: [bench.normal(*shape), bench.normal(*shape)], size)
            return bench.microseconds(bench.turns(operands, run, size))

        time = bench.attempt(peer, measure)
        if time is not None:
            row = {"model": model, "batch": batch, "tokens": tokens, "context": context, "peer": peer}
            bench.add("attention", {**row, "microseconds": time, "gbs": size / time / 1e3})
        torch.cuda.empty_cache()


def measured(bench, models, tokens):
    """Everything, what is quick and telling first."""
    found = bench.attempt("ceilings", lambda: ceilings(bench))
    bench.report["ceilings"] = found or {}
    bench.write()
    for model in models:
        attention(bench, model)
    for model in models:
        linears(bench, model, tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", required=True, help="file to write")
    parser.add_argument("--bitsandbytes", help="folder of an unpacked wheel")
    parser.add_argument("--models", default=",".join(MODELS), help="models, by commas")
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)), help="numbers of tokens, by commas")
    options = parser.parse_args()
    if options.bitsandbytes:
        sys.path.insert(0, options.bitsandbytes)
    import torch

    torch.set_grad_enabled(False)
    bench = Bench(torch, options.json)
    try:
        measured(bench, options.models.split(","), [int(count) for count in options.tokens.split(",")])
    except Lost as error:
        sys.exit(f"the GPU is lost {error}; what was measured before is in {options.json}")
    for peer, reason in bench.report["absent"].items():
        print(f"{peer} is absent: {reason}")


if __name__ == "__main__":
    main()
