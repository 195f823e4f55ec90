"""Derives the outlier checkpoint from tiny-llama: the same function with hostile weights.

Run:  python3 testdata/models/make_outliers.py OUT_DIR        (the standard library is enough)

Each edit of outliers.json multiplies rows, columns or norm channels by a power of two and divides what they meet next
by the same. Powers of two are exact in bf16 and f32 alike, so the f32 logits equal tiny-llama's bit for bit,
while its weights have the outlier channels that low-bit integer formats suffer from.
"""

import json
import pathlib
import shutil
import struct
import sys

HERE = pathlib.Path(__file__).parent
SOURCE = HERE / "tiny-llama"
CONFIG = json.loads((SOURCE / "config.json").read_text())
HEAD_DIM = CONFIG["head_dim"]
GROUP = CONFIG["num_attention_heads"] // CONFIG["num_key_value_heads"]


class Shard:
    """A safetensors file in memory; edits change values in place, so that header and order stay as they are."""

    def __init__(self, path):
        self.name = path.name
        self.bytes = bytearray(path.read_bytes())
        (length,) = struct.unpack_from("<Q", self.bytes)
        self.data = 8 + length
        self.tensors = json.loads(self.bytes[8 : self.data])
        self.tensors.pop("__metadata__", None)

    def scale(self, name, scale, rows=None, cols=None):
        """Multiplies the given rows, or columns, of a bf16 tensor; all of one where the other is given."""
        entry = self.tensors[name]
        assert entry["dtype"] == "BF16", name
        height, width = entry["shape"] if len(entry["shape"]) == 2 else (1, entry["shape"][0])
        for row in range(height) if rows is None else rows:
            for col in range(width) if cols is None else cols:
                at = self.data + entry["data_offsets"][0] + 2 * (row * width + col)
                (value,) = struct.unpack("<f", b"\0\0" + self.bytes[at : at + 2])
                low, high = struct.unpack("<2s2s", struct.pack("<f", value * scale))
                assert low == b"\0\0", f"{name}[{row}, {col}] = {value} times {scale} is not exact in bf16"
                self.bytes[at : at + 2] = high


def main(out):
    shards = [Shard(path) for path in sorted(SOURCE.glob("model-*.safetensors"))]

    def scale(layer, name, factor, **where):
        tensor = f"model.layers.{layer}.{name}.weight"
        next(s for s in shards if tensor in s.tensors).scale(tensor, factor, **where)

    for edit in json.loads((HERE / "outliers.json").read_text())["edits"]:
        layer, factor = edit["layer"], edit["scale"]
        if edit["kind"] == "norm":
            scale(layer, edit["norm"], factor, cols=edit["channels"])
            for linear in edit["linears"]:
                scale(layer, linear, 1 / factor, cols=edit["channels"])
        elif edit["kind"] == "up/down":
            scale(layer, "mlp.up_proj", factor, rows=edit["channels"])
            scale(layer, "mlp.down_proj", 1 / factor, cols=edit["channels"])
        elif edit["kind"] == "v/o":
            scale(layer, "self_attn.v_proj", factor, rows=edit["v_rows"])
            # Each key/value head serves a group of query heads.
            cols = [
                (GROUP * (row // HEAD_DIM) + head) * HEAD_DIM + row % HEAD_DIM
                for row in edit["v_rows"] for head in range(GROUP)
            ]
            scale(layer, "self_attn.o_proj", 1 / factor, cols=cols)
        elif edit["kind"] == "q/k rope pairs":
            half = HEAD_DIM // 2
            # Pairs are counted over all key/value heads; a pair is channels i and i + half of its head.
            turned = [(pair // half, pair % half + side * half) for pair in edit["pairs"] for side in (0, 1)]
            k_rows = [head * HEAD_DIM + channel for head, channel in turned]
            q_rows = [
                (GROUP * head + member) * HEAD_DIM + channel for head, channel in turned for member in range(GROUP)
            ]
            scale(layer, "self_attn.k_proj", factor, rows=k_rows)
            scale(layer, "self_attn.q_proj", 1 / factor, rows=q_rows)
        else:
            sys.exit(f"outliers.json: unknown kind {edit['kind']!r}")

    out.mkdir(parents=True, exist_ok=True)
    for path in SOURCE.iterdir():
        if path.suffix == ".json":
            shutil.copyfile(path, out / path.name)
    shutil.copyfile(HERE / "outliers.json", out / "outliers.json")
    for shard in shards:
        (out / shard.name).write_bytes(shard.bytes)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
