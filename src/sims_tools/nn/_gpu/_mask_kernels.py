"""Triton kernels of the selectors: one program per row, whatever the size of the support.

Annotations are evaluated here, unlike elsewhere in the package: Triton reads them.
"""

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]

LOG_FLOOR: tl.constexpr = tl.constexpr(1e-15)


@triton.jit
def _affine(
    scores: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    here: tl.tensor,
    factors: tl.tensor,
    columns: tl.tensor,
    inside: tl.tensor,
) -> tl.tensor:
    """Scores of one row and a block of columns, scaled and shifted where there is a scale."""
    y = tl.load(scores + here + columns, mask=inside, other=0.0)
    if scale is not None:
        y = y * tl.load(scale + factors + columns, mask=inside, other=0.0)
        y += tl.load(bias + columns, mask=inside, other=0.0)
    return y


@triton.jit
def _prepared(
    scores: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    prior: tl.tensor,
    here: tl.tensor,
    factors: tl.tensor,
    columns: tl.tensor,
    inside: tl.tensor,
) -> tl.tensor:
    """What the selector reads; -inf outside of the row."""
    z = _affine(scores, scale, bias, here, factors, columns, inside)
    if prior is not None:
        z = z * tl.load(prior + here + columns, mask=inside, other=0.0)
    return tl.where(inside, z, float("-inf"))


@triton.jit
def _threshold_step(
    candidates: tl.tensor, count: tl.tensor, top: tl.tensor, tau: tl.tensor, POWER: tl.constexpr, BLOCK: tl.constexpr
) -> tl.tensor:
    """One look at the candidates from a threshold that is at most the solution.

    With d the distances of those above it, the solution lies at least a Newton step of ``sum d^POWER = 1`` higher. If
    all of them are in the support, the equation has a closed form; that is so if the form leaves all of them above.

    Returns the step to take (closed form if it holds, Newton otherwise), whether it is closed, and the Newton step.
    """
    number = tl.full((BLOCK,), 0.0, candidates.dtype.element_ty)
    first_sum = tl.full((BLOCK,), 0.0, candidates.dtype.element_ty)
    second_sum = tl.full((BLOCK,), 0.0, candidates.dtype.element_ty)
    lowest = tl.full((BLOCK,), float("inf"), candidates.dtype.element_ty)
    for first in range(0, count, BLOCK):
        places = first + tl.arange(0, BLOCK)
        z = tl.load(candidates + places, mask=places < count, other=float("-inf"))
        d = (z - top) / POWER - tau
        above = d > 0
        number += tl.where(above, 1.0, 0.0)
        first_sum += tl.where(above, d, 0.0)
        second_sum += tl.where(above, d * d, 0.0)
        lowest = tl.where(above, tl.minimum(lowest, d), lowest)
    n = tl.sum(number, 0)
    s1 = tl.sum(first_sum, 0)
    least = tl.min(lowest, 0)
    if POWER == 1:
        newton = (s1 - 1) / n
        closed = newton
        solvable = n > 0
    else:
        s2 = tl.sum(second_sum, 0)
        newton = (s2 - 1) / (2 * s1)
        mean = s1 / n
        gap = (1 - (s2 - s1 * mean)) / n
        closed = mean - tl.sqrt(tl.where(gap > 0, gap, 0.0))
        solvable = gap >= 0
    exact = solvable & (closed >= 0) & (closed <= least)
    return tl.where(exact, closed, newton), exact.to(tl.int32), newton


