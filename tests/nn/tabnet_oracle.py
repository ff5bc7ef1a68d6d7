"""Our TabNet beside pytorch-tabnet's with the same weights, and how far apart the two are.

Used by `test_tabnet_parity.py` and, loaded by path, by `benchmarks/parity.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
from pytorch_tabnet.tab_network import TabNetNoEmbeddings
from torch import Tensor, nn

from sims_tools.nn import TabNet

REFERENCE_SELECTOR = {"sparsemax": "sparsemax", "entmax15": "entmax"}
Pairs = dict[str, list[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class Config:
    n_input: int = 17
    n_classes: int = 4
    n_d: int = 6
    n_a: int = 6
    n_steps: int = 3
    n_shared: int = 2
    n_independent: int = 2
    gamma: float = 1.3
    selector: str = "sparsemax"
    virtual_batch_size: int = 16
    momentum: float = 0.02
    sparsity: float = 0.05
    batch: int = 48


CONFIGS = {
    "default": Config(),
    "entmax15": Config(selector="entmax15"),
    "1 step, n_d > n_a": Config(n_steps=1, n_d=8, n_a=3),
    "5 steps, entmax15, n_d < n_a, ragged": Config(n_steps=5, n_d=3, n_a=7, selector="entmax15", batch=37),
    "no shared, ragged": Config(n_shared=0, n_independent=3, batch=35),
    "no independent": Config(n_shared=3, n_independent=0, batch=20, virtual_batch_size=128),
    "one shared layer": Config(n_shared=1, n_independent=0, gamma=1.0),
    "one own layer, entmax15, wide": Config(n_shared=0, n_independent=1, selector="entmax15", n_input=200, gamma=2.0),
    "virtual batch of 2": Config(virtual_batch_size=2, batch=12, n_shared=1, n_independent=1),
}


@contextmanager
def float64_constants() -> Iterator[None]:
    """Let the reference build its constants (sqrt(0.5), ones, zeros) in float64: they are float32 otherwise."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch, "FloatTensor", torch.DoubleTensor):
            yield
    finally:
        torch.set_default_dtype(default)


def reference_name(name: str, config: Config) -> str:
    """Name in the reference of an entry of our state_dict."""
    head, _, rest = name.partition(".")
    if head == "input_norm":
        return rest.replace("bn.", "encoder.initial_bn.")
    if head == "head":
        return f"final_mapping.{rest}"
    if head == "shared":
        return f"encoder.initial_splitter.shared.shared_layers.{rest}"
    if head == "attentives":
        step, part, leaf = rest.split(".", 2)
        return f"encoder.att_transformers.{step}.{ {'linear': 'fc', 'norm': 'bn'}[part] }.{leaf}"
    prefix = "encoder.initial_splitter"
    if head == "transformers":
        step, rest = rest.split(".", 1)
        prefix = f"encoder.feat_transformers.{step}"
    part, index, leaf = rest.split(".", 2)
    if part == "linears":
        return f"{prefix}.specifics.glu_layers.{index}.fc.{leaf}"
    i = int(index)
    block, i = ("shared", i) if i < config.n_shared else ("specifics", i - config.n_shared)
    return f"{prefix}.{block}.glu_layers.{i}.bn.{leaf}"


def build_pair(config: Config, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[TabNet, nn.Module]:
    """Our network, every norm moved off its initial state, and the reference with a copy of its weights."""
    torch.manual_seed(seed)
    same = {
        key: getattr(config, key)
        for key in ("n_d", "n_a", "n_steps", "n_shared", "n_independent", "gamma", "virtual_batch_size", "momentum")
    }
    sizes = config.n_input, config.n_classes
    ours = TabNet(*sizes, selector=config.selector, sparsity=config.sparsity, **same).to(dtype)
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    reference = TabNetNoEmbeddings(
        *sizes,
        mask_type=REFERENCE_SELECTOR[config.selector],
        group_attention_matrix=torch.eye(config.n_input, dtype=dtype),
        **same,
    ).to(dtype)
    theirs = reference.state_dict()
    for name, value in ours.state_dict().items():
        theirs[reference_name(name, config)].copy_(value)
    return ours, reference


def make_batch(config: Config, seed: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(config.batch, config.n_input, dtype=torch.float64, generator=generator)
    y = torch.randint(config.n_classes, (config.batch,), generator=generator)
    return x.to(dtype), y


def compare(config: Config, *, training: bool, seed: int = 0, dtype: torch.dtype = torch.float64) -> Pairs:
    """Pairs (ours, theirs) of every quantity of one forward and backward pass."""
    ours, reference = (network.train(training) for network in build_pair(config, seed, dtype))
    x, y = make_batch(config, seed + 1, dtype)
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()

    masks: list[Tensor] = []
    for attentive in reference.encoder.att_transformers:
        attentive.register_forward_hook(lambda _module, _args, mask: masks.append(mask.detach()))
    theirs_logits, theirs_entropy = reference(x_theirs)
    (nn.functional.cross_entropy(theirs_logits, y) - config.sparsity * theirs_entropy).backward()
    theirs_masks = list(masks)

    output = ours(x_ours, explain=True)
    (nn.functional.cross_entropy(output.logits, y) + output.penalty).backward()

    parameters = dict(reference.named_parameters(remove_duplicate=False))
    buffers = dict(reference.named_buffers())
    pairs: Pairs = {
        "logits": [(output.logits, theirs_logits)],
        "entropy term": [(output.penalty / -config.sparsity, theirs_entropy)],
        "input gradient": [(x_ours.grad, x_theirs.grad)],
        "parameter gradients": [
            (value.grad, parameters[reference_name(name, config)].grad) for name, value in ours.named_parameters()
        ],
        "running statistics": [
            (value.clone(), buffers[reference_name(name, config)].clone()) for name, value in ours.named_buffers()
        ],
    }
    with torch.no_grad():  # last, as a pass in training mode moves the running statistics
        aggregated, by_step = reference.forward_masks(x)
        pairs["step masks"] = list(zip(ours.step_masks(x), theirs_masks, strict=True))
        pairs["step masks"] += [(mask, by_step[step]) for step, mask in enumerate(ours.step_masks(x))]
        pairs["aggregated masks"] = [(ours.aggregated_masks(x), aggregated)]
        share = aggregated / aggregated.sum(dim=1, keepdim=True)
        spoken = aggregated.sum(dim=1) > 0
        pairs["explanation"] = [(output.masks[spoken], share[spoken])]
    return pairs


def errors(pairs: Pairs) -> dict[str, tuple[float, float]]:
    """Largest absolute difference of each quantity, and the largest relative to its tensor's largest entry."""
    result = {}
    for quantity, tensors in pairs.items():
        absolute = torch.tensor([(ours - theirs).detach().abs().max() for ours, theirs in tensors])
        size = torch.tensor([theirs.detach().abs().max() for _, theirs in tensors])
        relative = absolute / size.where(size > 0, 1)
        result[quantity] = (absolute.max().item(), relative.max().item())  # max of tensors keeps NaN
    return result
