"""Measured results, read back from the files of one or more runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .floors import floor
from .networks import Config

Result = dict[str, Any]
NAMES = {
    "ours": "sims-tools",
    "tabnet": "pytorch-tabnet",
    "topk": "with top-k",
    "identity": "as shipped (scsims)",
}
PHASE_NAMES = {"train": "training step", "predict": "prediction", "masks": "prediction with masks"}


@dataclass(frozen=True)
class Session:
    """One file: a machine, its speed, and results by section."""

    machine: Result
    speed: dict[str, float]
    sections: dict[str, list[Result]]

    def phases(self, section: str = "phases", **wanted: Any) -> Iterator[Result]:
        """Measured minibatches whose config, or whose own entries, have these values."""
        for result in self.sections.get(section, []):
            entries = result | result.get("config", {})
            if "missing" not in result and all(entries.get(key) == value for key, value in wanted.items()):
                yield result

    def floor(self, result: Result) -> dict[str, float]:
        """What this machine allows for a measured minibatch."""
        config = Config(**result["config"])
        sizes = {"n_stored": result["n_stored"], "support": result["support"], "read": result["support_read"]}
        return floor(config, result["phase"], self.speed, **sizes)


def read(path: Path) -> Session:
    """One run. Of speeds measured more than once the best counts: it is what the machine can do."""
    sections: dict[str, list[Result]] = defaultdict(list)
    for line in path.read_text().splitlines():
        result = json.loads(line)
        sections[result.pop("section")].append(result)
    if len(sections["machine"]) != 1:
        raise ValueError(f"{path.name} describes {len(sections['machine'])} machines; expected the file of one run.")
    speeds = sections.pop("speed", [])
    speed = {key: max(each[key] for each in speeds) for key in (speeds[0] if speeds else {})}
    return Session(sections.pop("machine")[0], speed, dict(sections))


def is_plain(result: Result) -> bool:
    """The network as published, at its initial weights: narrow masks."""
    config = result["config"]
    return config["attention_scale"] == 1 and config["selector"] == "sparsemax"


def missing(results: list[Result]) -> str:
    """A sentence for each result that is not there, and why."""
    lines = []
    for result in results:
        if "missing" in result:
            size = f"{result['n_genes']:,} genes" if "n_genes" in result else ""
            what = ", ".join(each for each in (NAMES.get(result.get("who", ""), result.get("who", "")), size) if each)
            lines.append(f"Not measured{': ' + what if what else ''} ({result['missing']}).")
    return "\n".join(lines)
