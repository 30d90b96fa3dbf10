"""Being counted costs the plain build nothing, on any kernel, direction or rung.

Every file of csrc/cpu/naive and csrc/cpu/tuned is compiled once more, at the flags of the package, over numbers and
vectors that hide nothing and tally nothing (`raw_ops.h`); what the package's own module holds is compared with that,
function by function: it may have no more floating-point instructions of a kind, calls, numbers in memory that are
changed in place (as a counter is) or instructions in all. A margin is left for what a compiler may do twice.
"""

import platform
import re
from collections import Counter

import pytest

#: Kernel (a name of the registry) → the launches of csrc/cpu/rungs.h behind it.
LAUNCHES = {
    "conv2d": ("conv2d",),
    "conv2d_backward": ("conv2d_backward",),
    "conv1d": ("conv2d",),
    "conv1d_backward": ("conv2d_backward",),
    "conv2d_nhwc": ("conv2d_nhwc",),
    "conv2d_nhwc_backward": ("transpose", "conv2d_backward"),
    "gru": ("gru",),
    "gru_backward": ("gru_backward",),
    "attention": ("attention",),
    "attention_backward": ("attention_backward",),
    "online_attention": ("online_attention",),
    "linear": ("linear",),
    "linear_backward": ("linear_backward",),
    "softmax": ("softmax",),
    "softmax_backward": ("softmax",),
    "log_softmax": ("softmax",),
    "log_softmax_backward": ("softmax",),
    "layer_norm": ("layer_norm",),
    "layer_norm_backward": ("layer_norm_backward",),
    "batch_norm": ("batch_norm",),
    "batch_norm_backward": ("batch_norm_backward",),
    "cross_entropy": ("cross_entropy",),
    "cross_entropy_backward": ("cross_entropy_backward",),
    "dropout": ("dropout",),
    "dropout_backward": ("dropout_backward",),
    **dict.fromkeys(
        (
            *(name + way for name in ("relu", "leaky_relu", "sigmoid", "tanh", "gelu") for way in ("", "_backward")),
            *("add", "positional_encoding", "sgd_step", "momentum_step", "adam_step"),
        ),
        ("elementwise",),
    ),
    "max_pool2d": ("pool2d",),
    "max_pool2d_backward": ("pool2d_backward",),
    "avg_pool2d": ("pool2d",),
    "avg_pool2d_backward": ("pool2d_backward",),
    "pad2d": ("pad2d",),
    "pad2d_backward": ("pad2d_backward",),
    **dict.fromkeys(("nchw_to_nhwc", "nhwc_to_nchw", "split_heads", "merge_heads"), ("transpose",)),
    "concat_channels": ("concat",),
    "embedding": ("gather",),
    "probe_fma": ("probe_fma",),
    "probe_stream": ("probe_stream",),
    **dict.fromkeys(
        (f"probe_{kind}" for kind in ("intensity", "read", "write", "chase", "special", "launch")), ("probe",)
    ),
    "padded_conv2d": ("pad2d", "conv2d"),
    "causal_conv1d": ("pad2d", "conv2d"),
    "separable_conv2d": ("conv2d",),
    "inception": ("conv2d", "pool2d", "concat"),
    "multi_head_attention": ("linear", "transpose", "attention"),
    "feed_forward": ("linear", "elementwise"),
    "embed_positions": ("gather", "elementwise"),
}

#: How much more of a kind the plain function may have: a share, and a few, for loops that the compiler splits or joins
#: otherwise where a type is a class. Memory at a fixed address is changed by neither.
SHARE = 0.05
FEW = {"instructions": 12, "kept at a fixed address": 0}
ANY = 2
#: The same where every straight run counts once: few are left there, so that two more would be much.
FEW_APART = {"instructions": 4}
#: Compiled with -O1, for tests: copies of a class of two registers stay, so arithmetic alone is compared.
ARITHMETIC_ALONE = ("avx512_emulated",)


def launches(functions):
    """The launches among functions: what has the arguments of one."""
    found = (re.match(r"eb::\w+::(\w+)\(.*EbDtype.*eb::OpCounts\*, EbError\*\)$", name) for name in functions)
    return {match[1] for match in found if match}


def test_every_kernel_and_rung_is_in_the_list_and_in_the_module_plain_and_counting(shipped):
    from energybench.kernels.registry import OPERATORS

    assert set(LAUNCHES) == set(OPERATORS)
    for kernel, operator in OPERATORS.items():
        for rung in operator.ladders["cpu"]:
            for namespace in (rung, f"{rung}_counting"):
                missing = {*LAUNCHES[kernel]} - launches(shipped(namespace))
                assert not missing, f"{kernel} on {rung}: no {missing} in {namespace}"


