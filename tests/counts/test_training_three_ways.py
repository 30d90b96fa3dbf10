"""Batch normalisation, cross-entropy and dropout: closed form == CountingOps == their own loops, on every rung and both
bases; and the work of the torch twin in the same direction.
"""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.counting import count_model
from energybench.records.op_counts import OpCounts

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
WORK = ("adds", "muls", "divs", "compares", "specials")


def normal(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class Machine:
    """Arithmetic and memory that tally themselves: work by name, traffic by element type and role."""

    def __init__(self, *weights: Any) -> None:
        self.work: Counter[str] = Counter()
        self.moved: dict[str, Counter[str]] = {}
        self.weights = [id(w) for w in weights if w is not None]

    def do(self, name: str, value: float) -> float:
        self.work[name] += 1
        return value

    def mul(self, a: float, b: float) -> float:
        return self.do("muls", a * b)

    def add(self, a: float, b: float) -> float:
        return self.do("adds", a + b)

    def read(self, array: Any, index: Any) -> float:
        tally = self.moved.setdefault(str(array.dtype), Counter())
        tally.update(loads=1, load_bytes=array.itemsize, weight_load_bytes=array.itemsize * (id(array) in self.weights))
        return float(array[index])

    def write(self, array: Any, index: Any, value: float) -> None:
        self.moved.setdefault(str(array.dtype), Counter()).update(stores=1, store_bytes=array.itemsize)
        array[index] = value


def batch_norm(m, x, weight, bias, running_mean, running_var, *, training=True, return_statistics=False):
    eps, momentum = 0.1, 0.25
    (N, C, S), y = x.shape, np.zeros_like(x)
    mean, rstd, new_mean, new_var = (np.zeros(C, x.dtype) for _ in range(4))
    count = N * S
    for c in range(C):
        places = [(n, c, s) for n in range(N) for s in range(S)]
        if not training:
            scale = m.do("specials", m.add(m.read(running_var, c), eps) ** -0.5)
            if weight is not None:
                scale = m.mul(m.read(weight, c), scale)
            shift = -m.mul(m.read(running_mean, c), scale)
            if bias is not None:
                shift = m.add(m.read(bias, c), shift)
            for i in places:
                m.write(y, i, m.add(m.mul(m.read(x, i), scale), shift))
            continue
        total = squares = 0.0
        for i in places:
            total = m.add(total, m.read(x, i))
        mu = m.do("divs", total / count)
        for i in places:
            difference = m.add(m.read(x, i), -mu)
            m.write(y, i, difference)
            squares = m.add(squares, m.mul(difference, difference))
        variance = m.do("divs", squares / count)
        scale = m.do("specials", m.add(variance, eps) ** -0.5)
        w = None if weight is None else m.read(weight, c)
        b = None if bias is None else m.read(bias, c)
        for i in places:
            value = m.mul(m.read(y, i), scale)
            value = value if w is None else m.mul(value, w)
            m.write(y, i, value if b is None else m.add(value, b))
        if return_statistics:
            m.write(mean, c, mu)
            m.write(rstd, c, scale)
        if running_mean is not None:
            unbiased = momentum * count / (count - 1)
            m.write(new_mean, c, m.add(m.mul(1 - momentum, m.read(running_mean, c)), m.mul(momentum, mu)))
            m.write(new_var, c, m.add(m.mul(1 - momentum, m.read(running_var, c)), m.mul(unbiased, variance)))
    updated = training and running_mean is not None
    kept = (mean, rstd) if return_statistics else (None, None)
    return y, *kept, *((new_mean, new_var) if updated else (None, None))


def batch_norm_backward(m, grad, x, mean, spread, weight, *, has_bias, training=True):
    eps = 0.1
    (N, C, S), dx = x.shape, np.zeros_like(x)
    dweight, dbias = np.zeros(C, x.dtype), np.zeros(C, x.dtype)
    for c in range(C):
        places = [(n, c, s) for n in range(N) for s in range(S)]
        given, total, projected = m.read(spread, c), 0.0, 0.0
        if training:
            mu = m.read(mean, c)
            for i in places:
                hat, g = m.mul(m.add(m.read(x, i), -mu), given), m.read(grad, i)
                m.write(dx, i, hat)
                total, projected = m.add(total, g), m.add(projected, m.mul(g, hat))
            mean_g, mean_gx = m.do("divs", total / (N * S)), m.do("divs", projected / (N * S))
            scale = given if weight is None else m.mul(given, m.read(weight, c))
            for i in places:
                rest = m.add(m.add(m.read(grad, i), -mean_g), -m.mul(m.read(dx, i), mean_gx))
                m.write(dx, i, m.mul(scale, rest))
        else:
            rstd = m.do("specials", m.add(given, eps) ** -0.5)
            scale = rstd if weight is None else m.mul(m.read(weight, c), rstd)
            if weight is not None:
                mu = m.read(mean, c)
                for i in places:
                    projected = m.add(projected, m.mul(m.read(grad, i), m.add(m.read(x, i), -mu)))
                projected = m.mul(rstd, projected)
            for i in places if has_bias else ():
                total = m.add(total, m.read(grad, i))
            for i in places:
                m.write(dx, i, m.mul(m.read(grad, i), scale))
        if weight is not None:
            m.write(dweight, c, projected)
        if has_bias:
            m.write(dbias, c, total)
    return dx, (None if weight is None else dweight), (dbias if has_bias else None)


def cross_entropy(m, x, targets):
    (rows, n), y, loss = x.shape, np.zeros_like(x), np.zeros((), x.dtype)
    total = 0.0
    for r in range(rows):
        largest, exponentials = -math.inf, 0.0
        for i in range(n):
            largest = m.do("compares", max(largest, m.read(x, (r, i))))
        for i in range(n):
            difference = m.add(m.read(x, (r, i)), -largest)
            exponentials = m.add(exponentials, m.do("specials", math.exp(difference)))
            m.write(y, (r, i), difference)
        logarithm = m.do("specials", math.log(exponentials))
        for i in range(n):
            m.write(y, (r, i), m.add(m.read(y, (r, i)), -logarithm))
        total = m.add(total, m.read(y, (r, int(m.read(targets, r)))))
    m.write(loss, (), m.do("divs", -total / rows))
    return loss, y


def cross_entropy_backward(m, grad, y, targets):
    (rows, n), dx = y.shape, np.zeros_like(y)
    for r in range(rows):
        target, share = int(m.read(targets, r)), m.do("divs", m.read(grad, ()) / rows)
        for i in range(n):
            m.write(dx, (r, i), m.mul(m.do("specials", math.exp(m.read(y, (r, i)))), share))
        m.write(dx, (r, target), m.add(m.read(dx, (r, target)), -share))
    return (dx,)


def dropout(m, x, *, p, seed):
    y, mask = np.zeros_like(x), np.zeros(x.shape, "uint8")
    kept = kernels.dropout(x, p=p, seed=seed, variant="naive")[1]  # the generator is tested in tests/parity
    for i in np.ndindex(*x.shape):
        m.do("specials", 0)
        factor = m.do("compares", kept[i] / (1 - p))
        m.write(mask, i, kept[i])
        m.write(y, i, m.mul(m.read(x, i), factor))
    return y, mask


def dropout_backward(m, grad, mask, *, p):
    dx = np.zeros_like(grad)
    for i in np.ndindex(*grad.shape):
        m.write(dx, i, m.mul(m.read(grad, i), m.read(mask, i) / (1 - p)))
    return (dx,)


LOOPS = {
    f.__name__: f
    for f in (batch_norm, batch_norm_backward, cross_entropy, cross_entropy_backward, dropout, dropout_backward)
}


@pytest.fixture(scope="session")
def agree(agree_with_loops, roundings_of_largest):
    """Assert that a call counts the same three ways on every rung, and that counting changes no bit of its results.

    `extra` is what the loops have as constants; `unread` are the places of arrays that this call has no use for.
    """

    def check(kernel, *arrays, weights=(), unread=(), extra: Any = None, **options):
        rungs = [s.variant for s in kernels.list_kernels() if s.name == kernel and s.dtype == "float32" and s.runnable]
        assert rungs[0] == "naive"
        m = Machine(*(arrays[i] for i in weights))
        expected = LOOPS[kernel](m, *arrays, **options)
        dtype = next(str(a.dtype) for a in arrays if a is not None and str(a.dtype).startswith("float"))
        m.moved[dtype].update(m.work)
        tallies = {name: {n: v for n, v in moved.items() if v} for name, moved in m.moved.items()}
        options = {**options, **(extra or {})}
        for rung in rungs:
            issued = kernels.count(kernel, *arrays, variant=rung, basis="issued", **options)
            assert {name: part.to_dict() for name, part in issued.by_dtype.items()} == tallies, f"{rung}: against loops"
            compulsory = kernels.count(kernel, *arrays, variant=rung, **options)
            given = [a for i, a in enumerate(arrays) if a is not None and i not in unread]
            assert compulsory.load_bytes == sum(a.nbytes for a in given), f"{rung}: each input once"
            assert compulsory.store_bytes == sum(o.nbytes for o in expected if o is not None), (
                f"{rung}: each output once"
            )
            assert compulsory.launches == issued.launches == 1
            for threads in (1, 3):
                counted = kernels.counted_run(kernel, *arrays, variant=rung, threads=threads, **options)
                assert counted.counts == issued, f"{rung}: CountingOps against closed form"
            plain = getattr(kernels, kernel)(*arrays, variant=rung, threads=2, **options)
            plain = plain if isinstance(plain, tuple) else (plain,)
            agree_with_loops(rung, counted.outputs, plain, expected, roundings_of_largest(expected, m.work.total()))

    return check


@DTYPES
@pytest.mark.parametrize("affine", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 2, 5), (2, 3, 37), (2, 1, 70)])
def test_batch_norm(agree, shape, affine, dtype):
    x, grad = normal(1, *shape, dtype=dtype), normal(2, *shape, dtype=dtype)
    w, b = (normal(3 + i, shape[1], dtype=dtype) if there else None for i, there in enumerate(affine))
    mean, var = normal(5, shape[1], dtype=dtype), np.abs(normal(6, shape[1], dtype=dtype))
    extra = {"momentum": 0.25, "eps": 0.1}
    agree("batch_norm", x, w, b, None, None, weights=(1, 2), extra=extra)
    agree("batch_norm", x, w, b, mean, var, weights=(1, 2), extra=extra, return_statistics=True)
    agree("batch_norm", x, w, b, mean, var, weights=(1, 2), extra=extra, training=False)
    backward: dict[str, Any] = {"weights": (4,), "extra": {"eps": 0.1}, "has_bias": b is not None}
    agree("batch_norm_backward", grad, x, mean, var, w, **backward)
    unread = () if w is not None else (1, 2)  # nothing but the weight's gradient needs x and the mean
    agree("batch_norm_backward", grad, x, mean, var, w, **backward, training=False, unread=unread)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 77)])
