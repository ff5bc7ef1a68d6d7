"""The CITE-seq network against the tutorial's text and an implementation that shares no code with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sims_tools.nn import CITENetwork


def by_hand(network: CITENetwork, rna: np.ndarray, protein: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latent space and reconstruction in evaluation mode, in numpy and float64, from the weights in their order."""
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    names = list(weights)

    def layer(x: np.ndarray, prefix: str) -> np.ndarray:
        x = x @ weights[f"{prefix}.0.weight"].T
        x = np.where(x > 0, x, 0.01 * x)
        mean, variance = weights[f"{prefix}.2.running_mean"], weights[f"{prefix}.2.running_var"]
        return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{prefix}.2.weight"] + weights[f"{prefix}.2.bias"]

    assert not [name for name in names if name.endswith(".0.bias")]
    hidden = layer(layer(rna, "encoder_rna.0"), "encoder_rna.1")
    latent = layer(np.hstack([hidden, layer(protein, "encoder_protein")]), "encoder")
    made = layer(layer(latent, "decoder.0"), "decoder.1")
    return latent, made @ weights["decoder.2.weight"].T + weights["decoder.2.bias"]


def test_the_layers_are_those_of_the_tutorial():
    """2,000 genes and 25 proteins: 2,000 -> 1,000 -> 30 and 25 -> 18, 48 -> 24 -> 48 -> 1,012 -> 2,025."""
    network = CITENetwork(2000, 25)
    linear = [tuple(each.weight.shape) for each in network.modules() if isinstance(each, nn.Linear)]
    assert linear == [(1000, 2000), (30, 1000), (18, 25), (24, 48), (48, 24), (1012, 48), (2025, 1012)]
    norms = [each.num_features for each in network.modules() if isinstance(each, nn.BatchNorm1d)]
    assert norms == [1000, 30, 18, 24, 48, 1012]
    biased = [each.bias is not None for each in network.modules() if isinstance(each, nn.Linear)]
    assert biased == [False] * 6 + [True]
    assert sum(isinstance(each, nn.LeakyReLU) for each in network.modules()) == 6


def test_dropout_ends_the_first_layer_of_either_encoder():
    network = CITENetwork(20, 5)
    orders = {
        name: [type(each).__name__ for each in layer]
        for name, layer in {
            "first of RNA": network.encoder_rna[0],
            "second of RNA": network.encoder_rna[1],
            "protein": network.encoder_protein,
            "latent": network.encoder,
            "decoder": network.decoder[0],
        }.items()
    }
    plain = ["Linear", "LeakyReLU", "BatchNorm1d"]
    assert orders == {
        "first of RNA": [*plain, "Dropout"],
        "second of RNA": plain,
        "protein": [*plain, "Dropout"],
        "latent": plain,
        "decoder": plain,
    }
    assert network.encoder_rna[0][3].p == network.encoder_protein[3].p == 0.1
    assert not [each for each in CITENetwork(20, 5, dropout=0.0).modules() if isinstance(each, nn.Dropout)]


@pytest.mark.parametrize("sizes", [(21, 5), (8, 3), (1, 1)])
def test_it_computes_what_a_reference_computes(sizes):
    torch.manual_seed(0)
    network = CITENetwork(*sizes)
    network.train()
    for _ in range(3):  # running statistics of their own
        network(torch.randn(16, sizes[0]), torch.randn(16, sizes[1]))
    for each in network.modules():
        if isinstance(each, nn.BatchNorm1d):
            nn.init.normal_(each.weight, 1.0, 0.3)
            nn.init.normal_(each.bias)
    network.eval()
    rna, protein = torch.randn(7, sizes[0]), torch.randn(7, sizes[1])
    with torch.no_grad():
        output = network(rna, protein)
    latent, reconstruction = by_hand(network, rna.double().numpy(), protein.double().numpy())
    assert output.latent.shape == (7, 24)
    assert output.logits is None
    np.testing.assert_allclose(output.latent, latent, atol=1e-5)
    np.testing.assert_allclose(output.reconstruction, reconstruction, atol=1e-5)


def test_the_classifier_reads_the_latent_space():
    network = CITENetwork(10, 4, n_latent=6, n_hidden_rna=5, n_hidden_protein=3, n_classes=2).eval()
    with torch.no_grad():
        output = network(torch.randn(5, 10), torch.randn(5, 4))
        expected = output.latent @ network.head.weight.T + network.head.bias
    assert output.latent.shape == (5, 6)
    torch.testing.assert_close(output.logits, expected)


@pytest.mark.parametrize("wrong", [{"n_latent": 0}, {"n_hidden_rna": -1}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_widths_and_shares_are_checked(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}="):
        CITENetwork(10, 4, **wrong)
    with pytest.raises(ValueError, match="n_proteins=0"):
        CITENetwork(10, 0)