@triton.jit(do_not_specialize=["chunk_size", "last_chunk"])
def select_kernel(
    scores: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    prior: tl.tensor,
    mask: tl.tensor,
    next_prior: tl.tensor,
    entropy: tl.tensor,
    n_columns: tl.tensor,
    chunk_size: tl.tensor,
    last_chunk: tl.tensor,
    GAMMA: tl.constexpr,
    POWER: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Mask, next prior and entropy of a row; `scale` with `bias`, `prior` and `next_prior` may be None.

    Only scores within POWER of the maximum can be in the support. The first pass over the row finds the maximum and
    collects, in the row of `mask` that is not written yet, the scores that are near the maximum found so far; the
    search for the threshold reads these alone; the second pass writes the results.
    """
    row = tl.program_id(0).to(tl.int64)
    here = row * n_columns
    factors = tl.minimum(row // chunk_size, last_chunk).to(tl.int64) * n_columns
    candidates = mask + here
    top = tl.full((), float("-inf"), mask.dtype.element_ty)
    count = tl.full((), 0, tl.int32)
    spoiled = tl.full((), 0, tl.int32)
    for first in range(0, n_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < n_columns
        z = _prepared(scores, scale, bias, prior, here, factors, columns, inside)
        spoiled = tl.maximum(spoiled, tl.max((z != z).to(tl.int32), 0))
        top = tl.maximum(top, tl.max(z, 0))
        near = (inside & (z >= top - POWER)).to(tl.int32)
        found = tl.sum(near, 0)
        if found > 0:
            tl.store(candidates + count + tl.cumsum(near, 0) - 1, z, mask=near > 0)
        count += found
    finite = (spoiled == 0) & (top > float("-inf")) & (top < float("inf"))
    tl.debug_barrier()  # other threads of the program read what this one stored

    tau = tl.full((), -1.0, mask.dtype.element_ty)
    searching = finite.to(tl.int32)
    while searching > 0:
        step, exact, _ = _threshold_step(candidates, count, top, tau, POWER, BLOCK)
        higher = tau + step
        searching = ((exact == 0) & (higher > tau)).to(tl.int32)
        tau = tl.where(higher > tau, higher, tau)
    _, _, rest = _threshold_step(candidates, count, top, tau, POWER, BLOCK)  # takes off what rounding left
    tau = tl.where(finite, tau + rest, float("nan"))
    tl.debug_barrier()  # no thread reads candidates any more

    total = tl.full((BLOCK,), 0.0, mask.dtype.element_ty)
    for first in range(0, n_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < n_columns
        z = _prepared(scores, scale, bias, prior, here, factors, columns, inside)
        d = (z - top) / POWER - tau
        share = tl.where(d > 0, d, 0.0)
        if POWER == 2:
            share = share * share
        share = tl.where(finite, share, float("nan"))
        tl.store(mask + here + columns, share, mask=inside)
        total -= tl.where(inside, share * tl.log(share + LOG_FLOOR), 0.0)
        if next_prior is not None:
            left = GAMMA - share
            if prior is not None:
                left = left * tl.load(prior + here + columns, mask=inside, other=0.0)
            tl.store(next_prior + here + columns, left, mask=inside)
    tl.store(entropy + row, tl.sum(total, 0))


@triton.jit
def _upstream(
    mask: tl.tensor,
    prior: tl.tensor,
    grad_mask: tl.tensor,
    grad_next: tl.tensor,
    grad_entropy: tl.tensor,
    row: tl.tensor,
    here: tl.tensor,
    columns: tl.tensor,
    inside: tl.tensor,
    POWER: tl.constexpr,
) -> tl.tensor:
    """Share and its gradient, root of the selector's Jacobian, for a block of columns of a row."""
    share = tl.load(mask + here + columns, mask=inside, other=0.0)
    grad = tl.zeros_like(share)
    if grad_mask is not None:
        grad += tl.load(grad_mask + here + columns, mask=inside, other=0.0)
    if grad_entropy is not None:
        floored = share + LOG_FLOOR
        grad -= tl.load(grad_entropy + row) * (tl.log(floored) + share / floored)
    if grad_next is not None:
        from_next = tl.load(grad_next + here + columns, mask=inside, other=0.0)
        if prior is not None:
            from_next = from_next * tl.load(prior + here + columns, mask=inside, other=0.0)
        grad -= from_next
    root = tl.where(share > 0, 1.0, 0.0).to(share.dtype)
    if POWER == 2:
        root = tl.sqrt(share)
    return share, grad, root


@triton.jit(do_not_specialize=["chunk_size", "last_chunk"])
def select_backward_kernel(
    mask: tl.tensor,
    scores: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    prior: tl.tensor,
    grad_mask: tl.tensor,
    grad_next: tl.tensor,
    grad_entropy: tl.tensor,
    grad_scores: tl.tensor,
    grad_prior: tl.tensor,
    n_columns: tl.tensor,
    chunk_size: tl.tensor,
    last_chunk: tl.tensor,
    GAMMA: tl.constexpr,
    POWER: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Gradient of a row's scaled scores, and of its prior if there is one; see `select_backward` in `_torch_ops`."""
    row = tl.program_id(0).to(tl.int64)
    here = row * n_columns
    factors = tl.minimum(row // chunk_size, last_chunk).to(tl.int64) * n_columns
    weighted_sum = tl.full((BLOCK,), 0.0, mask.dtype.element_ty)
    root_sum = tl.full((BLOCK,), 0.0, mask.dtype.element_ty)
    for first in range(0, n_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < n_columns
        share, grad, root = _upstream(
            mask, prior, grad_mask, grad_next, grad_entropy, row, here, columns, inside, POWER
        )
        weighted_sum += tl.where(inside, root * grad, 0.0)
        root_sum += tl.where(inside, root, 0.0)
    mean = tl.sum(weighted_sum, 0) / tl.sum(root_sum, 0)
    for first in range(0, n_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < n_columns
        share, grad, root = _upstream(
            mask, prior, grad_mask, grad_next, grad_entropy, row, here, columns, inside, POWER
        )
        inner = root * (grad - mean)
        if grad_prior is not None:
            found = inner * _affine(scores, scale, bias, here, factors, columns, inside)
            if grad_next is not None:
                found += tl.load(grad_next + here + columns, mask=inside, other=0.0) * (GAMMA - share)
            tl.store(grad_prior + here + columns, found, mask=inside)
        if prior is not None:
            inner = inner * tl.load(prior + here + columns, mask=inside, other=0.0)
        tl.store(grad_scores + here + columns, inner, mask=inside)
