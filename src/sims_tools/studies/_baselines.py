"""Classifiers of scikit-learn on log1p CP10K."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sims_tools._validate import check_count, check_names
from sims_tools.studies._cells import StudyCells
from sims_tools.studies._method import Fitted, Method, Prediction


@dataclass(frozen=True)
class Baseline(Method):
    """An estimator on log1p CP10K of the genes, all of them or those that vary most over the training cells.

    `options` are parameters of the estimator; `n_top_genes` and `scale` are ours.
    """

    n_top_genes: ClassVar[int | None] = None
    own: ClassVar[tuple[str, ...]] = ("n_top_genes", "scale")

    def check_options(self) -> None:
        """See :class:`Method`."""
        known = [*self.estimator(0).get_params(), *self.own]
        check_names(f"parameter of {self.name!r}", self.options, [name for name in known if name != "random_state"])
        check_count("n_top_genes", self.options.get("n_top_genes"))

    def estimator(self, seed: int) -> Any:
        """The estimator at the defaults of this room."""
        raise NotImplementedError

    def fit(self, cells: StudyCells, rows: np.ndarray, seed: int) -> Fitted:
        """See :class:`Method`."""
        genes = cells.most_variable(rows, self.options.get("n_top_genes", self.n_top_genes))
        values, codes = _of_genes(cells.log1p(rows), genes), cells.labels.codes[rows]
        estimator = self.estimator(seed)
        estimator.set_params(**{name: value for name, value in self.options.items() if name not in self.own})
        scaling = [("scale", StandardScaler(with_mean=False))] if self.options.get("scale", False) else []
        model = Pipeline([*scaling, *self.steps(estimator, values.shape, seed)])
        return _FittedBaseline(model.fit(values, codes), genes, cells.labels.classes)

    def steps(self, estimator: Any, shape: tuple[int, int], seed: int) -> list[tuple[str, Any]]:
        """What follows on scaling; `shape` is that of the training values."""
        return [("classify", estimator)]


class _FittedBaseline(Fitted):
    def __init__(self, model: Pipeline, genes: np.ndarray | None, names: np.ndarray) -> None:
        self.model, self.genes, self.classes = model, genes, names[model.classes_]
        self.history = {}

    def predict(self, cells: StudyCells, rows: np.ndarray) -> Prediction:
        """See :class:`Fitted`."""
        values = _of_genes(cells.log1p(rows), self.genes)
        if hasattr(self.model, "predict_proba"):
            prob = self.model.predict_proba(values)
        else:
            margins = self.model.decision_function(values)
            prob = softmax(np.column_stack([-margins, margins]) if margins.ndim == 1 else margins, axis=1)
        return Prediction(prob, prob.argmax(1))


class LogisticBaseline(Baseline):
    """Logistic regression with C = 1."""

    name: ClassVar[str] = "logistic_regression"

    def estimator(self, seed: int) -> Any:
        """See :class:`Baseline`."""
        return LogisticRegression(C=1.0, max_iter=1000, random_state=seed)


class ForestBaseline(Baseline):
    """Random forest of 500 trees."""

    name: ClassVar[str] = "random_forest"

    def estimator(self, seed: int) -> Any:
        """See :class:`Baseline`."""
        return RandomForestClassifier(500, random_state=seed)


class SVMBaseline(Baseline):
    """Linear support vector machine with C = 1; a softmax of its margins stands in for probabilities."""

    name: ClassVar[str] = "linear_svm"
    gives_probabilities = False

    def estimator(self, seed: int) -> Any:
        """See :class:`Baseline`."""
        return LinearSVC(C=1.0, random_state=seed)


class NeighboursBaseline(Baseline):
    """15 nearest neighbours on 50 principal components of the 2,000 most variable genes."""

    name: ClassVar[str] = "knn"
    n_top_genes = 2000
    own = ("n_top_genes", "scale", "n_components")

    def estimator(self, seed: int) -> Any:
        """See :class:`Baseline`."""
        return KNeighborsClassifier(15)

    def steps(self, estimator: Any, shape: tuple[int, int], seed: int) -> list[tuple[str, Any]]:
        """See :class:`Baseline`."""
        estimator.set_params(n_neighbors=min(estimator.n_neighbors, shape[0]))
        n_components = min(self.options.get("n_components", 50), *(size - 1 for size in shape))
        components = PCA(n_components, svd_solver="arpack", random_state=seed)
        return [("components", components), ("classify", estimator)]


BASELINES: dict[str, type[Baseline]] = {
    each.name: each for each in (LogisticBaseline, ForestBaseline, SVMBaseline, NeighboursBaseline)
}


def _of_genes(values: sparse.csr_matrix, genes: np.ndarray | None) -> sparse.csr_matrix:
    return values if genes is None else values[:, genes]
