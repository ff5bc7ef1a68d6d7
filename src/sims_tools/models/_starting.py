"""Starting a classifier from a model that was trained before."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from sims_tools._log import logger
from sims_tools.models._carry_over import Shared, carry_network, check_alike, find_axes, shared_genes
from sims_tools.models._knowledge import Knowledge


class StartingMixin(Knowledge):
    """Starting from another model, for :class:`~sims_tools.models.ClassifierModel`."""

    name: ClassVar[str]
    Network: ClassVar[type[nn.Module]]
    _member_params: Any
    init_from_: dict[str, Any] | None

    @property
    def architecture(self) -> str:
        """Classifiers of which architecture may start from the model."""
        return str(self.name)

    @property
    def networks(self) -> list[nn.Module]:
        """The members, or the one network."""
        network = self.module.network
        return list(network.members) if self.params_["n_members"] > 1 else [network]

    def start_from(self, model: Any) -> None:
        """Take the weights of a trained model, by the names of genes and classes, before training.

        Genes and classes that it does not know keep their fresh weights, those that it alone knows are left out.
        Shared genes are scaled as there. Of more networks than the model has, the others take the model's in turn, each
        with an output layer of its own.

        Parameters
        ----------
        model
            A trained classifier of the same architecture, or what it was pretrained as.

        Raises
        ------
        RuntimeError
            The model is not trained.
        TypeError
            It is something else.
        ValueError
            It is another architecture, shares no gene, or reads expression in another way.
        """
        check_source(model, self.name)
        self._check_reading(model)
        genes = shared_genes(self.genes_, model.genes_)
        classes, none = Shared(self.classes_, model.classes_), Shared([], [])
        axes = find_axes(self.Network, self._member_params(), len(self.genes_), len(self.classes_))
        known = model.networks
        for each in known:
            check_alike(self.networks[0], each, axes, self.params_["network"], model.params_["network"])
        for i, network in enumerate(self.networks):
            carry_network(network, known[i % len(known)], axes, genes, classes if i < len(known) else none)
        self.module.transform.take_scale(model.module.transform, genes.into, genes.out_of)
        self.init_from_ = {
            "model": model.name,
            "n_genes": len(model.genes_),
            "n_shared_genes": len(genes),
            "known_classes": [self.classes_[i] for i in classes.into.tolist()],
        }
        logger.info(
            "Starts from a %s: %d of its %d genes are among the %d to train on, %d of %d classes are known to it.",
            type(model).__name__, len(genes), len(model.genes_), len(self.genes_), len(classes), len(self.classes_),
        )  # fmt: skip

    def _check_reading(self, model: Any) -> None:
        """Raise ValueError where weights would be given other values than they were trained on."""
        for name in ("scale_genes", "center_genes", "protein_transform"):
            ours, theirs = self.params_.get(name), model.params_.get(name)
            if None not in (ours, theirs) and ours != theirs:
                raise ValueError(f"`init_from` was trained with `{name}={theirs!r}`, not {ours!r}; leave `{name}` out.")


def check_source(model: Any, architecture: str) -> None:
    """Raise unless a classifier of an architecture can start from the model."""
    kind = getattr(model, "architecture", None)
    if kind is None:
        raise TypeError(
            f"`init_from` is a {type(model).__name__}; expected a classifier, the result of `tl.pretrain`, or the "
            "folder of either."
        )
    if kind != architecture:
        raise ValueError(
            f"`init_from` is a {type(model).__name__}, from which {kind!r} models start, not {architecture!r}."
        )
    model.check_trained()
