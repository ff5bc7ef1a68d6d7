"""Tables: `python -m benchmarks.pretraining.report FILE`; with `--page docs/pretraining.md`, into the page."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from benchmarks.accuracy import lines

from .run import LABELS, STUDY

MARK = "<!-- {}: {} -->"
ORDER = ("logistic", "scratch", "pretrained", "as it is", "fine-tuned")
HEADS = {
    "logistic": "logistic regression",
    "scratch": "from scratch",
    "as it is": "the other study's classifier as it is",
}


def table(found: pd.DataFrame) -> str:
    """Macro F1 of each way to start, mean and smallest to largest over the seeds."""
    ways = sorted(found["method"].unique(), key=lambda way: [way.startswith(each) for each in ORDER].index(True))
    heads = ["set", "labelled cells", "seeds", *(HEADS.get(way, way) for way in ways)]
    rows = [heads, ["---"] * len(heads)]
    for (name, split, level), some in found.groupby(["set", "split", "level"], sort=True):
        of = some.groupby("method")["macro_f1"]
        best = of.mean().idxmax()
        cells = []
        for way in ways:
            if way not in of.groups:
                cells.append("")
                continue
            values = of.get_group(way)
            mean = f"**{values.mean():.3f}**" if way == best else f"{values.mean():.3f}"
            cells.append(f"{mean} ({values.min():.2f} to {values.max():.2f})" if len(values) > 1 else mean)
        what = name if split == "70/30" else f"{split} to {name}"
        rows.append([what, f"{some['n_labelled'].iloc[0]} ({level:.0%})", str(some["seed"].nunique()), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    found = pd.DataFrame(lines.scores(lines.read(chosen.results)))
    for task in (LABELS, STUDY):
        some = found[found["task"] == task]
        if some.empty:
            continue
        made = table(some)
        if chosen.page is None:
            print(f"{task}\n\n{made}\n")
            continue
        text = chosen.page.read_text()
        start, end = (text.index(MARK.format(task, where)) for where in ("start", "end"))
        start += len(MARK.format(task, "start"))
        chosen.page.write_text(f"{text[:start]}\n\n{made}\n\n{text[end:]}")


if __name__ == "__main__":
    main()