def test_cross_entropy(agree, shape, dtype):
    x, targets = normal(1, *shape, dtype=dtype), np.random.default_rng(2).integers(shape[1], size=shape[0])
    agree("cross_entropy", x, targets)
    y = kernels.cross_entropy(x, targets)[1]
    agree("cross_entropy_backward", np.asarray(1.5, dtype), y, targets)


@DTYPES
@pytest.mark.parametrize("shape", [(1,), (64,), (3, 47)])
def test_dropout(agree, shape, dtype):
    x = normal(1, *shape, dtype=dtype)
    agree("dropout", x, p=0.25, seed=3)
    agree("dropout_backward", x, kernels.dropout(x, p=0.25, seed=3)[1], p=0.25)


# ---- torch twins
def of_direction(direction, twin, *inputs):
    model = count_model(twin, *inputs, strict=True, backward=True)
    total = OpCounts.sum([row.counts for row in model.rows if row.direction == direction])
    return {name: getattr(total, name) for name in (*WORK, "load_bytes", "store_bytes")}


def of_native(kernel, *arrays, **options):
    counts = kernels.count(kernel, *arrays, **options)
    return {name: getattr(counts, name) for name in (*WORK, "load_bytes", "store_bytes")}


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_counts_as_its_torch_twin_in_both_directions(affine):
    module = torch.nn.BatchNorm2d(3, affine=affine)
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    w = b = module.weight.detach() if affine else None
    plain, c = x.detach(), torch.ones(3)
    native = of_native("batch_norm", plain, w, b, c, c, return_statistics=True)
    twin = of_direction("forward", module, x)
    # torch also counts the batches it has seen: one addition of an integer, read and written
    assert native == {
        **twin,
        "adds": twin["adds"] - 1,
        "load_bytes": twin["load_bytes"] - 8,
        "store_bytes": twin["store_bytes"] - 8,
    }
    assert of_native("batch_norm_backward", plain, plain, c, c, w) == of_direction("backward", module, x)
    module.eval()
    assert of_native("batch_norm", plain, w, b, c, c, training=False) == of_direction("forward", module, x)
    backward = of_native("batch_norm_backward", plain, plain, c, c, w, training=False)
    assert backward == of_direction("backward", module, x)


