"""Our network and its rivals with the same weights, and the proof that they compute the same function."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from benchmarks.parity import load_oracle
from pytorch_tabnet.tab_network import TabNetNoEmbeddings
from torch import Tensor, nn

from sims_tools.nn import SparseRows, TabNet

from .topk import TopK

AGREEMENT = 1e-3
UNLUCKY = 4.0
"""Two float32 networks err most in different cells, where a near tie at one step is passed on to the next: the largest
error of a minibatch varies by such a factor from one seed to the next."""
ORACLE = load_oracle()


@dataclass(frozen=True)
class Config:
    """One network on minibatches of one size."""

    n_genes: int
    batch: int = 1024
    width: int = 64
    n_steps: int = 3
    n_classes: int = 20
    selector: str = "sparsemax"
    center: bool = True
    attention_scale: float = 1.0
    virtual_batch_size: int = 128
    sparsity: float = 1e-3

    def network(self) -> dict[str, Any]:
        """Arguments of `TabNet`."""
        kept = asdict(self)
        width, _ = kept.pop("width"), kept.pop("batch")
        return {"n_input": kept.pop("n_genes"), "n_d": width, "n_a": width, **kept}


def ours(config: Config, rows: SparseRows, *, seed: int = 0) -> TabNet:
    """Near its initial weights, but no norm in its initial state: statistics as after training on such cells.

    The norms' weights spread around their start, so that no term of the function is trivial, and the running
    statistics are those of one minibatch.
    """
    torch.manual_seed(seed)
    network = TabNet(**config.network()).to(rows.device)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        with torch.no_grad():
            norm.weight.mul_(torch.empty_like(norm.weight).uniform_(0.8, 1.2))
            nn.init.normal_(norm.bias, std=0.1 * float(norm.weight.mean()))
    with torch.no_grad():
        network.train()(rows)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network


class NoProduct:
    """A group matrix that a product returns the other factor for: the identity, without its p x p cost."""

    def __init__(self, n_genes: int) -> None:
        self.shape = (n_genes, n_genes)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is not torch.matmul:
            raise NotImplementedError(f"Expected torch.matmul, found {function}.")
        return args[0]


def rival(kind: str, config: Config, network: TabNet) -> TabNetNoEmbeddings:
    """pytorch-tabnet with the weights of `network`.

    Parameters
    ----------
    kind
        "identity" as shipped (and as scsims uses it), "tabnet" without the identity product, "topk" without it and
        with top-k selectors.
    config
        Of both.
    network
        Ours.
    """
    device = next(network.parameters()).device
    same = config.network()
    center, scale, sparsity, selector = (same.pop(key) for key in ("center", "attention_scale", "sparsity", "selector"))
    same = {"input_dim": same.pop("n_input"), "output_dim": same.pop("n_classes"), **same}
    reference = TabNetNoEmbeddings(
        **same,
        mask_type=ORACLE.REFERENCE_SELECTOR[selector],
        group_attention_matrix=torch.empty(config.n_genes, 0),
    ).to(device)
    encoder = reference.encoder
    encoder.group_attention_matrix = NoProduct(config.n_genes)
    if kind == "identity":
        encoder.group_attention_matrix = torch.eye(config.n_genes, device=device)
    if kind == "topk":
        for attentive in encoder.att_transformers:
            attentive.selector = TopK(selector)
    if not center:
        encoder.initial_bn = nn.Identity()
    theirs = reference.state_dict()
    names = ORACLE.Config(n_shared=2, n_independent=2)
    for name, value in network.state_dict().items():
        theirs[ORACLE.reference_name(name, names)].copy_(value)
    return reference


def disagreement(network: TabNet, rivals: dict[str, nn.Module], rows: SparseRows, dense: Tensor) -> dict[str, float]:
    """Largest difference of the logits to each rival's, relative to the largest logit, over cells and both modes.

    Raises
    ------
    RuntimeError
        More than one cell of a hundred is off by more than `AGREEMENT`; or a single one is, and not because float32
        cannot say better: against float64, it is off by more than `UNLUCKY` times what the rival's worst cell is.
        Then not the same function would be timed.
    """
    worst = dict.fromkeys(rivals, 0.0)
    for training in (False, True):
        found = _logits(network.train(training), rows)
        for name, reference in rivals.items():
            expected = _logits(reference.train(training), dense)
            off = _relative(found, expected)
            worst[name] = max(worst[name], off.max().item())
            if off.quantile(0.99) > AGREEMENT:
                raise _DifferentFunctionError(name, f"one cell of a hundred by more than {off.quantile(0.99):.1e}")
            if off.max() > AGREEMENT:
                exact = _logits(copy.deepcopy(network).double(), dense.double())
                mine, theirs = (_relative(each.double(), exact).max().item() for each in (found, expected))
                if mine > max(AGREEMENT, UNLUCKY * theirs):
                    raise _DifferentFunctionError(name, f"ours from float64 by {mine:.1e}, theirs by {theirs:.1e}")
    return worst


class _DifferentFunctionError(RuntimeError):
    def __init__(self, name: str, found: str) -> None:
        super().__init__(
            f"Logits are not those of {name!r}: off by more than {AGREEMENT} of the largest, {found}. Nothing is timed."
        )


@torch.no_grad()
def _logits(network: nn.Module, x: SparseRows | Tensor) -> Tensor:
    """Logits of any of the networks, whose state stays as it is."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    logits = network(x)[0]
    network.load_state_dict(state)
    return logits


def _relative(found: Tensor, expected: Tensor) -> Tensor:
    """(n_cells,) largest difference in each cell."""
    return (found - expected).abs().amax(1) / expected.abs().max()


def head(rows: SparseRows, n_rows: int) -> SparseRows:
    """The first rows of a minibatch."""
    indptr = rows.indptr[: n_rows + 1]
    return replace(rows, indptr=indptr, indices=rows.indices[: indptr[-1]], values=rows.values[: indptr[-1]])


@torch.no_grad()
def support_sizes(network: TabNet, rows: SparseRows, n_rows: int = 128) -> dict[str, float]:
    """Genes in the masks of a cell: mean over cells and steps of one step's; of all steps together.

    `support_read` counts only genes whose masked value can differ from zero: all in a mask where genes are centred,
    those that the cell expresses where they are not.
    """
    network.eval()
    few = head(rows, n_rows)
    dense = few.to_dense()
    masks = network.step_masks(dense)
    centred = not isinstance(network.input_norm, nn.Identity)
    read = torch.ones_like(dense, dtype=torch.bool) if centred else dense != 0
    mean = lambda chosen: sum(float(each.sum(1).float().mean()) for each in chosen) / len(masks)
    together = network(few, explain=True).masks
    return {
        "support": mean([mask > 0 for mask in masks]),
        "support_read": mean([(mask > 0) & read for mask in masks]),
        "support_explained": len(together.values) / few.n_rows,
    }
