#!/usr/bin/env python3
"""Figures of the sources, to compare before with after: `.ci/house_figures.py [REVISION …]`; without one, the work tree.

Each figure is a plain count over the sources, the same for every revision. Tests, benches and fuzz targets are left out.
"""

import collections
import io
import re
import subprocess
import sys
import tarfile

CODE = (".rs", ".cu", ".cuh", ".h", ".cpp")
OUTSIDE = re.compile(r"(^|/)(tests?|benches|fuzz)(/|\.rs$)")
PUBLIC = re.compile(r"^\s*pub (?:async |unsafe |const )*(?:fn|struct|enum|trait|type|const|static|union) ", re.M)
TYPE = re.compile(r"^\s*pub (?:struct|enum|trait|union) (\w+)", re.M)
# The ways in which work says how far it is: the trait's own name first.
PROGRESS = {
    "a trait or struct Progress": r"\b(?:trait|struct) \w*Progress\b",
    "a function `say`": r"\bsay: ",
    "a function `tell`": r"\btell: ",
    "a function `reached`": r"\breached: ",
    "a function of counts": r"dyn (?:FnMut|Fn)\(u64, u64\)|\bTaken\b",
}


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def tree(revision: str | None) -> dict[str, str]:
    """Every text file by its path."""
    if revision is None:
        names = git("ls-files", "--cached", "--others", "--exclude-standard").decode().split("\n")
        read = lambda name: open(name, "rb").read()  # noqa: E731
        found = {}
        for name in filter(None, names):
            try:
                found[name] = read(name).decode("utf-8", "ignore")
            except (FileNotFoundError, IsADirectoryError):
                pass
        return found
    archive = tarfile.open(fileobj=io.BytesIO(git("archive", revision)))
    return {m.name: archive.extractfile(m).read().decode("utf-8", "ignore") for m in archive if m.isfile()}


def without_tests(text: str) -> str:
    """A file up to its module of tests, which stands last."""
    return re.split(r"^#\[cfg\(test\)\]\nmod \w+ \{", text, flags=re.M)[0]


def parameters(text: str):
    """The parameters of every function, as written."""
    for start in re.finditer(r"\bfn \w+(?:<[^(]*?>)?\(", text):
        depth, last, at = 0, start.end(), start.end()
        while at < len(text) and depth >= 0:
            char = text[at]
            depth += (char in "([{<") - (char in ")]}" or (char == ">" and text[at - 1] not in "-="))
            if depth < 0 or (char == "," and depth == 0):
                yield text[last:at].strip()
                last = at + 1
            at += 1


def short_docs(text: str) -> int:
    lines = [line.strip() for line in text.split("\n")]
    alone = lambda i: not lines[i - 1].startswith("///") and not lines[i + 1].startswith("///")  # noqa: E731
    return sum(s.startswith("///") and len(s[3:].split()) <= 2 and alone(i) for i, s in enumerate(lines))


def crate(path: str, manifests: set[str]) -> str:
    folder = path
    while folder and folder + "/Cargo.toml" not in manifests:
        folder = folder.rpartition("/")[0]
    return folder


def figures(files: dict[str, str]) -> dict[str, str]:
    manifests = {name for name in files if name.endswith("Cargo.toml")}
    code = {n: without_tests(t) for n, t in files.items() if n.endswith(CODE) and not OUTSIDE.search(n)}
    rust = {n: t for n, t in code.items() if n.endswith(".rs")}
    command = lambda n: "/cli" in n or n.endswith("main.rs") or "/report/" in n  # noqa: E731
    library = {n: t for n, t in rust.items() if not command(n)}
    compiler = {n: t for n, t in rust.items() if n.startswith(("compiler/src/", "compiler/cli/src/"))}
    public = lambda texts: sum(len(PUBLIC.findall(t)) for t in texts)  # noqa: E731
    everything = "\n".join(rust.values())
    tuples = sum(bool(re.search(r":\s*&?(?:mut )?\((?!\))", p)) for p in parameters(everything))
    homes = collections.defaultdict(collections.Counter)
    for name, text in rust.items():
        for defined in TYPE.findall(text):
            homes[defined][name] += 1
    several = {name: sum(places.values()) for name, places in homes.items() if sum(places.values()) > 1}
    across = sum(len({crate(place, manifests) for place in homes[name]}) > 1 for name in several)
    longest = max((text.count("\n"), name) for name, text in code.items())
    spoken = re.sub(r"(?m)^\s*//.*$", "", everything)
    ways = [way for way, pattern in PROGRESS.items() if re.search(pattern, spoken)]
    untyped = sum(len(re.findall(r"Result<[^<>;{]*(?:<[^<>]*>)?, String>", t)) for t in library.values())
    return {
        "`pub` items of the compiler's library": str(public(t for n, t in compiler.items() if not command(n))),
        "`pub` items of the command and its report": str(public(t for n, t in compiler.items() if command(n))),
        "parameters that are tuples": str(tuples),
        "ways to report progress": str(len(ways)),
        "library files that use anyhow": str(sum(bool(re.search(r"\banyhow(?:::|!)", t)) for t in library.values())),
        "`Result<_, String>` in libraries": str(untyped),
        "doc comments of two words or fewer": str(sum(map(short_docs, rust.values()))),
        "constructors called `of`": str(len(re.findall(r"\bfn of(?:<[^(]*>)?\(", everything))),
        "type names defined more than once": f"{len(several)} ({across} of them in several crates)",
        "longest source file": f"{longest[0]} lines, `{longest[1]}`",
        "lines of the README": str(files["README.md"].count("\n")),
    }


def main() -> None:
    columns = sys.argv[1:] or [None]
    tables = [figures(tree(revision)) for revision in columns]
    print("| figure | " + " | ".join(revision or "work tree" for revision in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name in tables[0]:
        print(f"| {name} | " + " | ".join(table[name] for table in tables) + " |")


if __name__ == "__main__":
    main()