def test_dropout_counts_as_its_torch_twin_in_both_directions():
    x = torch.randn(3, 5, requires_grad=True)
    twin = lambda x: F.dropout(x, 0.25)  # noqa: E731
    native = of_native("dropout", x.detach(), p=0.25, seed=0)
    assert native == of_direction("forward", twin, x)
    mask = torch.zeros(3, 5, dtype=torch.uint8)
    assert of_native("dropout_backward", x.detach(), mask, p=0.25) == of_direction("backward", twin, x)


def test_cross_entropy_counts_as_its_torch_twin_but_for_what_lies_between_torchs_two_operators():
    rows, n = 6, 7
    x, targets = torch.randn(rows, n, requires_grad=True), torch.randint(n, (rows,))
    twin = of_direction("forward", lambda x: F.cross_entropy(x, targets), x)
    native = of_native("cross_entropy", x.detach(), targets)
    assert {name: native[name] for name in WORK} == {name: twin[name] for name in WORK}
    # torch's second operator reads again what the first wrote, one value a row
    assert twin["load_bytes"] - native["load_bytes"] == 4 * rows
    # Backward torch makes a matrix of zeros and one value a row, then adds up its rows: n additions of zeros, and one
    # subtraction for each class; the kernel subtracts at the target alone.
    back = of_direction("backward", lambda x: F.cross_entropy(x, targets), x)
    native = of_native("cross_entropy_backward", torch.tensor(1.0), x.detach(), targets)
    assert back["adds"] - native["adds"] == 2 * rows * n - rows
    assert (back["muls"] - native["muls"], native["divs"] - back["divs"]) == (rows, rows)
    assert (back["specials"], back["compares"]) == (native["specials"], native["compares"])
