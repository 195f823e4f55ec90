#!/usr/bin/env python3
"""The codebooks of ggml's IQ types, as `compiler/src/import/gguf/grids.bin` has them, from gguf-py's tables.

    pip install gguf
    python make_grids.py

The digits of each grid's points one after another, the first in the lowest bits: two bits each, of IQ3 four. In the order
IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1, then the 128 bytes of signs.
"""
import pathlib

import numpy as np
from gguf import quants as q

OUT = pathlib.Path(__file__).parent.parent.parent / "compiler/src/import/gguf/grids.bin"
data = bytearray()
for kind in (q.IQ2_XXS, q.IQ2_XS, q.IQ2_S, q.IQ3_XXS, q.IQ3_S, q.IQ1_S):
    kind.init_grid()
    digits = np.argmax(kind.grid.reshape(-1, 1) == np.array(kind.grid_map, dtype=np.float32), axis=1)
    bits = 4 if len(kind.grid_map) == 8 else 2
    per = 8 // bits
    digits = digits.reshape(-1, per)
    data += bytes(sum(int(d) << (bits * i) for i, d in enumerate(row)) for row in digits)
    print(kind.__name__, len(data))
data += q.IQ2_XXS.ksigns
OUT.write_bytes(data)
print(len(data))
