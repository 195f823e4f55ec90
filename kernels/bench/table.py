#!/usr/bin/env python3
"""Prints a short table of what `samp-gpu bench` and `peers.py` wrote: any number of JSON files, in any order."""

import json
import sys

# Peers by the format of the weights that they are compared with.
RIVALS = {"nf4": "bitsandbytes nf4", "int4": "torch int4", "fp8_e4m3": "torch fp8", "f16": "torch f16"}


def merged(paths):
    """All files as one report."""
    lists = {key: [] for key in ["linear", "attention", "steps", "peers", "sdpa"]}
    report = {"target": "", "ceilings": {}, "absent": {}, **lists}
    for path in paths:
        with open(path) as file:
            part = json.load(file)
        if "torch" in part:
            report["peers"] += part["linear"]
            report["sdpa"] += part["attention"]
            report["absent"].update(part.get("absent", {}))
            report["device"] = f"{part['device']}, torch {part['torch']}"
            continue
        report["target"] = part["target"] or report["target"]
        report["steps"] += part["steps"]
        report["linear"] += part["linear"]
        report["attention"] += part["attention"]
        if part["linear"]:
            report["ceilings"] = part["ceilings"]
    return report


def share(value, ceiling):
    return f"{100 * value / ceiling:.0f}" if ceiling else "-"


def rows_of_linears(report):
    """One row for the fastest kernel of each shape, format and number of tokens."""
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


def rows_of_attention(report):
    peers = {(row["model"], row["batch"], row["context"]): row["microseconds"] for row in report["sdpa"]}
    copy = report["ceilings"].get("copy_gbs")
    for row in filter(lambda row: row["best"], report["attention"]):
        time = row["timing"]["microseconds"]
        peer = peers.get((row["model"], row["batch"], row["context"]))
        yield [
            row["model"], row["kv"], row["batch"], row["context"], f"{time:.1f}", f"{row['gbs']:.0f}",
            share(row["gbs"], copy), f"{peer / time:.2f}" if peer else "-", row["splits"],
        ]  # fmt: skip


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
    print(f"{report.get('device', 'no peers')}; measured as {report['target'] or 'nothing'}")
    if ceilings:
        matmul = f"{ceilings['matmul_tflops']:.0f} TFLOPS ({ceilings['matmul_source']})"
        print(f"copy {ceilings['copy_gbs']:.0f} GB/s, f16 matmul {matmul}")
    heads = ["model", "linear", "format", "tokens", "us", "GB/s", "% copy"]
    heads += ["TFLOPS", "% matmul", "x peer", "x f16", "± %", "kernel"]
    printed("linears (* the cost model chooses another kernel)", heads, rows_of_linears(report))
    heads = ["model", "kv", "batch", "context", "us", "GB/s", "% copy", "x sdpa", "splits"]
    printed("decode attention", heads, rows_of_attention(report))
    heads = ["step", "model", "recipe", "kv", "batch", "context", "ms", "tokens/s", "GB/s", "% copy"]
    printed("whole steps", heads, rows_of_steps(report))
    for peer, reason in report["absent"].items():
        print(f"absent: {peer}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
