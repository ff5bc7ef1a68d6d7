"""The transformer of gene tokens against torch's own layer and against one written in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from torch.utils._python_dispatch import TorchDispatchMode

from sims_tools.nn import TransformerNetwork, _attention_block, _cell_pieces, expression_bins

SMALL: dict[str, Any] = {"width": 8, "n_layers": 2, "n_heads": 2, "n_bins": 5}


def expression(n_cells: int, n_genes: int, expressed: float = 0.5, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.poisson(6, (n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < expressed)
    return torch.tensor(values, dtype=torch.float32).log1p()


def network(n_genes: int = 12, n_classes: int = 3, **params: Any) -> TransformerNetwork:
    torch.manual_seed(1)
    made = TransformerNetwork(n_genes, n_classes, **{**SMALL, **params})
    with torch.no_grad():  # biases and norms start at 0 and 1, which would hide a mistake
        for each in made.parameters():
            each.add_(0.1 * torch.randn_like(each))
    return made.eval()


def by_numpy(model: TransformerNetwork, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, embedding and attention received, cell by cell in float64 from the weights alone."""
    weights = {name: value.detach().numpy().astype(float) for name, value in model.state_dict().items()}
    n_blocks = len(model.blocks)
    results = []
    for cell, bins in zip(x.numpy(), expression_bins(x.expm1(), model.n_bins).numpy(), strict=True):
        genes = np.flatnonzero(cell) if model.nonzero_only else np.arange(len(cell))
        tokens = weights["gene_embedding.weight"][genes] + weights["bin_embedding.weight"][bins[genes]]
        received = np.zeros(len(cell))
        for block in range(n_blocks):
            own = {name.split(".", 2)[2]: each for name, each in weights.items() if name.startswith(f"blocks.{block}.")}
            tokens, attention = _block(tokens, own, model.n_heads)
            received[genes] += attention.mean((0, 1)) / n_blocks
        embedding = tokens.mean(0)
        results.append((weights["head.weight"] @ embedding + weights["head.bias"], embedding, received))
    logits, embedding, received = map(np.array, zip(*results, strict=True))
    return logits, embedding, received


def _block(x: np.ndarray, w: dict[str, np.ndarray], n_heads: int) -> tuple[np.ndarray, np.ndarray]:
    query, key, value = (
        x @ part.T + bias for part, bias in zip(np.split(w["qkv.weight"], 3), np.split(w["qkv.bias"], 3), strict=True)
    )
    d = x.shape[1] // n_heads
    heads, attention = [], []
    for head in range(n_heads):
        some = slice(head * d, (head + 1) * d)
        shares = special.softmax(query[:, some] @ key[:, some].T / np.sqrt(d), axis=1)
        attention.append(shares)
        heads.append(shares @ value[:, some])
    x = _norm(x + np.hstack(heads) @ w["out.weight"].T + w["out.bias"], w, "attention_norm")
    hidden = x @ w["widen.weight"].T + w["widen.bias"]
    hidden = hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2
    return _norm(x + hidden @ w["narrow.weight"].T + w["narrow.bias"], w, "feedforward_norm"), np.array(attention)


