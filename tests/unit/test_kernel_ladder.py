"""Which rung `auto` takes, what a processor without AVX-512 is told, and that the listing marks what cannot run."""

import pytest

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native
from energybench.kernels.ladder import TUNED_ON_CPU, choose_rung, refuse_what_cannot_run, runs_here
from energybench.kernels.registry import OPERATORS, resolve_variant


@pytest.fixture
def processor(monkeypatch):
    """Pretends that the processor has these instruction sets."""

    def has(*sets):
        monkeypatch.setattr(native, "instruction_sets", lambda: sets)

    return has


@pytest.mark.parametrize(
    ("sets", "best"), [((), "blocked"), (("avx2",), "avx2"), (("avx2", "avx512"), "avx512"), (("avx512",), "avx512")]
)
@pytest.mark.parametrize("variant", ["auto", "simd"])
def test_auto_is_the_best_rung_of_the_processor_and_never_the_emulated_one(processor, sets, best, variant):
    processor(*sets)
    assert choose_rung("linear", TUNED_ON_CPU, variant, "cpu") == best
    assert choose_rung("linear", TUNED_ON_CPU, variant, "cuda") == "naive"


def test_a_rung_that_is_asked_for_by_name_is_taken(processor):
    processor("avx2")
    for rung in TUNED_ON_CPU["cpu"]:
        assert choose_rung("linear", TUNED_ON_CPU, rung, "cpu") == rung


def test_a_rung_that_the_processor_cannot_run_is_refused(processor):
    processor("avx2")
    with pytest.raises(UsageError) as caught:
        refuse_what_cannot_run("linear", TUNED_ON_CPU, "avx512", "cpu")
    assert str(caught.value) == (
        "linear: this processor has no avx512; choose auto or one of naive, blocked, avx2, avx512_emulated"
    )
    for rung in ("naive", "blocked", "avx2", "avx512_emulated"):
        refuse_what_cannot_run("linear", TUNED_ON_CPU, rung, "cpu")
    refuse_what_cannot_run("linear", TUNED_ON_CPU, "naive", "cuda")


def test_a_rung_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="no variant 'avx2' on cuda; choose auto or one of naive"):
        choose_rung("linear", TUNED_ON_CPU, "avx2", "cuda")
    with pytest.raises(UsageError, match="probe_fma has no cuda kernel yet; move its tensors to cpu"):
        resolve_variant("probe_fma", "auto", "cuda")


def test_runnable_says_what_the_processor_can_run(processor, monkeypatch):
    processor("avx2")
    assert [rung for rung in TUNED_ON_CPU["cpu"] if not runs_here(rung, "cpu")] == ["avx512"]

    def missing():
        raise NativeModuleError("not built")

    monkeypatch.setattr(native, "cuda", missing)
    assert not runs_here("naive", "cuda")
    monkeypatch.setattr(native, "cpu", missing)
    assert not runs_here("naive", "cpu")


def test_names_tell_directions_apart():
    for name, operator in OPERATORS.items():
        assert name == operator.name
        assert callable(getattr(kernels, name))
    assert len({spec.kernel_id for spec in kernels.list_kernels()}) == len(kernels.list_kernels())
