"""Tables of what a minibatch costs."""

from __future__ import annotations

from .markdown import paragraphs, table
from .results import NAMES, PHASE_NAMES, Result, Session, is_plain, missing
from .screen import digits, seconds, size, times

RIVALS = ("tabnet", "topk", "identity")
PARTS = ("forward", "loss", "backward", "optimiser")


def phases(session: Session) -> str:
    """Ours and its rivals on narrow masks."""
    results = [each for each in session.phases() if is_plain(each)]
    return paragraphs(_beside(results, named=False), missing(session.sections.get("phases", [])))


def kept(session: Session) -> str:
    """The same where the allocator keeps its pages."""
    return paragraphs(_beside(list(session.phases("kept")), named=False), missing(session.sections.get("kept", [])))


def stored(session: Session) -> str:
    """Real sets."""
    return paragraphs(_beside(list(session.phases("stored")), named=True), missing(session.sections.get("stored", [])))


def open_masks(session: Session) -> str:
    """Masks that are open over many genes."""
    results = [each for each in session.phases() if not is_plain(each)]
    rows = [
        [
            f"{each['config']['n_genes']:,}",
            each["config"]["selector"] + ("" if each["config"]["center"] else ", not centred"),
            f"{each['config']['batch']:,}",
            digits(each["support"]),
            PHASE_NAMES[each["phase"]],
            seconds(each["seconds"]["ours"]["all"]),
            *_rival(each, "tabnet"),
        ]
        for each in results
    ]
    head = ["genes", "selector", "batch", "genes in a mask", "phase", NAMES["ours"], NAMES["tabnet"], "ratio"]
    return table(head, rows)


def _beside(results: list[Result], *, named: bool) -> str:
    rivals = [kind for kind in RIVALS if any(kind in each["seconds"] for each in results)]
    head = ["genes", "n_d = n_a", "steps", "batch", "genes in a mask", "phase", NAMES["ours"]]
    head += [text for kind in rivals for text in (NAMES[kind], "ratio")]
    rows = [_row(each, rivals) for each in results]
    if named:
        head, rows = ["set", *head], [[each["data"], *row] for each, row in zip(results, rows, strict=True)]
    return table(head, rows, numbers_from=1 + named)


def _row(result: Result, rivals: list[str]) -> list[str]:
    config = result["config"]
    return [
        f"{config['n_genes']:,}",
        str(config["width"]),
        str(config["n_steps"]),
        f"{config['batch']:,}",
        digits(result["support"]),
        PHASE_NAMES[result["phase"]],
        seconds(result["seconds"]["ours"]["all"]),
        *(text for kind in rivals for text in _rival(result, kind)),
    ]


def _rival(result: Result, kind: str) -> tuple[str, str]:
    if kind not in result["seconds"]:
        return "", ""
    return seconds(result["seconds"][kind]["all"]), times(result["ratios"][kind]["all"])


def parts(session: Session) -> str:
    """Where a training step spends its time."""
    rows = [
        [
            f"{each['config']['n_genes']:,}",
            str(each["config"]["width"]),
            f"{each['config']['batch']:,}",
            NAMES[who],
            *(seconds(laps[part]) for part in (*PARTS, "all")),
        ]
        for each in session.phases(phase="train")
        if is_plain(each)
        for who, laps in each["seconds"].items()
        if who in ("ours", "tabnet")
    ]
    return table(["genes", "n_d = n_a", "batch", "network", *PARTS, "all"], rows)


def floors(session: Session) -> str:
    """How far ours is from what the machine allows."""
    speed = session.speed
    if not speed:
        return ""
    rows = []
    for each in session.phases():
        config, least, took = each["config"], session.floor(each), each["seconds"]["ours"]["all"]
        rows.append(
            [
                f"{config['n_genes']:,}",
                str(config["width"]),
                str(config["n_steps"]),
                f"{config['batch']:,}",
                digits(each["support"]),
                PHASE_NAMES[each["phase"]],
                *(seconds(least[key] / config["batch"]) for key in ("operations_s", "bytes_s")),
                seconds(took / config["batch"]),
                times(took / least["floor_s"]),
            ]
        )
    head = ["genes", "n_d = n_a", "steps", "batch", "genes in a mask", "phase"]
    head += ["operations, a cell", "bytes, a cell", "measured, a cell", "of the floor"]
    measured = (
        f"Measured in the same run: {digits(speed['bandwidth'] / 1e9)} GB/s of a copy, read and written; "
        f"{digits(speed['matrix'] / 1e9)} GFLOP/s of a float32 product of 2,048 x 2,048, "
        f"{digits(speed['thin_matrix'] / 1e9)} of one of 1,024 x 64 x 20,000."
    )
    return paragraphs(measured, table(head, rows))


def memory(session: Session) -> str:
    """Extra peak memory of a minibatch."""
    found = [each for each in session.sections.get("memory", []) if "missing" not in each]
    rows = [
        [
            f"{each['config']['n_genes']:,}",
            str(each["config"]["width"]),
            f"{each['config']['batch']:,}",
            NAMES[each["who"]],
            *(size(each["extra"][phase]) for phase in PHASE_NAMES),
        ]
        for each in found
    ]
    head = ["genes", "n_d = n_a", "batch", "network", *PHASE_NAMES.values()]
    return paragraphs(table(head, rows), missing(session.sections.get("memory", [])))


def agreement(session: Session) -> str:
    """How far apart the logits of those who are timed lie."""
    found = [max(each["disagreement"].values()) for each in session.phases() if each["disagreement"]]
    slow = [each["densification"] / each["config"]["batch"] for each in session.phases()]
    if not found:
        return ""
    return (
        "Before anything was timed, the logits of all networks were compared, in training and in evaluation mode: "
        f"the largest difference was {max(found):.0e} of the largest logit. What the dense networks read was made "
        f"dense for them beforehand, at {seconds(min(slow))} to {seconds(max(slow))} a cell; it is not in their times."
    )
