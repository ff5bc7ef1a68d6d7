"""Parts of the compiled kernels: products, vectors, thresholds of held scores, memory, threads."""

import gc
import os
import re
import threading

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.nn._fast import _memory
from sims_tools.nn._fast._gathered import add_gathered
from sims_tools.nn._fast._jit import _OPTIONS, compiled, kernel_threads, run_tasks
from sims_tools.nn._fast._memory import release_memory, unset, zeros
from sims_tools.nn._fast._product import LANES, add_product, set_product
from sims_tools.nn._fast._vectors import UNROLLED, bits_above, largest_of, sums_above

TYPES = [np.float32, np.float64]


@compiled
def products(a, b, turned, out, added):
    set_product(a, 0, a.shape[0], b, 0, b.shape[1], out, 0, 0)
    add_product(turned.T, 0, a.shape[0], b, 0, b.shape[1], added, 0, 0)


@settings(max_examples=60, deadline=None)
@given(
    m=st.sampled_from([1, 5, 6, 7, 63, 64, 70]),
    k=st.sampled_from([1, 8, 64, 127, 128, 129, 300]),
    n=st.sampled_from([1, 4, 8, 15, 16, 33, 64, 100]),
    dtype=st.sampled_from(TYPES),
)
def test_products_of_any_shape(m, k, n, dtype):
    rng = np.random.default_rng(m * 1000 + k * 10 + n)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    out, added = np.full((m, n), np.nan, dtype), np.ones((m, n), dtype)
    products(a, b, np.ascontiguousarray(a.T), out, added)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(out, expected, atol=tolerance)
    np.testing.assert_allclose(added - 1, expected, atol=2 * tolerance)


def gathered_often(values, indices, dense, out):
    add_gathered(values, indices, 0, 3, dense, out, 0)
    add_gathered(values, indices, 1, 3, dense, out, 1)
    add_gathered(values, indices, 2, 3, dense, out, 2)


def test_a_kernel_holds_all_that_it_calls():
    """One that called another would run the copy that its process met first, and copies round differently."""
    kernel = numba.njit(gathered_often, **_OPTIONS)
    values, indices, dense, out = np.ones(3, np.float32), np.arange(3), np.ones((3, 16), np.float32), np.zeros((3, 16))
    kernel(values, indices, dense, out.astype(np.float32))
    (text,) = kernel.inspect_llvm().values()
    functions = re.findall(r"^define [^@]*@(\w+)", text, re.MULTILINE)
    assert any("gathered_often" in name for name in functions)
    assert not [name for name in functions if "add_gathered" in name and "gathered_often" not in name]


@compiled
def over_line(line, bound, level, bits, largest, sums):
    for at in range(0, len(line), LANES):
        bits[at // LANES, 0] = bits_above(line, bound, at)
        bits[at // LANES, 1] = bits_above(line, level, at)
    largest_of(line, largest)
    sums_above(line, level, sums)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_vectors_do_what_they_say(dtype, n_blocks):
    rng = np.random.default_rng(0)
    line, bound = rng.standard_normal((2, n_blocks * UNROLLED * LANES)).astype(dtype)
    line[3], line[5], bound[7] = np.nan, -np.inf, np.inf
    level = dtype(0.25)
    bits, largest, sums = (
        np.zeros((len(line) // LANES, 2), np.uint64),
        np.empty(LANES, dtype),
        np.empty(3 * LANES, dtype),
    )
    over_line(line, bound, level, bits, largest, sums)
    places = np.arange(LANES, dtype=np.uint64)
    for column, limit in ((0, bound), (1, level)):
        np.testing.assert_array_equal(((bits[:, column, None] >> places) & 1).ravel().astype(bool), line > limit)
    assert largest.max() == np.nanmax(line)
    above = np.maximum(np.nan_to_num(line, nan=-9) - level, 0)
    expected = [(above > 0).sum(), above.sum(), (above**2).sum()]
    np.testing.assert_allclose(sums.reshape(3, LANES).sum(1), expected, rtol=1e-5)


def test_memory_is_used_again_and_never_twice_at_once():
    release_memory()
    first = unset((1 << 16,), np.float32)
    second = unset((1 << 16,), np.float32)
    addresses = {first.ctypes.data, second.ctypes.data}
    assert len(addresses) == 2
    assert all(address % 64 == 0 for address in addresses)
    part = first[10:20]
    del first
    assert unset((1 << 16,), np.float32).ctypes.data not in addresses  # a view still lies in it
    del part, second
    gc.collect()
    again = [unset((1 << 16,), np.float32).ctypes.data for _ in range(1)]
    assert addresses & set(again)
    release_memory()


def test_little_is_kept_and_all_is_released(monkeypatch):
    release_memory()
    monkeypatch.setattr(_memory, "_KEPT", 1 << 20)
    held = [zeros((1 << 18,), np.uint8) for _ in range(10)]
    assert not any(each.any() for each in held)
    del held
    assert 0 < _memory._pool._kept <= 1 << 20
    release_memory()
    assert _memory._pool._kept == 0


def test_small_and_empty_arrays():
    assert unset((0, 3), np.float64).shape == (0, 3)
    assert zeros((2, 3), np.int64).tolist() == [[0, 0, 0]] * 2


def test_every_task_is_done_once_and_errors_come_back():
    done, threads = np.zeros(50, np.int64), set()

    def work(task):
        done[task] += 1
        threads.add(threading.get_ident())

    def fail(task):
        if task == 30:
            raise ZeroDivisionError("task 30")

    with kernel_threads(3):
        run_tasks(work, 50)
        with pytest.raises(ZeroDivisionError, match="task 30"):
            run_tasks(fail, 50)
        run_tasks(work, 50)
    assert (done == 2).all()
    assert len(threads) <= 3


def test_calls_from_several_threads_do_not_disturb_each_other():
    totals = np.zeros((4, 200), np.int64)

    def call(row):
        def work(task):
            totals[row, task] += 1

        for _ in range(20):
            run_tasks(work, 200)

    with kernel_threads(2):
        callers = [threading.Thread(target=call, args=(row,)) for row in range(4)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
    assert (totals == 20).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    done = np.zeros(8, np.int64)

    def work(task):
        done[task] += 1

    with kernel_threads(2):
        run_tasks(work, 8)
        child = os.fork()
        if child == 0:
            run_tasks(work, 8)
            os._exit(0 if (done == 2).all() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
