"""Calls that are not looked at again in Python: only exactly such calls, with their own data; and prepared calls."""

import gc
import itertools
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native, repeat
from energybench.kernels.repeat import entry_of, table_of


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


X, W, B = normal(5, 12), normal(7, 12, seed=1), normal(7, seed=2)


#: What a call that names none of its options passes on.
DEFAULTS: dict[str, dict[str, Any]] = {"linear": {"x_layout": "mk", "w_layout": "nk"}}


def repeats(kernel, *arrays, threads=1, **options):
    """Whether such a call takes the short way."""
    entry = entry_of(kernel, None)
    options = {"variant": "auto", **DEFAULTS.get(kernel, {}), **options}
    return entry is not None and entry(*arrays, **options, threads=threads) is not None


#: Both ways of looking at a tensor; torch before 2.10 has one of them.
WAYS = ["attributes", *(["exchange"] if hasattr(torch.Tensor, "__dlpack_c_exchange_api__") else [])]


@pytest.fixture(autouse=True, params=WAYS)
def made_before(request, monkeypatch):
    """Calls made before, and no others."""
    for name in ("linear", "relu", "add", "conv2d", "attention", "leaky_relu"):
        if (table := table_of(name)) is not None:
            table.clear()
    if request.param == "attributes":
        monkeypatch.setattr(repeat, "exchange_of", lambda tensor_type: None)
    kernels.linear(X, W, B, threads=1)
    kernels.relu(X, threads=1)
    kernels.relu(X.numpy(), threads=1)


def test_a_call_of_the_same_kind_takes_the_short_way():
    for x in (X, normal(5, 12, seed=9), torch.nn.Parameter(X, requires_grad=False)):
        kernels.relu(x, threads=1)
        assert repeats("relu", x)
    assert repeats("linear", X + 1, W + 1, B + 1)
    assert repeats("relu", X.numpy().copy())
    result = kernels.linear(X + 1, W, B, threads=1)
    torch.testing.assert_close(result, torch.nn.functional.linear(X + 1, W, B))


def misaligned():
    raw = np.zeros(5 * 12 * 4 + 1, "uint8")
    array = raw[1:].view("float32").reshape(5, 12)
    array[...] = X.numpy()
    return array


#: What looks alike and is not.
DIFFERENT: dict[str, Any] = {
    "shape": lambda: normal(12, 5),
    "fewer rows": lambda: X[:4],
    "one dimension": lambda: X.reshape(60),
    "element type": X.double,
    "transposed": lambda: normal(12, 5).T,
    "every second column": lambda: normal(5, 24)[:, ::2],
    "negated view": lambda: torch._neg_view(X),
    "needs a gradient": lambda: X.clone().requires_grad_(),
    "subclass": lambda: X.as_subclass(type("Other", (torch.Tensor,), {})),
    "no memory": lambda: X.to("meta"),
    "sparse": X.to_sparse,
    "all zeros, not stored": lambda: torch._efficientzerotensor((5, 12)),
    "misaligned": misaligned,
    "misaligned tensor": lambda: torch.from_numpy(misaligned()),
    "columns first": lambda: np.asfortranarray(X.numpy()),
    "big-endian": lambda: X.numpy().astype(">f4"),
    "an array of objects": lambda: X.numpy().astype(object),
    "a matrix": lambda: X.numpy().view(type("Matrix", (np.ndarray,), {})),
    "a list": X.tolist,
}


#: And those of them that cannot work.
REFUSED: dict[str, type[Exception]] = {
    **dict.fromkeys(("needs a gradient", "no memory", "sparse", "big-endian", "an array of objects"), UsageError),
    "a list": UsageError,
    "all zeros, not stored": RuntimeError,
}


@pytest.mark.parametrize("what", DIFFERENT)
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_what_is_not_alike_is_looked_at(what):
    x = DIFFERENT[what]()
    table = table_of("relu")
    assert table is not None
    if what not in ("shape", "fewer rows", "one dimension", "element type", "subclass"):  # kinds other tests may add
        assert not repeats("relu", x)
    assert not repeats("linear", x, W, B)
    if what in REFUSED:
        with pytest.raises(REFUSED[what]):
            kernels.relu(x, threads=1)
        return
    y = kernels.relu(x, threads=1)
    source = x.resolve_neg() if isinstance(x, torch.Tensor) else x
    np.testing.assert_array_equal(np.asarray(y), np.maximum(np.asarray(source), 0))


def test_a_gradient_that_is_not_recorded_is_none():
    x = X.clone().requires_grad_()
    with torch.no_grad():
        assert repeats("relu", x.detach())
        assert repeats("relu", x)
    assert not repeats("relu", x)
    with pytest.raises(UsageError, match="requires a gradient"):
        kernels.relu(x, threads=1)