def _norm(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt(x.var(1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def test_its_layers_have_the_published_shapes():
    shapes = {name: tuple(value.shape) for name, value in TransformerNetwork(1200, 11).state_dict().items()}
    assert shapes.pop("gene_embedding.weight") == (1200, 128)
    assert shapes.pop("bin_embedding.weight") == (16, 128)
    assert shapes.pop("head.weight") == (11, 128)
    assert shapes.pop("head.bias") == (11,)
    block = {
        "qkv.weight": (3 * 128, 128),
        "qkv.bias": (3 * 128,),
        "out.weight": (128, 128),
        "out.bias": (128,),
        "widen.weight": (512, 128),
        "widen.bias": (512,),
        "narrow.weight": (128, 512),
        "narrow.bias": (128,),
        **{f"{norm}.{part}": (128,) for norm in ("attention_norm", "feedforward_norm") for part in ("weight", "bias")},
    }
    assert shapes == {f"blocks.{layer}.{name}": shape for layer in range(4) for name, shape in block.items()}


@pytest.mark.parametrize("nonzero_only", [False, True])
def test_it_computes_what_the_reference_does(nonzero_only):
    model, x = network(nonzero_only=nonzero_only), expression(9, 12)
    with torch.no_grad():
        output = model(x, explain=True)
    logits, embedding, received = by_numpy(model, x)
    np.testing.assert_allclose(output.logits, logits, atol=1e-5)
    np.testing.assert_allclose(output.embedding, embedding, atol=1e-5)
    np.testing.assert_allclose(output.masks, received, atol=1e-6)
    np.testing.assert_allclose(output.masks.sum(1), 1, atol=1e-6)
    assert not output.masks.requires_grad
    assert (output.masks[x == 0] == 0).all() == nonzero_only


@pytest.mark.parametrize("padded", [False, True])
def test_a_block_is_torchs_encoder_layer(padded):
    block = network(width=16, n_heads=4).blocks[0]
    theirs = torch.nn.TransformerEncoderLayer(16, 4, 64, activation="gelu", batch_first=True).eval()
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "out.",
        "linear1.": "widen.",
        "linear2.": "narrow.",
        "norm1.": "attention_norm.",
        "norm2.": "feedforward_norm.",
    }
    own = block.state_dict()
    theirs.load_state_dict({a + part: own[b + part] for a, b in names.items() for part in ("weight", "bias")})
    x, present = torch.randn(3, 7, 16), torch.ones(3, 7, dtype=torch.bool)
    if padded:
        present[0, 4:] = present[2, 1:] = False
    with torch.no_grad():
        expected = theirs(x, src_key_padding_mask=~present)
        found, _ = block(x, present if padded else None)
    torch.testing.assert_close(found[present], expected[present], atol=1e-5, rtol=1e-5)


def test_the_order_of_genes_means_nothing():
    model, x, order = network(), expression(6, 12), torch.randperm(12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(x, explain=True)
        model.gene_embedding.weight.copy_(model.gene_embedding.weight[order].clone())
        after = model(x[:, order], explain=True)
    torch.testing.assert_close(after.logits, before.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.masks, before.masks[:, order], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("nonzero_only", [False, True])
def test_pieces_change_nothing(monkeypatch, nonzero_only):
    model, x = network(nonzero_only=nonzero_only, dropout=0.0), expression(11, 12)
    whole = _answers(model, x)
    monkeypatch.setattr(_cell_pieces, "_BUDGET", {"cpu": 1})
    monkeypatch.setattr(_attention_block, "CHUNK", 30)
    for found, expected in zip(_answers(model, x), whole, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def _answers(model: TransformerNetwork, x: torch.Tensor) -> list[torch.Tensor]:
    """Logits and masks of evaluation, then the gradients of a training step."""
    with torch.no_grad():
        output = model.eval()(x, explain=True)
    model.zero_grad()
    model.train()(x).logits.square().sum().backward()
    return [output.logits, output.masks, *(each.grad.clone() for each in model.parameters())]


def test_dropout_in_pieces_is_the_same_when_it_is_computed_again(monkeypatch):
    """A gradient along a direction is the difference it makes, which holds only if both passes drop the same."""
    monkeypatch.setattr(_cell_pieces, "_BUDGET", {"cpu": 1})
    monkeypatch.setattr(_attention_block, "CHUNK", 30)
    model, x, step = network(dropout=0.3).double().train(), expression(5, 12).double(), 1e-6
    weight = model.blocks[0].qkv.weight

    def loss() -> torch.Tensor:
        torch.manual_seed(4)
        return model(x).logits.square().sum()

    loss().backward()
    direction = torch.randn_like(weight)
    with torch.no_grad():
        weight += step * direction
        above = loss()
        weight -= 2 * step * direction
        below = loss()
    assert float((above - below) / (2 * step)) == pytest.approx(float((weight.grad * direction).sum()), rel=1e-5)


class _Largest(TorchDispatchMode):
    """Remembers the largest tensor that an operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, torch.Tensor) and each.untyped_storage().nbytes():
                self.numel = max(self.numel, each.untyped_storage().nbytes() // each.element_size())
        return made


@pytest.mark.parametrize("training", [False, True])
def test_memory_is_bounded_whatever_the_minibatch(monkeypatch, training):
    monkeypatch.setattr(_cell_pieces, "_BUDGET", {"cpu": 1 << 18})
    monkeypatch.setattr(_attention_block, "CHUNK", 1 << 13)
    n_genes, model = 150, network(150, dropout=0.5).train(training)
    largest = []
    for n_cells in (8, 64):
        with torch.set_grad_enabled(training), _Largest() as made:
            output = model(expression(n_cells, n_genes), explain=not training)
            if training:
                output.logits.sum().backward()
        largest.append(made.numel)
    assert max(largest) < SMALL["n_heads"] * n_genes**2  # the attention weights of one cell
    assert largest[1] <= max(largest[0], 64 * n_genes)  # the minibatch itself is all that grows


def test_a_cell_that_expresses_nothing():
    x = expression(4, 12)
    x[1] = 0
    with torch.no_grad():
        everything, expressed = network()(x, explain=True), network(nonzero_only=True)(x, explain=True)
    torch.testing.assert_close(everything.masks.sum(1), torch.ones(4))
    torch.testing.assert_close(expressed.masks.sum(1), torch.tensor([1.0, 0.0, 1.0, 1.0]))
    assert (expressed.embedding[1] == 0).all()
    assert torch.isfinite(expressed.logits).all()
    nothing = network(nonzero_only=True)(torch.zeros(2, 12), explain=True)
    assert torch.isfinite(nothing.logits).all()
    assert network()(torch.zeros(0, 12)).logits.shape == (0, 3)


def test_it_computes_in_half_precision():
    model, x = network(), expression(6, 12)
    with torch.no_grad():
        whole = model(x, explain=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(x, explain=True)
    torch.testing.assert_close(half.embedding.float(), whole.embedding, atol=0.05, rtol=0.05)
    assert half.masks.dtype == torch.float32
    torch.testing.assert_close(half.masks.sum(1), torch.ones(6))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_layers": 0}, "`n_layers=0` must be at least 1"),
        ({"n_bins": 0}, "`n_bins=0` must be at least 1"),
        ({"n_heads": 3}, "`width=8` must be a multiple of `n_heads=3`"),
        ({"dropout": 1.0}, "`dropout=1.0` must be at least 0 and below 1"),
        ({"attention_dropout": -0.1}, "`attention_dropout=-0.1` must be at least 0"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        network(**wrong)


def test_features_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"\(n_obs, 12\), found \(2, 13\)"):
        network()(torch.zeros(2, 13))