@pytest.fixture
def pairs(shipped, twins, twin_rung):
    """Function → its instructions in the module, and over bare types."""
    plain, raw = shipped(twin_rung), twins(twin_rung)
    assert plain.keys() == raw.keys(), "functions without a twin"
    return {name: (plain[name], raw[name]) for name in plain}


def test_every_launch_of_a_rung_has_a_twin(shipped, twins, twin_rung):
    from energybench.kernels.registry import OPERATORS

    needed = {launch for k, o in OPERATORS.items() if twin_rung in o.ladders["cpu"] for launch in LAUNCHES[k]}
    assert launches(twins(twin_rung)) == launches(shipped(twin_rung)) >= needed


def matching(pattern, lines):
    return sum(re.match(pattern, line) is not None for line in lines)


def straight_runs(lines):
    """Runs of instructions without a jump among them; an inner loop's body is one."""
    body: list[str] = []
    for line in [*lines, "ret"]:
        if re.match(r"(j\w+|ret|call)\b", line):
            yield [*body, line] if line.startswith("call") else body
            body = []
        else:
            body.append(line)


def mnemonics(lines):
    return Counter(line.split()[0] for line in lines)


def once(lines, work):
    """The work of a function where every straight run is taken once, however often the compiler copied it.

    Runs of equal work are one: a copy has other registers and may have other moves.
    """
    different = {frozenset(done.items()): done for done in map(work, straight_runs(lines))}
    return sum(different.values(), Counter())


def excess(plain, raw, arithmetic, *, arithmetic_alone=False):
    """What one function does more of than the other: kind of work → how often each.

    In the whole of it and also where copies count once: a loop's tail that is there twice is no work, and an
    operation more is more either way.
    """

    def work(lines):
        if arithmetic_alone:
            return arithmetic(lines)
        memory = {
            "changed in place": matching(r"(lock )?(add|sub|inc|dec)[bwlq] .*\)$", lines),
            "kept at a fixed address": matching(r"(add|sub|inc|dec|v?mov)\w* .*\(%rip\)( +#.*)?$", lines),
        }
        return arithmetic(lines) + Counter(memory)

    def measures(lines):
        whole, apart = work(lines), once(lines, work)
        if not arithmetic_alone:
            whole["instructions"], apart["instructions"] = len(lines), once(lines, mnemonics).total()
        return whole, apart

    def more(one, other, few, any_kind):
        return {kind for kind, times in one.items() if times > other[kind] * (1 + SHARE) + few.get(kind, any_kind)}

    (whole, apart), (of_raw, apart_of_raw) = measures(plain), measures(raw)
    both = more(whole, of_raw, FEW, ANY) & more(apart, apart_of_raw, FEW_APART, 0)
    return {kind: (whole[kind], of_raw[kind]) for kind in both}


def test_plain_code_does_no_more_than_the_code_over_bare_types(pairs, arithmetic, twin_rung):
    found = {
        name: more
        for name, (plain, raw) in pairs.items()
        if (more := excess(plain, raw, arithmetic, arithmetic_alone=twin_rung in ARITHMETIC_ALONE))
    }
    assert not found, "\n".join(f"{name}: {more}" for name, more in found.items())


@pytest.mark.parametrize(("extra", "least"), [(1, 1.0), (2, 2 / 3)], ids=["counter", "product"])
def test_a_counter_or_a_product_at_each_store_is_seen(twins, twin_rung, arithmetic, extra, least):
    files = ("rows", "pool")
    bare, loaded = twins(twin_rung, files), twins(twin_rung, files, f"-DEB_RAW_EXTRA={extra}")
    bodies = [name for name in bare if "._omp_fn" in name]
    seen = [name for name in bodies if excess(loaded[name], bare[name], arithmetic)]
    # a product is unseen where the compiler multiplies a zero by itself, or does so once for many stores
    assert len(bodies) > 8
    assert len(seen) >= least * len(bodies), f"seen in {len(seen)} of {len(bodies)}"


#: Rung → multiply-adds of the matrix product's inner loop and the register they work on.
INNER = {"blocked": (12, "%xmm"), "avx2": (12, "%ymm"), "avx512": (24, "%zmm")}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 instructions")
@pytest.mark.parametrize("rung", INNER)
def test_inner_loop_of_the_matrix_product_has_its_macs_and_no_spill(shipped, rung):
    macs, register = INNER[rung]
    products = [lines for name, lines in shipped(rung).items() if "::multiply<" in name]
    runs = [
        body
        for lines in products
        for body in straight_runs(lines)
        if sum(line.startswith("vfmadd") for line in body) == macs
    ]
    assert runs, "no run of instructions holds the tile's multiply-adds"
    for body in runs:
        fused = [line for line in body if line.startswith("vfmadd")]
        assert all(register in line for line in fused)
        first, last = body.index(fused[0]), body.index(fused[-1])
        assert not [line for line in body[first : last + 1] if "(%rsp)" in line or "(%rbp)" in line]