def test_options_are_those_of_the_call_and_of_their_type():
    image, w = normal(1, 2, 6, 5), normal(3, 2, 3, 3)
    kernels.conv2d(image, w, stride=1, padding=(1, 0), threads=1)
    for other in ({"stride": True}, {"stride": 1.0}, {"padding": (True, 0)}, {"padding": (1.0, 0)}, {"threads": 0}):
        with pytest.raises(UsageError, match="is not"):
            kernels.conv2d(image, w, **{"stride": 1, "padding": (1, 0), "threads": 1, **other})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threads=True"):
        kernels.relu(X, threads=True)
    with pytest.raises(UsageError, match="no variant 'AUTO'"):
        kernels.relu(X, variant="AUTO", threads=1)
    strides: list[Any] = [1, 2, (1, 2), (2, 1)]
    paddings: list[Any] = [0, 1, (0, 1)]
    for stride, padding in 2 * list(itertools.product(strides, paddings)):
        y = kernels.conv2d(image, w, stride=stride, padding=padding, threads=1)
        torch.testing.assert_close(y, torch.nn.functional.conv2d(image, w, None, stride, padding))


def test_an_option_that_can_change_is_looked_at_each_time():
    image, w = normal(1, 2, 6, 5), normal(3, 2, 3, 3)
    stride = [1, 1]
    assert kernels.conv2d(image, w, stride=stride, threads=1).shape == (1, 3, 4, 3)
    stride[:] = 2, 2
    assert kernels.conv2d(image, w, stride=stride, threads=1).shape == (1, 3, 2, 2)


def test_zeros_of_both_signs_are_two_options():
    x = torch.full((3, 4), -2.0)
    signs = [torch.signbit(kernels.leaky_relu(x, negative_slope=s, threads=1)).all() for s in (0.0, -0.0) * 2]
    assert signs == [True, False, True, False]


def test_one_array_in_several_places_is_not_taken_for_several():
    q, k, v = (normal(1, 2, 6, 8, seed=s) for s in (3, 4, 5))
    reference = torch.nn.functional.scaled_dot_product_attention
    for arrays in ((q, q, q), (q, k, v), (q, q, v), (k, v, q), (q, k, k)):
        torch.testing.assert_close(kernels.attention(*arrays, threads=1), reference(*arrays))
    torch.testing.assert_close(kernels.add(q, q, threads=1), q + q)
    torch.testing.assert_close(kernels.add(q, k, threads=1), q + k)
    torch.testing.assert_close(kernels.add(k, k, threads=1), k + k)


def test_threads_that_are_not_named_are_those_of_the_moment():
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            kernels.relu(X)
            assert repeats("relu", X, threads=threads)
            assert repeats("relu", X, threads=None)
    finally:
        torch.set_num_threads(before)


def test_results_are_memory_of_their_own():
    first, second = (kernels.relu(X, threads=1) for _ in range(2))
    assert first.data_ptr() != second.data_ptr() != X.data_ptr()
    for array in (first.numpy(), kernels.relu(X.numpy(), threads=1)):
        assert array.ctypes.data % 64 == 0
        assert array.flags.writeable
    first.fill_(7.0)
    assert torch.equal(kernels.relu(X, threads=1), second)


def test_memory_that_was_given_up_serves_the_next_result_of_its_size_and_no_other():
    native.cpu().release_results()
    sizes = [(64, 3), (4096,), (1, 17), (2**22,)]
    addresses = {}
    for shape in sizes:
        addresses[shape] = native.cpu().empty(shape, np.dtype("float32")).ctypes.data
    held = [native.cpu().empty(shape, np.dtype("float32")) for shape in reversed(sizes)]
    assert {array.shape: array.ctypes.data for array in held} == addresses
    assert native.cpu().empty((64, 3), np.dtype("float32")).ctypes.data not in addresses.values()
    for _ in range(100):  # bounded: 64 MiB
        [native.cpu().empty((n, 2**20), np.dtype("float32")) for n in (1, 5, 9, 40)]
    del held
    assert 0 < native.cpu().release_results() <= 2**26
    assert native.cpu().release_results() == 0


def test_memory_is_given_back_by_whoever_lets_the_tensor_go():
    # a backward pass frees what it kept without the GIL
    for _ in range(20):
        y = kernels.relu(normal(33, 21), threads=1)
        loss = (y * torch.ones(33, 21, requires_grad=True)).sum()
        held = y.data_ptr()
        native.cpu().release_results()
        del y
        loss.backward()
        assert kernels.relu(normal(33, 21), threads=1).data_ptr() == held


