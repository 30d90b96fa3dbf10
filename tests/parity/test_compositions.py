"""Compositions: torch's modules in float64 and in counts, on every rung that runs here; the parts' counts add up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses
from torch import nn

from energybench import kernels
from energybench.counting import count_model
from energybench.errors import UsageError
from energybench.kernels.compositions import OPERATORS
from energybench.kernels.repeat import entry_of
from energybench.records.op_counts import OpCounts

SHARED = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")


UNKNOWN: Any = "mirror"


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@dataclass
class Case:
    """A call, torch's twin of it (arrays in, result out), and the parts that its counts are the sum of."""

    kernel: str
    arrays: list[Any]
    twin: Callable[..., Any]
    parts: list[OpCounts]
    options: dict[str, Any] = field(default_factory=dict)
    #: Bytes that torch moves beyond ours, loads and stores.
    more_in_torch: tuple[int, int] = (0, 0)
    #: What torch does of it, where `twin` only has its numbers: torch's random numbers are others.
    counted: Callable[..., Any] | None = None


def count(kernel, *arrays, **options):
    return kernels.count(kernel, *arrays, **options)


def image(*shape):
    return torch.empty(*shape, device="meta")


def padded(mode: Any) -> Case:
    x, w, b = normal(2, 3, 6, 7), normal(4, 3, 4, 4, seed=1), normal(4, seed=2)

    layer = nn.Conv2d(3, 4, 4, padding=(1, 2), stride=(1, 2), padding_mode=mode)

    def twin(x, w, b):
        return torch.func.functional_call(layer, {"weight": w, "bias": b}, x)

    options = {"padding": (1, 2), "stride": (1, 2)}
    if mode == "zeros":
        parts = [count("conv2d", x, w, b, **options)]
    else:
        larger = image(2, 3, 8, 11)
        parts = [count("pad2d", x, padding=(1, 2), mode=mode), count("conv2d", larger, w, b, stride=(1, 2))]
    case = Case("padded_conv2d", [x, w, b], twin, parts, {"padding_mode": mode, **options})
    if mode == "circular":  # torch copies the image and then four borders of the result, each in and out
        borders = 2 * 3 * (4 * 8 + 2 * 11)
        case.more_in_torch = (4 * borders, 4 * (x.numel() + borders - larger.numel()))
    return case


def causal() -> Case:
    x, w, b = normal(2, 4, 19), normal(6, 2, 3, seed=1), normal(6, seed=2)
    options = {"dilation": 2, "groups": 2}
    parts = [count("pad2d", x[:, :, None], padding=(4, 0, 0, 0)), count("conv1d", image(2, 4, 23), w, b, **options)]
    return Case("causal_conv1d", [x, w, b], lambda x, w, b: F.conv1d(F.pad(x, (4, 0)), w, b, **options), parts, options)


def separable() -> Case:
    x, depthwise, pointwise = normal(2, 5, 9, 8), normal(10, 1, 3, 3, seed=1), normal(7, 10, 1, 1, seed=2)
    biases = [normal(10, seed=3), normal(7, seed=4)]
    options: Any = {"stride": 2, "padding": 1}
    parts = [
        count("conv2d", x, depthwise, biases[0], groups=5, **options),
        count("conv2d", image(2, 10, 5, 4), pointwise, biases[1]),
    ]

    def twin(x, d, p, bd, bp):
        return F.conv2d(F.conv2d(x, d, bd, groups=5, **options), p, bp)

    return Case("separable_conv2d", [x, depthwise, pointwise, *biases], twin, parts, options)


