#!/usr/bin/env python3
"""Prints a short table of what `samp-gpu bench` and `peers.py` wrote: any number of JSON files, in any order."""

import json
import sys

# Peers by the format of the weights that they are compared with.
RIVALS = {"nf4": "bitsandbytes nf4", "int4": "torch int4", "fp8_e4m3": "torch fp8", "f16": "torch f16"}


def merged(paths):
    """All files as one report. One that cannot be read is told of, and the others are shown."""
    lists = {key: [] for key in ["linear", "attention", "passes", "steps", "peers", "sdpa", "unread"]}
    report = {"target": "", "ceilings": {}, "absent": {}, **lists}
    for path in paths:
        try:
            with open(path) as file:
                part = json.load(file)
        except (OSError, ValueError) as error:
            report["unread"].append(f"{path}: {error}")
            continue
        if "torch" in part:
            report["peers"] += part["linear"]
            report["sdpa"] += part["attention"]
            report["absent"].update(part["absent"])
            names = [name for name in ["torch", "cuda", "bitsandbytes", "driver"] if part.get(name)]
            report["device"] = ", ".join([part["device"], *(f"{name} {part[name]}" for name in names)])
            report["torch_ceilings"] = part["ceilings"]
            continue
        report["target"] = part["target"] or report["target"]
        for key in ["linear", "attention", "passes", "steps"]:
            report[key] += part[key]
        if part["ceilings"]["copy_gbs"]:
            report["ceilings"] = part["ceilings"]
    # Of products torch's is the ceiling; of copies our own, unless it was not measured.
    torch = report.get("torch_ceilings", {})
    report["ceilings"].setdefault("copy_gbs", torch.get("copy_gbs", 0))
    if torch:
        report["ceilings"].update(matmul_tflops=torch["matmul_tflops"], matmul_source="torch")
    return report


def share(value, ceiling):
    return f"{100 * value / ceiling:.0f}" if ceiling else "-"


def rows_of_linears(report):
    """One row for each shape, format and number of tokens: the fastest kernel, on the blocks that the runtime takes."""
    peers = {(row["rows"], row["cols"], row["tokens"], row["peer"]): row["microseconds"] for row in report["peers"]}
    copy, matmul = report["ceilings"].get("copy_gbs"), report["ceilings"].get("matmul_tflops")
    for row in filter(lambda row: row["best"], report["linear"]):
        time = row["timing"]["microseconds"]
        shape = (row["rows"], row["cols"], row["tokens"])
        times = [peers.get((*shape, peer)) for peer in (RIVALS.get(row["format"]), "torch f16")]
        faster = [f"{peer / time:.2f}" if peer else "-" for peer in times]
        yield [
            row["model"], row["projection"], row["format"], row["tokens"], f"{time:.1f}",
            f"{row['gbs']:.0f}", share(row["gbs"], copy), f"{row['tflops']:.1f}", share(row["tflops"], matmul),
            *faster, f"{100 * row['timing']['spread']:.0f}", row["kernel"] + ("" if row["chosen"] else " *"),
        ]  # fmt: skip


def rows_of_attention(report, prompts):
    """As the runtime launches it."""
    keys = ["model", "batch", "tokens", "context"]
    peers = {tuple(row[key] for key in keys): row["microseconds"] for row in report["sdpa"]}
    copy, matmul = report["ceilings"].get("copy_gbs"), report["ceilings"].get("matmul_tflops")
    for row in filter(lambda row: row["own"] and (row["tokens"] > 1) == prompts, report["attention"]):
        time = row["timing"]["microseconds"]
        peer = peers.get(tuple(row[key] for key in keys))
        faster = f"{peer / time:.2f}" if peer else "-"
        if prompts:
            rate = [f"{row['tflops']:.0f}", share(row["tflops"], matmul), faster]
            yield [row["model"], row["kv"], row["tokens"], f"{time:.1f}", *rate]
        else:
            rate = [f"{row['gbs']:.0f}", share(row["gbs"], copy), faster, row["splits"]]
            yield [row["model"], row["kv"], row["batch"], row["context"], f"{time:.1f}", *rate]


def rows_of_passes(report):
    for row in report["passes"]:
        time = f"{row['timing']['microseconds']:.1f}"
        yield [row["model"], row["kernel"], row["tokens"], time, f"{row['gbs']:.0f}"]


def rows_of_steps(report):
    copy = report["ceilings"].get("copy_gbs")
    for row in report["steps"]:
        yield [
            row["what"], row["model"], row["recipe"], row["kv"], row["batch"], row["context"],
            f"{row['timing']['microseconds'] / 1e3:.2f}", f"{row['tokens_per_second']:.1f}", f"{row['gbs']:.0f}",
            share(row["gbs"], copy),
        ]  # fmt: skip


def printed(title, heads, rows):
    rows = [[str(cell) for cell in row] for row in rows]
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    print(f"\n{title}")
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main(paths):
    if not paths:
        sys.exit(f"usage: {sys.argv[0]} FILE.json …")
    report = merged(paths)
    ceilings = report["ceilings"]
    for unread in report["unread"]:
        print(f"unread: {unread}")
    print(f"{report.get('device', 'no peers')}; measured as {report['target'] or 'nothing'}")
    if ceilings.get("matmul_tflops"):
        matmul = f"{ceilings['matmul_tflops']:.0f} TFLOPS ({ceilings['matmul_source']})"
        print(f"copy {ceilings['copy_gbs']:.0f} GB/s, f16 matmul {matmul}")
    heads = ["model", "linear", "format", "tokens", "us", "GB/s", "% copy"]
    heads += ["TFLOPS", "% matmul", "x peer", "x f16", "± %", "kernel"]
    title = "linears on the runtime's own blocks (* the cost model chooses another kernel)"
    printed(title, heads, rows_of_linears(report))
    heads = ["model", "kv", "batch", "context", "us", "GB/s", "% copy", "x sdpa", "splits"]
    printed("decode attention", heads, rows_of_attention(report, prompts=False))
    heads = ["model", "kv", "tokens", "us", "TFLOPS", "% matmul", "x sdpa"]
    printed("prefill attention, one sequence", heads, rows_of_attention(report, prompts=True))
    printed("rows between, in the cache", ["model", "kernel", "tokens", "us", "GB/s"], rows_of_passes(report))
    heads = ["step", "model", "recipe", "kv", "batch", "context", "ms", "tokens/s", "GB/s", "% copy"]
    printed("whole steps (throughput: as many sequences as fit the GPU, 128 at most)", heads, rows_of_steps(report))
    for peer, reason in report["absent"].items():
        print(f"absent: {peer}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
