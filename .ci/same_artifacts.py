#!/usr/bin/env python3
"""Proves that two builds of samp make the same plans, profiles and certificates, byte for byte.

    .ci/same_artifacts.py BEFORE AFTER FOLDER [--only WORD]

BEFORE and AFTER are `samp` binaries. Each compiles every checkpoint and recipe of testdata and a set of calibrated cases into
FOLDER; what BEFORE made there in an earlier run is kept. Plans are compared file by file. A GPU plan's machine code lies in
files that are named by a hash over the kernel's source and symbol, so that for those the code itself is compared (the .text
sections), and the manifest and the report of kernels without the names, sizes and hashes of these files and the names of
constants.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TINY = "testdata/models/tiny-llama"
TEXTS = "testdata/data/eval.jsonl"
FORMATS = (
    "f32 f16 bf16 fp8_e4m3 fp8_e4m3_tensor int8 int8_outliers int6 int6_g64 int5 int5_g64 "
    "int4 int4_asym int4_g64 int4_g64_asym nf4 fp4"
).split()
LITTLE = ["--calib", TEXTS, "--calib-tokens", "1200", "--record-tokens", "48"]


def cases():
    """Name, arguments before the output, and what runs before it: everything that is compared."""
    shared = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "testdata/checkpoints").iterdir() if path.is_dir())
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "testdata/recipes").iterdir())
    recipes = ["samp", *files, *(f"uniform:{name}" for name in FORMATS)]
    for model in [TINY, *shared]:
        for recipe in recipes:
            yield f"cpu {Path(model).name} {Path(recipe).name}", ["compile", model, "--recipe", recipe]
    for target in ["h100", "h200", "a100"]:
        for recipe in recipes:
            yield f"{target} tiny-llama {Path(recipe).name}", ["compile", TINY, "--target", target, "--recipe", recipe]
        for name in ["tied", "all-biases", "mixed-types", "llama-mha"]:
            model = f"testdata/checkpoints/{name}"
            yield f"{target} {name} samp", ["compile", model, "--target", target, "--recipe", "samp"]
    for name, flags in {
        "kv": ["--kv-cache-dtype", "fp8"],
        "limits": ["--max-model-len", "64", "--max-num-seqs", "2", "--max-num-batched-tokens", "32"],
    }.items():
        yield f"cpu tiny-llama {name}", ["compile", TINY, *flags]
    for name, flags in {
        "quality": [],
        "4.8 bits": ["--max-bits", "4.8"],
        "4.3 bits exact": ["--max-bits", "4.3", "--sensitivity", "exact", "--formats", "nf4,int8,f16"],
        "memory": ["--optimize-for", "memory"],
        "latency": ["--optimize-for", "latency", "--max-loss", "3%"],
        "cost": ["--optimize-for", "cost", "--max-loss", "3%"],
        "edge": ["--optimize-for", "edge"],
        "device": ["--max-memory", "24MB", "--max-num-seqs", "2", "--max-model-len", "256"],
        "strata": ["--max-bits", "5", "--max-loss", "5%", "--max-loss", "code=4%", "--mix", "code=0.6,json=0.4"],
        "rotated": ["--max-bits", "4.8", "--quality", "fold,equalize,rotate,correct,gptq", "--seed", "3"],
        "refine": ["--max-bits", "4.8", "--quality", "equalize,refine"],
        "nearest": ["--max-bits", "4.8", "--quality", "nearest"],
        "outliers": ["--max-bits", "6", "--formats", "int4,int8,int8_outliers,f16"],
        "trials": ["--max-bits", "5", "--trials", "2", "--formats", "nf4,int8,f16"],
        "fp8 cache": ["--max-bits", "5", "--kv-cache-dtype", "fp8"],
        "h100": ["--max-bits", "5", "--target", "h100"],
    }.items():
        yield f"calibrated {name}", ["compile", TINY, *LITTLE, *flags]
    for name, flags in {
        "all": [],
        "exact": ["--sensitivity", "exact", "--formats", "nf4,f16"],
        "layers": ["--layers", "1..3"],
    }.items():
        yield f"profile {name}", ["measure", TINY, *LITTLE, *flags]


def make(binary, args, out, cache):
    """Runs a case; what it says where it refuses is its result."""
    if out.exists():
        return
    partial = out.with_name(out.name + ".making")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    made = partial / ("made.json" if args[0] == "measure" else "made")
    run = subprocess.run(
        [binary, *args, "--quiet", "-o", made], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "SAMP_CACHE": str(cache)},
    )
    if run.returncode != 0:
        for left in partial.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        text = run.stderr.replace(str(partial), "OUT")
        (partial / "refused.txt").write_text(f"{run.returncode}\n{text}")
    partial.rename(out)


def code_sections(cubin):
    """The machine code of an ELF file: its .text sections."""
    offset, size, count, names = struct.unpack_from("<Q", cubin, 40)[0], *struct.unpack_from("<HHH", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQ", cubin, offset + i * size) for i in range(count)]
    strings = sections[names][4]
    named = [(cubin[strings + s[0] : cubin.index(b"\0", strings + s[0])], cubin[s[4] : s[4] + s[5]]) for s in sections]
    return [code for name, code in named if name.startswith(b".text")]


def without_names(row):
    """A kernel of the report without its own name and those of its constants, which the sources may change."""
    kept = {key: value for key, value in row.items() if key not in ("path", "kernel")}
    return {**kept, "constants": sorted(row["constants"].values())}


def parts(folder):
    """What of a folder is compared: name and bytes, machine code without names."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    cubins = {name: files.pop(name) for name in list(files) if name.endswith(".cubin")}
    if cubins:
        code = sorted({code for cubin in cubins.values() for code in code_sections(cubin)})
        files.update({f"machine code {i}": text for i, text in enumerate(code)})
        for name in [name for name in files if name.endswith("plan.json")]:
            plan = json.loads(files[name])
            del plan["digest"]
            plan["files"] = [file for file in plan["files"] if not file["path"].startswith("kernels/")]
            files[name] = json.dumps(plan).encode()
        for name in [name for name in files if name.endswith("report.json")]:
            unique = sorted({json.dumps(without_names(row), sort_keys=True) for row in json.loads(files[name])})
            files[name] = json.dumps(unique).encode()
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    same = refused = code = 0
    different = []
    for name, args in cases():
        if options.only not in name:
            continue
        folders = []
        for side, binary in [("before", options.before), ("after", options.after)]:
            out = options.folder.resolve() / side / name.replace(" ", "_").replace(":", "_")
            make(binary.resolve(), args, out, options.folder.resolve() / f"cache-{side}")
            folders.append(parts(out))
        before, after = folders
        wrong = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
        refused += "refused.txt" in before
        code += any(n.startswith("machine code") for n in before)
        if wrong:
            different.append(name)
            print(f"DIFFERENT {name}: {', '.join(wrong[:8])}", flush=True)
        else:
            same += 1
    print(f"{same} the same ({refused} of them refused alike, {code} with machine code), {len(different)} different")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