def inception() -> Case:
    x = normal(2, 6, 5, 7)
    sizes = [(4, 6, 1), (3, 6, 1), (5, 3, 3), (2, 6, 1), (3, 2, 5), (4, 6, 1)]
    weights = [(normal(o, i, k, k, seed=o + k), normal(o, seed=o)) for o, i, k in sizes]

    def conv(image, w, b):
        return F.relu(F.conv2d(image, w, b, padding=w.shape[-1] // 2))

    def twin(x, *w):
        pooled = F.max_pool2d(x, 3, 1, 1)
        branches = conv(x, *w[:2]), conv(conv(x, *w[2:4]), *w[4:6]), conv(conv(x, *w[6:8]), *w[8:10])
        return torch.cat([*branches, conv(pooled, *w[10:])], 1)

    of = [image(2, i, 5, 7) for _, i, _ in sizes]
    parts = [
        *(count("conv2d", x, w, b, padding=w.shape[-1] // 2) for x, (w, b) in zip(of, weights, strict=True)),
        *(count("relu", image(2, o, 5, 7)) for o, _, _ in sizes),
        count("max_pool2d", x, kernel_size=3, stride=1, padding=1),
        count("concat_channels", *(image(2, c, 5, 7) for c in (4, 5, 3, 4))),
    ]
    return Case("inception", [x, *(t for pair in weights for t in pair)], twin, parts)


def attention(with_memory: bool) -> Case:
    B, S, M, E, heads = 2, 5, 7, 12, 3
    x, memory = normal(B, S, E), normal(B, M, E, seed=9) if with_memory else None
    M = M if with_memory else S
    weights, biases = [normal(E, E, seed=i) for i in range(4)], [normal(E, seed=i) for i in range(4, 8)]

    def twin(x, memory, *of):
        memory = x if memory is None else memory

        def split(sequence, w, b):
            rows = F.linear(sequence.reshape(-1, E), w, b)
            return rows.reshape(B, -1, heads, E // heads).transpose(1, 2).contiguous()

        q, k, v = (split(s, of[i], of[4 + i]) for i, s in enumerate((x, memory, memory)))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).contiguous()
        return F.linear(y.reshape(-1, E), of[3], of[7]).reshape(B, S, E)

    rows = [image(B * n, E) for n in (S, M, M, S)]
    parts = [
        *(count("linear", r, w, b) for r, w, b in zip(rows, weights, biases, strict=True)),
        *(count("split_heads", image(B, n, E), heads=heads) for n in (S, M, M)),
        count("attention", *(image(B, heads, n, E // heads) for n in (S, M, M))),
        count("merge_heads", image(B, heads, S, E // heads)),
    ]
    arrays = [x, memory, *weights, *biases]
    return Case("multi_head_attention", arrays, twin, parts, {"heads": heads})


def feed_forward(with_dropout: bool) -> Case:
    x, w1, w2 = normal(2, 5, 6), normal(20, 6, seed=1), normal(6, 20, seed=2)
    b1, b2 = normal(20, seed=3), normal(6, seed=4)
    rows = image(10, 6)
    parts = [
        *(count("linear", rows, w1, b1), count("gelu", image(10, 20))),
        *([count("dropout", image(10, 20), p=0.25, seed=7)] if with_dropout else []),
        *(count("linear", image(10, 20), w2, b2), count("add", rows, image(10, 6))),
    ]

    kept: Any = 1
    if with_dropout:
        _, kept = kernels.dropout(torch.ones(10, 20), p=0.25, seed=7, variant="naive")
        assert 0 < kept.sum() < 200
        kept = kept.reshape(2, 5, 20).double() / 0.75

    def block(dropout):
        return lambda x, w1, w2, b1, b2: x + F.linear(dropout(F.gelu(F.linear(x, w1, b1))), w2, b2)

    twin = block(lambda hidden: hidden * kept)
    of_torch = block(lambda hidden: F.dropout(hidden, 0.25) if with_dropout else hidden)
    options = {"p": 0.25, "seed": 7} if with_dropout else {}
    return Case("feed_forward", [x, w1, w2, b1, b2], twin, parts, options, counted=of_torch)


def positions() -> Case:
    indices, table = torch.tensor([[3, 0, 1, 1], [2, 2, 0, 3]]), normal(4, 10)
    places = torch.from_numpy(kernels.sinusoids(4, 10))
    parts = [count("embedding", indices, table), count("positional_encoding", image(2, 4, 10), places)]
    return Case("embed_positions", [indices, table, places], lambda i, t, p: F.embedding(i, t) + p, parts)


CASES: dict[str, Callable[[], Case]] = {
    **{f"padded, {mode}": partial(padded, mode) for mode in ("zeros", "reflect", "replicate", "circular")},
    "causal": causal,
    "separable": separable,
    "inception": inception,
    "self-attention": lambda: attention(False),
    "attention to memory": lambda: attention(True),
    "feed-forward": partial(feed_forward, False),
    "feed-forward in training": partial(feed_forward, True),
    "positions": positions,
}
EACH = pytest.mark.parametrize("name", CASES)


def flat(arrays):
    return [a for a in arrays if a is not None]


@EACH
def test_result_is_torchs_on_every_rung(name, rungs_here, assert_within):
    case = CASES[name]()
    double = [a.double() if a is not None and a.is_floating_point() else a for a in case.arrays]
    reference = case.twin(*double)
    # sums of at most 96 products, four deep, of values around 1 that grow with every layer
    bound = 4 * 100 * 2.0**-24 * (1 + reference.abs().max())
    for variant in rungs_here(case.kernel):
        for threads in (1, 2):
            y = getattr(kernels, case.kernel)(*case.arrays, variant=variant, threads=threads, **case.options)
            assert y.dtype == torch.float32
            assert_within(y, reference, bound)
        in_double = getattr(kernels, case.kernel)(*double, variant=variant, **case.options)
        assert_within(in_double, reference, 1e-12 * (1 + reference.abs().max()))


@EACH
def test_numpy_gives_the_same_bits(name):
    case = CASES[name]()
    from_torch = getattr(kernels, case.kernel)(*case.arrays, **case.options)
    arrays = [None if a is None else a.numpy() for a in case.arrays]
    assert getattr(kernels, case.kernel)(*arrays, **case.options).tobytes() == from_torch.numpy().tobytes()


def other_numbers(case: Case) -> list[Any]:
    return [a.flip(0).contiguous() if a is not None else None for a in case.arrays]


@EACH
def test_a_call_of_the_same_kind_is_made_again_by_the_compiled_module(name):
    case = CASES[name]()
    options: Any = {"variant": "auto", "threads": 2, **case.options}
    call = getattr(kernels, case.kernel)
    first = call(*case.arrays, **options)
    kept, others = first.clone(), other_numbers(case)
    entry = entry_of(case.kernel, None)
    assert entry is not None
    del options["threads"]
    if name.startswith("padded"):
        options |= {"stride": (1, 2), "dilation": 1, "groups": 1}
    elif name in ("causal", "separable"):
        options = {"stride": 1, "dilation": 1, "groups": 1, "padding": 0, **options}
        del options["padding" if name == "causal" else "groups"]
    elif case.kernel == "multi_head_attention":
        options["causal"] = False
    elif case.kernel == "feed_forward":
        options = {"p": None, "seed": None, **options}
    for arrays in (others, case.arrays, others):
        again = entry(*arrays, **options, threads=2)
        assert again is not None
        assert torch.equal(again[0], getattr(kernels, case.kernel)(*arrays, variant="auto", threads=1, **case.options))
    assert torch.equal(first, kept)  # no later call wrote to it


@EACH
def test_a_prepared_composition_reads_its_arrays_anew(name):
    case = CASES[name]()
    call = kernels.prepare(case.kernel, *case.arrays, threads=1, **case.options)
    others = other_numbers(case)
    expected = getattr(kernels, case.kernel)(*others, threads=1, **case.options)
    for array, other in zip(case.arrays, others, strict=True):
        if array is not None:
            array.copy_(other)
    call.run()
    assert torch.equal(call.outputs[0], expected)


def test_a_composition_that_would_copy_its_array_is_looked_at_each_time():
    case = attention(with_memory=False)
    x = case.arrays[0].transpose(1, 2).contiguous().transpose(1, 2)
    call = partial(kernels.multi_head_attention, x, *case.arrays[1:], heads=3, threads=1)
    call()
    x[:] = case.arrays[0].flip(0)
    expected = kernels.multi_head_attention(x.contiguous(), *case.arrays[1:], heads=3, threads=1)
    assert torch.equal(call(), expected)
    with pytest.raises(UsageError, match="not contiguous, and multi_head_attention would read a copy"):
        kernels.prepare("multi_head_attention", x, *case.arrays[1:], heads=3)


@EACH
def test_counts_are_the_sum_of_the_parts_and_the_torch_twins(name):
    case = CASES[name]()
    counts = count(case.kernel, *case.arrays, **case.options)
    assert counts == OpCounts.sum(case.parts)
    model = count_model(case.counted or case.twin, *case.arrays, strict=True).total
    more_loads, more_stores = case.more_in_torch
    expected = {n: getattr(model, n) for n in SHARED}
    expected["load_bytes"] -= more_loads
    expected["store_bytes"] -= more_stores
    assert {n: getattr(counts, n) for n in SHARED} == expected
    if not any(case.more_in_torch):
        assert counts.launches == model.launches
    on_meta = [a if a is None or not a.is_floating_point() else a.to("meta") for a in case.arrays]
    assert count(case.kernel, *on_meta, **case.options) == counts


@EACH
def test_counting_kernels_agree_with_the_closed_form_on_every_rung(name, rungs_here):
    case = CASES[name]()
    for variant in rungs_here(case.kernel):
        counted = kernels.counted_run(case.kernel, *case.arrays, variant=variant, threads=2, **case.options)
        issued = count(case.kernel, *case.arrays, variant=variant, basis="issued", **case.options)
        assert counted.counts == issued
        assert counted.variant == variant
        plain = getattr(kernels, case.kernel)(*case.arrays, variant=variant, threads=1, **case.options)
        assert torch.equal(counted.outputs[0], plain)


def test_attention_does_the_work_of_torchs_module():
    case = attention(with_memory=True)
    x, memory = case.arrays[:2]
    module = nn.MultiheadAttention(12, 3, batch_first=True).eval().requires_grad_(False)
    model = count_model(lambda x, m: module(x, m, m, need_weights=False)[0], x, memory, strict=True).total
    counts = count(case.kernel, *case.arrays, **case.options)
    assert (counts.macs, counts.other_flops) == (model.macs, model.other_flops)
    module.in_proj_weight.copy_(torch.cat(case.arrays[2:5]))
    module.in_proj_bias.copy_(torch.cat(case.arrays[6:9]))
    module.out_proj.weight.copy_(case.arrays[5])
    module.out_proj.bias.copy_(case.arrays[9])
    y = kernels.multi_head_attention(*case.arrays, heads=3)
    assert torch.allclose(y, module(x, memory, memory, need_weights=False)[0], atol=1e-4)


def test_a_causal_convolution_sees_no_future():
    x, w = normal(1, 2, 30), normal(3, 2, 4, seed=1)
    y = kernels.causal_conv1d(x, w, dilation=3)
    x[0, :, 17] += 1
    changed = (kernels.causal_conv1d(x, w, dilation=3) != y).any(1)[0].nonzero().flatten().tolist()
    assert changed == [17, 20, 23, 26]


def test_causal_attention_sees_no_future():
    case = attention(with_memory=False)
    y = kernels.multi_head_attention(*case.arrays, heads=3, causal=True)
    case.arrays[0][:, 3] += 1
    after = kernels.multi_head_attention(*case.arrays, heads=3, causal=True)
    assert torch.equal(after[:, :3], y[:, :3])
    assert not torch.equal(after[:, 3], y[:, 3])


def test_every_composition_is_tested_and_listed():
    assert {CASES[name]().kernel for name in CASES} == {o.name for o in OPERATORS}
    listed = {s.name: s for s in kernels.list_kernels() if s.kernel_class == "network"}
    assert set(listed) == {o.name for o in OPERATORS}
    assert all(s.devices == ("cpu",) for s in listed.values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kernels.padded_conv2d(x, x, padding=1, padding_mode=UNKNOWN), "mode='mirror' is unknown"),
        (lambda x: kernels.padded_conv2d([1], x), "x is a list; give a torch tensor or a numpy array"),
        (lambda x: kernels.padded_conv2d(x, x.numpy()), "x and w mix torch and numpy"),
        (lambda x: kernels.causal_conv1d(x[0], x[0], dilation=0), "dilation=0 is not valid"),
        (lambda x: kernels.multi_head_attention(x, None, *[x[0, 0]] * 4, heads=1), "x has 4 dimensions; give 3"),
        (lambda x: kernels.multi_head_attention(x[0], None, *[torch.ones(4, 4)] * 4, heads=3), "heads=3 is not valid"),
        (lambda x: kernels.feed_forward(x, torch.ones(5, 4), torch.ones(4, 3)), "w has shape .* expected .4, 5."),
        (lambda x: kernels.feed_forward(x, x, x, p=0.5), "p=0.5 and seed=None do not go together; give both"),
        (kernels.inception, "missing"),
        (lambda x: kernels.feed_forward(x, x[0, 0], x[0, 0], variant="fast"), "no variant 'fast'"),
    ],
)
def test_a_call_that_cannot_work_is_refused(call: Any, message):
    with pytest.raises(UsageError, match=message):
        call(torch.ones(1, 2, 3, 4))


def test_gradients_are_refused():
    x = torch.ones(1, 2, 3, 4, requires_grad=True)
    with pytest.raises(UsageError, match="use torch.no_grad"):
        kernels.padded_conv2d(x, torch.ones(1, 2, 3, 3))
