"""Takes the front's chart out of a page that `samp report` wrote, as a picture that stands by itself.

    samp compile testdata/models/tiny-llama --calib testdata/data/eval.jsonl --max-bits 4.8 -o routed.plan
    samp report routed.plan -o report.html
    python3 docs/images/front.py report.html > docs/images/front.svg
"""

import re
import sys

HEAD = 34
STYLE = """
svg { background: #ffffff }
text { font: 13px system-ui, sans-serif; fill: #1a1d21 } .tick { fill: #545b64 } .end { text-anchor: end }
.faint { font-size: 12px } .middle { text-anchor: middle } .gridline { stroke: #dcdfe3; fill: none }
.line { stroke: #0b57a4; stroke-width: 2; fill: none } .dot { fill: #0b57a4 }
.uniform { fill: none; stroke: #545b64; stroke-width: 1.75 } .uniform-audited { fill: #545b64; stroke: #545b64 }
.plan { fill: #c2410c; stroke: #fff; stroke-width: 1.5 } .audited { fill: #fff; stroke: #c2410c; stroke-width: 2.5 }
.between { stroke: #c2410c; stroke-dasharray: 3 3 } .leader { stroke: #545b64; stroke-width: 0.75 }
"""


def main(path: str) -> None:
    page = open(path, encoding="utf-8").read()
    section = page[page.index('<section id="front"') :]
    section = section[: section.index("</section>")]
    chart = re.search(r'<svg viewBox="0 0 (\d+) (\d+)" role="img" class="wide-only">\s*<title>.*?</title>\s*<desc>(.*?)</desc>(.*?)</svg>', section, re.S)
    if chart is None:
        sys.exit(f"{path}: no front; was the plan compiled with --calib?")
    width, height, label, marks = int(chart[1]), int(chart[2]), chart[3], chart[4]
    entries = re.findall(r'class="icon">(.*?)</svg>\s*(.*?)</li>', section, re.S)
    legend = "".join(
        f'<g transform="translate({46 + 215 * i} 8)">{icon}<text x="22" y="12.5">{name}</text></g>'
        for i, (icon, name) in enumerate(entries)
    )
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + HEAD}" role="img" aria-label="{label}">')
    print(f"<style>{STYLE}</style>\n{legend}\n<g transform=\"translate(0 {HEAD})\">")
    print(re.sub(r"(<(?:path|text|circle))", r"\n\1", marks).strip())
    print("</g>\n</svg>")


if __name__ == "__main__":
    main(sys.argv[1])