def test_what_torch_transforms_is_refused_and_not_read():
    kernels.relu(X[0].contiguous(), threads=1)
    with pytest.raises(RuntimeError, match="storage"):
        torch.vmap(lambda row: kernels.relu(row, threads=1))(X)


def test_an_axis_of_one_element_has_no_stride():
    row = normal(3, 12)[1:2]
    strange = torch.as_strided(row.clone(), (1, 12), (7, 1))
    kernels.relu(row, threads=1)
    assert repeats("relu", strange)
    assert torch.equal(kernels.relu(strange, threads=1), torch.relu(strange))


def test_options_in_another_order_are_the_same_call():
    q = normal(1, 2, 6, 8)
    entry_options: dict[str, Any] = {"causal": False, "scale": None, "variant": "auto", "threads": 1}
    expected = kernels.attention(q, q, q, **entry_options)
    kernels.attention(q + 1, q, q - 1, threads=1)
    entry = entry_of("attention", None)
    assert entry is not None
    arrays = q, q.clone(), q.clone()
    turned = dict(reversed(entry_options.items()))
    for options in (entry_options, turned):
        torch.testing.assert_close(entry(*arrays, **options)[0], expected)
    assert entry(*arrays, **{**turned, "causal": True}) is None
    assert entry(*arrays, **{name: turned[name] for name in ("causal", "variant", "threads")}) is None
    assert entry(*arrays) is None


def test_nothing_of_an_earlier_call_is_kept():
    x = np.ones((11, 13), "float32")
    y = kernels.relu(x, threads=1)
    gone = [weakref.ref(x), weakref.ref(y)]
    del x, y
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert repeats("relu", np.ones((11, 13), "float32"))


def test_results_of_a_repeated_call_begin_poisoned():
    # or a test of a kernel that leaves an element out could pass on what the memory held
    assert np.isnan(native.cpu().empty((3, 5), np.dtype("float32"))).all()


def test_threads_of_python_do_not_mix_their_arrays():
    xs = [torch.full((16, 64), float(value)) for value in range(1, 5)]
    wrong: list[float] = []

    def work(x: torch.Tensor) -> None:
        for _ in range(300):
            if not torch.equal(kernels.add(x, x.clone(), threads=1), x + x):
                wrong.append(float(x[0, 0]))

    kernels.add(xs[0], xs[1], threads=1)
    workers = [threading.Thread(target=work, args=(x,)) for x in xs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_more_kinds_of_call_than_are_kept():
    for _ in range(2):
        for n in range(1, 40):
            x = normal(n, 3, seed=n)
            assert torch.equal(kernels.relu(x, threads=1), torch.relu(x))
    table = table_of("relu")
    assert table is not None
    assert 0 < len(table) <= 16


def test_a_failure_is_the_packages_error_the_second_time_too():
    indices, grad = torch.zeros(1, 1, 2, 2, dtype=torch.int64), torch.ones(1, 1, 2, 2)
    options: Any = {"input_size": (4, 4), "kernel_size": 2, "threads": 1}
    kernels.max_pool2d_backward(grad, indices, **options)
    indices[0, 0, 1, 1] = 99
    with pytest.raises(NativeModuleError, match="max_pool2d_backward failed: a winner lies outside"):
        kernels.max_pool2d_backward(grad, indices, **options)


# ---- prepared calls
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_prepared_call_reads_its_arrays_anew_and_writes_the_same_outputs(kind):
    arrays = [t.clone() if kind == "torch" else t.numpy().copy() for t in (X, W, B)]
    call = kernels.prepare("linear", *arrays, threads=1)
    (y,) = call.outputs
    assert type(y) is type(arrays[0])
    for change in (1.0, 2.0):
        arrays[0][...] = change
        y[...] = float("nan")
        call.run()
        assert torch.equal(torch.as_tensor(y), torch.as_tensor(kernels.linear(*arrays, threads=1)))
    assert call.variant in kernels.instruction_sets()[-1:] or call.variant == "blocked"


def test_a_call_that_cannot_be_prepared_is_refused():
    with pytest.raises(UsageError, match="not contiguous"):
        kernels.prepare("relu", normal(4, 6).T)
    with pytest.raises(UsageError, match="x has 1 dimensions"):
        kernels.prepare("linear", X[0], W, B)
    with pytest.raises(UsageError, match="no native kernel 'lineal'"):
        kernels.prepare("lineal", X, W, B)
    call = kernels.prepare(
        "max_pool2d_backward",
        torch.ones(1, 1, 2, 2),
        indices := torch.zeros(1, 1, 2, 2, dtype=torch.int64),
        input_size=(4, 4),
        kernel_size=2,
    )
    indices[0, 0, 0, 0] = -1
    with pytest.raises(NativeModuleError, match="a winner lies outside"):
        call.run()
