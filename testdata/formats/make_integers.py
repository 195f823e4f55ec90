"""Writes integers.safetensors: int8 and int4 by numpy alone, which kernels/tests/formats compares with.

    python testdata/formats/make_integers.py

The rules are those that `samp_abi::Format` states, in f32 throughout. For each case NAME there is `NAME.input`, and for
each format F an array `NAME.F.PART` per component, `NAME.F.decoded` among them. The outlier columns are 3 and 90.
"""

import pathlib

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
F32, F16 = np.float32, np.float16
OUTLIERS = np.array([3, 90], dtype=np.uint32)


def inputs():
    random = np.random.default_rng(8)
    normal = lambda *shape: random.standard_normal(shape).astype(F32)
    yield "normal", normal(7, 256)
    yield "loud_rows", normal(6, 128) * F32(10) ** np.arange(-6, 6, 2, dtype=F32)[:, None]
    some_zero = normal(4, 256)
    some_zero[1], some_zero[2, 64:192] = 0, 0
    yield "zeros", some_zero
    yield "one_sided", np.abs(normal(4, 128)) + F32(0.25)
    # With a largest value of 127 and of 8 the scale is a power of two, and every half is a tie.
    ties = np.arange(128, dtype=F32) / F32(2) - F32(31.75 - 0.25)
    yield "ties", np.stack([np.append(ties[:-1], F32(-127)), np.append(ties[:-1] / F32(8), F32(-8))])
    yield "tiny", normal(4, 128) * F32(1e-39)


def nibbles(codes):
    """Two to a byte, the first in the high half; a last one alone gets a zero beside it."""
    flat = codes.astype(np.int32).reshape(-1) & 15
    flat = np.append(flat, np.zeros(flat.size % 2, dtype=np.int32)).astype(np.uint8)
    return flat[::2] << 4 | flat[1::2]


def int8(x, outliers):
    x = x.copy()
    parts = {}
    if outliers is not None:
        parts["outlier_columns"] = outliers
        parts["outlier_values"] = np.ascontiguousarray(x[:, outliers].astype(F16))
        x[:, outliers] = 0
    absmax = np.abs(x).max(axis=1)
    scales = np.where(absmax == 0, F32(1), np.maximum(absmax / F32(127), np.finfo(F32).tiny)).astype(F32)
    codes = np.rint(np.clip(x / scales[:, None], F32(-127), F32(127))).astype(np.int8)
    decoded = codes.astype(F32) * scales[:, None]
    if outliers is not None:
        decoded[:, outliers] = parts["outlier_values"].astype(F32)
    return {"codes": codes, "scales": scales, "decoded": decoded, **parts}


def stored_scale(scale):
    """In f16: 1 for a group of zeros, the smallest number for what would become zero."""
    stored = scale.astype(F16)
    smallest = np.array(1, dtype=np.uint16).view(F16)
    return np.where(scale == 0, F16(1), np.where(stored == 0, smallest, stored)).astype(F16)


def int4(x, group, zero_point):
    groups = x.reshape(-1, group)
    low, high = np.minimum(groups.min(axis=1), F32(0)), np.maximum(groups.max(axis=1), F32(0))
    if zero_point:
        stored = stored_scale((high / F32(2) - low / F32(2)) / F32(7.5))
        zeros = np.rint(np.minimum(-low / stored.astype(F32), F32(15)))
        least = 0
    else:
        stored = stored_scale(np.where(-low >= high, low, high) / F32(-8))
        zeros = np.zeros_like(low)
        least = -8
    scales = stored.astype(F32)[:, None]
    steps = np.rint(np.clip(groups / scales, F32(-16), F32(16)))
    codes = np.clip(steps + zeros[:, None], least, least + 15)
    decoded = ((codes - zeros[:, None]).astype(F32) * scales).reshape(x.shape)
    parts = {"codes": nibbles(codes), "scales": stored, "decoded": decoded}
    return parts | ({"zero_points": nibbles(zeros)} if zero_point else {})


FORMATS = {
    "int8": lambda x: int8(x, None),
    "int8_outliers": lambda x: int8(x, OUTLIERS),
    "int4": lambda x: int4(x, 128, False),
    "int4_g64": lambda x: int4(x, 64, False),
    "int4_asym": lambda x: int4(x, 128, True),
    "int4_g64_asym": lambda x: int4(x, 64, True),
}


def main():
    golden = {}
    for case, x in inputs():
        golden[f"{case}.input"] = np.ascontiguousarray(x, dtype=F32)
        for name, encode in FORMATS.items():
            for part, value in encode(golden[f"{case}.input"]).items():
                golden[f"{case}.{name}.{part}"] = np.ascontiguousarray(value)
    save_file(golden, HERE / "integers.safetensors")


if __name__ == "__main__":
    main()
