"""Train one method on one case and score its predictions."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from benchmarks.speed.watermark import Watermark

from .cases import Case, Variant
from .cells import COUNTS
from .methods import Method
from .perturb import query_for
from .scores import score

Line = dict[str, Any]


def measure(method: Method, case: Case, variants: list[Variant]) -> Iterator[Line]:
    """A line for each variant of the query; what fails says why in its place."""
    shared = {
        "n_train": len(case.reference),
        "n_test": len(case.query),
        "n_genes": len(case.reference.genes),
        "n_classes": len(np.unique(case.labels)),
    }
    if method.needs_counts and case.reference.kind != COUNTS:
        for variant in variants:
            yield {**_of(variant), **shared, "missing": "needs counts"}
        return
    with Watermark() as water:
        classes, took, error = _timed(lambda: method.fit(case.reference, case.labels))
    shared.update(train_seconds=took, train_extra=water.extra, calibrated=method.calibrated)
    for variant in variants:
        found = {"missing": error} if error else _predict(method, case, variant, classes)
        yield {**_of(variant), **shared, **found}


def _predict(method: Method, case: Case, variant: Variant, classes: np.ndarray) -> Line:
    query = query_for(*variant, case.query, case.seed)
    prob, took, error = _timed(lambda: method.predict_proba(query))
    if not error:
        scores, _, error = _timed(lambda: score(prob, classes, case.truth, case.labels))
    return {"missing": error} if error else {"predict_seconds": took, **scores, **method.notes()}


def _timed(run: Callable[[], Any]) -> tuple[Any, float, str]:
    """What a call returns, its wall time, and its error."""
    start = time.perf_counter()
    try:
        found, error = run(), ""
    except Exception as raised:  # noqa: BLE001 - a long run goes on with the next method
        traceback.print_exc()
        found, error = None, f"{type(raised).__name__}: {raised}"
    return found, time.perf_counter() - start, error


def _of(variant: Variant) -> Line:
    return {"task": variant[0], "level": variant[1]}
