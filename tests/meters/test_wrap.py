import pytest
from hypothesis import given
from hypothesis import strategies as st

from energybench.errors import CounterWrapAmbiguous, RecordError
from energybench.meters.wrap import STALENESS_S, counter_delta, keep_alive_period_s
from energybench.records.reading import Domain

NJ = 1_000_000_000
S = 1_000_000_000


@given(
    wrap_j=st.integers(min_value=2_000, max_value=300_000),  # 0.1 s of staleness at 1000 W must stay below 10 %
    start=st.integers(min_value=0),
    energy=st.floats(min_value=0, max_value=1),
    power_w=st.floats(min_value=10, max_value=1000),
)
def test_any_energy_below_one_range_is_recovered_exactly(wrap_j, start, energy, power_w):
    wrap_nj = wrap_j * NJ
    # As long as the counter could not have gone round twice, the energy that fits is the only one.
    elapsed_ns = int(wrap_j / power_w * S * 0.9)
    energy_nj = int(energy * 0.9 * wrap_nj)
    before_nj = start % wrap_nj
    after_nj = (before_nj + energy_nj) % wrap_nj
    delta_nj, corrected = counter_delta(
        before_nj, after_nj, wrap_nj=wrap_nj, elapsed_ns=elapsed_ns, max_power_w=power_w
    )
    assert delta_nj == energy_nj
    assert corrected == (before_nj + energy_nj >= wrap_nj)


@given(wrap_j=st.integers(min_value=1_000, max_value=300_000), rounds=st.integers(min_value=1, max_value=5))
def test_a_second_wrap_is_never_overlooked(wrap_j, rounds):
    """Whatever the counter shows, a stretch in which it could go round once more than seen is refused."""
    power_w = 500.0
    energy_j = rounds * wrap_j + wrap_j // 3
    with pytest.raises(CounterWrapAmbiguous, match="wrapped twice"):
        counter_delta(
            0,
            energy_j % wrap_j * NJ,
            wrap_nj=wrap_j * NJ,
            elapsed_ns=int(energy_j / power_w * S),
            max_power_w=power_w,
        )


def test_counters_beyond_2_to_53_stay_exact():
    before_nj = 2**60 + 1
    assert counter_delta(before_nj, before_nj + 3, wrap_nj=None, elapsed_ns=S, max_power_w=None) == (3, False)


def test_a_reset_is_not_taken_for_a_wrap():
    """A counter that restarts at 0 (module reload) would look like 262 kJ in a second."""
    with pytest.raises(CounterWrapAmbiguous, match="reset"):
        counter_delta(5 * NJ, 0, wrap_nj=262_144 * NJ, elapsed_ns=S, max_power_w=1000.0)
    with pytest.raises(CounterWrapAmbiguous, match="reset"):
        counter_delta(5 * NJ, 0, wrap_nj=None, elapsed_ns=S, max_power_w=None)


def test_staleness_lets_a_short_window_hold_one_late_update():
    energy_nj = int(100.0 * STALENESS_S * NJ)
    assert counter_delta(0, energy_nj, wrap_nj=None, elapsed_ns=10, max_power_w=100.0)[0] == energy_nj
    with pytest.raises(CounterWrapAmbiguous):
        counter_delta(0, energy_nj + 2000, wrap_nj=None, elapsed_ns=10, max_power_w=100.0)


def test_a_wrapping_counter_without_power_bound_is_refused():
    with pytest.raises(CounterWrapAmbiguous, match="max_power_w"):
        counter_delta(1, 2, wrap_nj=100, elapsed_ns=1, max_power_w=None)


@pytest.mark.parametrize(
    ("before_nj", "after_nj", "elapsed_ns"), [(-1, 0, 1), (0, -1, 1), (100, 0, 1), (0, 100, 1), (0, 0, -1)]
)
def test_numbers_no_such_counter_can_show_are_refused(before_nj, after_nj, elapsed_ns):
    with pytest.raises(RecordError):
        counter_delta(before_nj, after_nj, wrap_nj=100, elapsed_ns=elapsed_ns, max_power_w=1.0)


def test_keep_alive_reads_twice_per_shortest_possible_wrap():
    domains = [
        Domain("package-0", wrap_nj=262_144 * NJ, max_power_w=500.0),
        Domain("dram-0", wrap_nj=65_536 * NJ, max_power_w=100.0),
        Domain("gpu-0"),
    ]
    assert keep_alive_period_s(domains) == pytest.approx(0.5 * 262_144 / 500)
    assert keep_alive_period_s([Domain("gpu-0")]) is None
