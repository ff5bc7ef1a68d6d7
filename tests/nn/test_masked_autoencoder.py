"""Pretraining: the encoder and decoder beside pytorch-tabnet's, and the quick path beside the plain one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sims_tools.nn import MaskedAutoencoder, SparseRows, TabNet, masked_error

pytest.importorskip("pytorch_tabnet")
from pytorch_tabnet.metrics import UnsupervisedLoss
from pytorch_tabnet.tab_network import TabNetPretraining

_PATH = Path(__file__).with_name("tabnet_oracle.py")
_SPEC = importlib.util.spec_from_file_location("tabnet_oracle", _PATH)
oracle = sys.modules["tabnet_oracle"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

CONFIGS = {
    "sparsemax": oracle.Config(),
    "entmax15, 1 step, n_d > n_a": oracle.Config(selector="entmax15", n_steps=1, n_d=8, n_a=3),
    "no shared, ragged": oracle.Config(n_shared=0, n_independent=2, batch=35),
}


def build_pair(config: object, n_shared: int, n_independent: int) -> tuple[MaskedAutoencoder, nn.Module]:
    """Ours, norms and the last layer moved off their initial state, and the reference with a copy of its weights."""
    torch.manual_seed(0)
    same = {
        key: getattr(config, key)
        for key in ("n_d", "n_a", "n_steps", "n_shared", "n_independent", "gamma", "virtual_batch_size", "momentum")
    }
    encoder = TabNet(config.n_input, 1, selector=config.selector, **same)
    ours = MaskedAutoencoder([encoder], n_shared=n_shared, n_independent=n_independent).double()
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    nn.init.normal_(ours.decoders[0].output.weight)
    reference = TabNetPretraining(
        config.n_input,
        pretraining_ratio=0.3,
        mask_type=oracle.REFERENCE_SELECTOR[config.selector],
        n_shared_decoder=n_shared,
        n_indep_decoder=n_independent,
        group_attention_matrix=torch.eye(config.n_input, dtype=torch.float64),
        **same,
    ).double()
    theirs = reference.state_dict()
    for name, value in ours.state_dict().items():
        theirs[oracle_name(name, config, n_shared)].copy_(value)
    return ours, reference


def oracle_name(name: str, config: object, n_shared: int) -> str:
    """Name in the reference of an entry of our state_dict."""
    part, _, rest = name.partition(".0.")
    if part == "encoders":
        return oracle.reference_name(rest, config)
    if rest.startswith("output"):
        return f"decoder.reconstruction_{rest.replace('output', 'layer')}"
    if rest.startswith("shared"):
        _, index, leaf = rest.split(".", 2)
        return f"decoder.feat_transformers.0.shared.shared_layers.{index}.{leaf}"
    _, step, part, index, leaf = rest.split(".", 4)
    prefix = f"decoder.feat_transformers.{step}"
    if part == "linears":
        return f"{prefix}.specifics.glu_layers.{index}.fc.{leaf}"
    i = int(index)
    block, i = ("shared", i) if i < n_shared else ("specifics", i - n_shared)
    return f"{prefix}.{block}.glu_layers.{i}.bn.{leaf}"


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("layers", [(1, 1), (0, 2)])
def test_it_is_pytorch_tabnets(config, layers):
    with oracle.float64_constants():
        ours, reference = build_pair(config, *layers)
        x = torch.rand(config.batch, config.n_input)
        x[:, 3] = 2.0  # constant
        drawn: list[Tensor] = []
        reference.masker.register_forward_hook(lambda _m, _args, out: drawn.append(out[2]))
        torch.manual_seed(1)
        theirs_made, _, theirs_hidden = reference(x)
        theirs = UnsupervisedLoss(theirs_made, x, theirs_hidden)
        theirs.backward()
        hidden = drawn[0].bool()
        assert 0.15 < hidden.double().mean() < 0.45
        made = ours(x, hidden)
        error = masked_error(made, x, hidden)
        error.backward()
    torch.testing.assert_close(made[0], theirs_made, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(error, theirs, rtol=1e-8, atol=0)
    known = dict(reference.named_parameters(remove_duplicate=False))
    for name, value in ours.named_parameters():
        expected = known[oracle_name(name, config, layers[0])].grad
        # the attention after the last step goes nowhere
        torch.testing.assert_close(value.grad, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()) + 1e-12)


@pytest.mark.parametrize("nonzero_only", [True, False])
def test_sparse_features_give_the_same(nonzero_only):
    torch.manual_seed(0)
    x = torch.rand(40, 30, dtype=torch.float64) * (torch.rand(40, 30) < 0.4)
    x[7] = 0  # a cell without counts
    hidden = torch.rand(40, 30) < 0.3
    hidden[8] = True  # and one of which nothing is left
    encoders = [
        TabNet(30, 1, selector="entmax15", virtual_batch_size=16, nonzero_only=nonzero_only, center=False)
        for _ in range(2)
    ]
    network = MaskedAutoencoder(encoders).double()
    for decoder in network.decoders:
        nn.init.normal_(decoder.output.weight)
    results = []
    for rows in (SparseRows.from_dense(x), x):
        made = network(rows, hidden)
        masked_error(made, x, hidden).backward()
        results.append((made, [each.grad.clone() for each in network.parameters()]))
        network.zero_grad()
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-9, atol=1e-9)
    for quick, plain in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-6, atol=1e-10)


def test_what_is_hidden_is_not_read():
    torch.manual_seed(0)
    x, other, hidden = torch.rand(20, 12), torch.rand(20, 12), torch.rand(20, 12) < 0.5
    network = MaskedAutoencoder([TabNet(12, 1)]).eval()
    nn.init.normal_(network.decoders[0].output.weight)
    made = network(x, hidden)
    torch.testing.assert_close(network(torch.where(hidden, other, x), hidden), made)
    assert not torch.allclose(network(torch.where(hidden, x, other), hidden), made)


def test_the_error_is_one_for_the_mean_and_counts_only_what_was_hidden():
    torch.manual_seed(0)
    x, hidden = torch.randn(5000, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]), torch.rand(5000, 4) < 0.5
    mean = x.mean(0).expand_as(x)
    assert masked_error(mean, x, hidden).item() == pytest.approx(1, abs=0.1)
    assert masked_error(torch.where(hidden, x, 9.0), x, hidden).item() == 0
    given = masked_error(mean, x, hidden, torch.full((4,), 1e6))
    assert given.item() < 1e-4
    one = masked_error(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), torch.tensor([[True, False]]))
    assert one.item() == 2  # 2 * 2 over the size of its mean
    with pytest.raises(ValueError, match="no encoder"):
        MaskedAutoencoder([])
