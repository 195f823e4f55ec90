"""Writes the evaluation texts of samp's own tests: eval.jsonl and choices.jsonl beside this file.

Three strata (code, json, prose), each from a small seeded grammar, so that the texts belong to nobody and come out
the same every time. Run: python3 testdata/data/make_data.py (standard library only).
"""

import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
NOUNS = "parser buffer server file request kernel module record token stream table index window thread packet".split()
VERBS = "reads writes opens closes checks returns updates removes copies sorts merges flushes".split()
ADJECTIVES = "empty large small invalid current previous sorted hidden remote local".split()


def prose(rng):
    def clause():
        adjective = rng.choice(ADJECTIVES) + " " if rng.random() < 0.5 else ""
        return f"the {rng.choice(NOUNS)} {rng.choice(VERBS)} the {adjective}{rng.choice(NOUNS)}"

    sentences = []
    for _ in range(rng.randint(3, 7)):
        joined = rng.choice([", and ", " when ", " before ", " so that "]).join(clause() for _ in range(rng.randint(1, 2)))
        sentences.append(joined[0].upper() + joined[1:] + ".")
    return " ".join(sentences)


def code(rng):
    name = rng.choice(VERBS).rstrip("s") + "_" + rng.choice(NOUNS)
    argument, local = rng.sample(NOUNS, 2)
    lines = [f"def {name}({argument}, limit={rng.randint(1, 64)}):"]
    lines.append(f"    {local} = []")
    lines.append(f"    for item in {argument}:")
    lines.append(f"        if len(item) > {rng.randint(0, 9)}:")
    lines.append(f"            {local}.append(item.{rng.choice(VERBS).rstrip('s')}())")
    lines.append(f"    return {local}[:limit]")
    return "\n".join(lines) + "\n"


def record(rng, depth=0):
    entry = {}
    for key in rng.sample(NOUNS, rng.randint(2, 4)):
        kind = rng.random()
        if depth < 2 and kind < 0.3:
            entry[key] = record(rng, depth + 1)
        elif kind < 0.6:
            entry[key] = rng.choice(ADJECTIVES)
        else:
            entry[key] = rng.randint(0, 4096)
    return entry


def json_text(rng):
    return json.dumps(record(rng), indent=2)


STRATA = {"code": code, "json": json_text, "prose": prose}


def write(name, records):
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    (HERE / name).write_text(text, encoding="utf-8")


def main():
    rng = random.Random("samp evaluation texts")
    texts = [{"text": make(rng), "stratum": stratum} for _ in range(12) for stratum, make in STRATA.items()]
    write("eval.jsonl", texts)
    choices = []
    for _ in range(8):
        for stratum, make in STRATA.items():
            text = make(rng)
            cut = text.rfind(" ", 0, len(text) * 2 // 3)
            options = [other(rng)[-30:] for s, other in STRATA.items() if s != stratum] + [text[cut:]]
            rng.shuffle(options)
            choices.append({"prompt": text[:cut], "choices": options, "answer": options.index(text[cut:]), "stratum": stratum})
    write("choices.jsonl", choices)


if __name__ == "__main__":
    main()
