"""Writes the golden vectors that kernels/tests/formats.rs compares with.

    python testdata/formats/make_golden.py

Needs torch, bitsandbytes 0.50, ml_dtypes, numpy and safetensors; samp itself needs none of them. Two files result:

bitsandbytes.safetensors
    For each case NAME and format F: `NAME.F.codes`, `NAME.F.absmax_codes`, `NAME.F.absmax_scales`,
    `NAME.F.absmax_offset`, computed by bitsandbytes on the CPU with blocks of 64 and compressed statistics. Cases with
    `NAME.input` hold their input, and their bitsandbytes decoding as `NAME.F.decoded`. Cases named `weight:TENSOR` take
    their input from testdata/models/tiny-llama; `formula` takes it from the formula in `formula()`, and stores no codes.
    `absmax_map` is the map of the 8-bit absmax codes.

    torch runs on one thread here: it sums more than 32768 absmax values in an order that depends on the number of its
    threads, so that the last bit of bitsandbytes' own offset is not the same on every machine. samp keeps the order of
    one thread.

ml_dtypes.safetensors
    `fp8_e4m3`: the code of every f16 bit pattern, in order, as ml_dtypes rounds it to float8_e4m3fn. ml_dtypes gives NaN
    where a finite value exceeds the range (samp saturates).
"""

import json
import pathlib

import bitsandbytes.functional as bnb
import ml_dtypes
import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "tiny-llama"
WEIGHTS = ["model.layers.0.mlp.down_proj.weight", "model.layers.3.self_attn.k_proj.weight"]


def inputs():
    """Named inputs `[rows, cols]` that are stored with their results."""
    generator = torch.Generator().manual_seed(20)
    normal = lambda *shape: torch.randn(*shape, generator=generator)
    yield "one_block", normal(1, 64)
    yield "seven_blocks", normal(7, 64)
    yield "ragged_f16", (normal(37, 448) * 0.02).half()  # 259 blocks: one group and three more
    yield "ragged_bf16", (normal(19, 1024) * 0.02).bfloat16()  # 304 blocks
    yield "zeros", torch.zeros(3, 128)
    some_zero = normal(8, 256)
    some_zero[::2, :64] = 0.0
    some_zero[1, 64:128] = -0.0
    yield "some_zero_blocks", some_zero
    equal = normal(5, 128).clamp(-1, 1)
    equal[:, ::64] = 1.0
    yield "equal_absmax", equal
    yield "tiny", normal(9, 128) * 1e-38
    yield "subnormal", normal(9, 128) * 1e-42
    yield "huge", normal(9, 128).clamp(-3, 3) * 1e36
    exponents = torch.rand(40, 4, 1, generator=generator) * 60 - 30
    yield "wide", (normal(40, 4, 64) * 10.0**exponents).reshape(40, 256)
    yield "midpoints", midpoints()


def midpoints():
    """Every decision threshold of both formats, exactly and one unit to either side, in blocks whose absmax is 1."""
    rows = []
    for name in ("nf4", "fp4"):
        code = bnb.get_4bit_type(name, device="cpu").sort()[0]
        mids = (code[1:] + code[:-1]) / 2
        near = [torch.nextafter(mids, torch.full_like(mids, side)) for side in (-2.0, 2.0)]
        rows.append(torch.cat([torch.tensor([1.0]), mids, *near, torch.zeros(18)]))
    return torch.stack(rows)


def formula():
    """A tensor with more than 32768 blocks: a multiplicative hash of the index, louder in later rows."""
    rows, cols = 5003, 512
    index = np.arange(rows * cols, dtype=np.uint64)
    hashed = (index * np.uint64(2654435761) % np.uint64(1 << 32)) >> np.uint64(8)
    uniform = hashed.astype(np.float32) / np.float32(1 << 24) - np.float32(0.5)
    loudness = np.arange(1, rows + 1, dtype=np.float32)
    return torch.from_numpy(uniform.reshape(rows, cols) * loudness[:, None])


def weight(name):
    shard = json.loads((MODEL / "model.safetensors.index.json").read_text())["weight_map"][name]
    with safe_open(MODEL / shard, "pt") as file:
        return file.get_tensor(name)


def quantize(tensor, quant_type):
    codes, state = bnb.quantize_4bit(tensor, blocksize=64, compress_statistics=True, quant_type=quant_type)
    parts = {
        "codes": codes.reshape(tensor.shape[0], -1),
        "absmax_codes": state.absmax.reshape(tensor.shape[0], -1),
        "absmax_scales": state.state2.absmax,
        "absmax_offset": state.offset.reshape(1),
    }
    state.dtype = torch.float32
    return parts, bnb.dequantize_4bit(codes, state).reshape(tensor.shape)


def bitsandbytes_golden():
    golden = {"absmax_map": bnb.create_dynamic_map()}

    def add(case, tensor, left_out=()):
        for quant_type in ("nf4", "fp4"):
            parts, decoded = quantize(tensor, quant_type)
            parts["decoded"] = decoded
            for part, value in parts.items():
                if part not in left_out:
                    golden[f"{case}.{quant_type}.{part}"] = value.contiguous().clone()

    for case, tensor in inputs():
        golden[f"{case}.input"] = tensor
        add(case, tensor)
    for name in WEIGHTS:
        add(f"weight:{name}", weight(name), left_out=("decoded",))
    add("formula", formula(), left_out=("codes", "decoded"))
    return golden


def main():
    torch.set_num_threads(1)
    save_file(bitsandbytes_golden(), HERE / "bitsandbytes.safetensors")
    every_f16 = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    codes = every_f16.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    save_numpy({"fp8_e4m3": codes}, HERE / "ml_dtypes.safetensors")


if __name__ == "__main__":
    main()
