"""Cells whose class probabilities are known, and embeddings of planted classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Logits (n, C) and classes (n,) drawn from the softmax of these very logits."""
    return _draw


def _draw(n: int, n_classes: int, rng: np.random.Generator, *, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    logits = rng.normal(size=(n, n_classes)) * scale
    frequent = np.linspace(3, 1, n_classes)
    seeds = rng.choice(n_classes, n, p=frequent / frequent.sum())
    logits[np.arange(n), seeds] += 2.6 * scale
    logits[rng.random(n) < 0.3] *= 0.4
    chances = special.softmax(logits, axis=1).cumsum(1)
    codes = np.minimum((chances > rng.random((n, 1))).argmax(1), n_classes - 1)
    return logits, codes


@pytest.fixture(scope="session")
def embedded() -> Draw:
    """Embeddings (n, d) and classes (n,) of cells around some centres, with another spread in every direction."""
    return _embedded


@pytest.fixture(scope="session")
def centres() -> Callable[..., np.ndarray]:
    """Centres (n_classes, n_dimensions), far from each other."""
    return _centres


def _embedded(n: int, centres: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    codes = rng.integers(0, len(centres), n)
    noise = rng.normal(size=(n, centres.shape[1])) * np.linspace(0.2, 1, centres.shape[1])
    return (centres[codes] + noise).astype(np.float32), codes


def _centres(n_classes: int, n_dimensions: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n_classes, n_dimensions)) * 4
