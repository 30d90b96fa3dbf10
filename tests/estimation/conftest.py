"""A profile whose numbers are round and known, so that an estimate can be checked by hand. And a meter of constant
power on the machine's own clock. Both are simulated."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from energybench.errors import MeterUnavailable
from energybench.model.domain import Domain
from energybench.model.time_law import Rates, TimeLaw
from energybench.profiles import DeviceProfile
from energybench.profiles.coefficient import Coefficient
from energybench.records.reading import Domain as MeterDomain
from energybench.records.reading import Reading
from energybench.records.vocabulary import KERNEL_CLASSES

PRICES = {"mac_fp32_j": 1e-11, "other_flop_j": 5e-12, "byte_j": 1e-10, "launch_j": 2e-6, "static_power_w": 40.0}
UNITS = {
    "mac_fp32_j": "J/MAC",
    "other_flop_j": "J/FLOP",
    "byte_j": "J/B",
    "launch_j": "J/launch",
    "static_power_w": "W",
    "mac_bf16_j": "J/MAC",
}


def make_profile(name: str = "planted", kind: Any = "simulated", **prices: float) -> DeviceProfile:
    values = {**PRICES, **prices}
    values = {k: values[k] for k in sorted(values, key=lambda k: (not k.startswith("mac_"), list(UNITS).index(k)))}
    dtypes = ("float32", "bfloat16") if "mac_bf16_j" in values else ("float32",)
    wide = (1e-12, 1e15)
    return DeviceProfile(
        name=name,
        created_utc="2026-01-02T03:04:05Z",
        energybench_version="0",
        equation_name="physical",
        target="gross",
        kind=kind,
        traffic_basis="compulsory",
        device="cpu",
        meter="simulated",
        meter_gain_rel=None,
        level=0.95,
        coefficients={
            k: Coefficient(v, UNITS[k], 0.01 * v, 0.98 * v, 1.02 * v, 30.0, "identified", "") for k, v in values.items()
        },
        covariance=np.diag([(0.01 * v) ** 2 for v in values.values()]),
        diagnostics={"spread_rel": 0.02, "n_workloads": 40},
        held_power_w=None,
        residual=None,
        domain=Domain(
            dict.fromkeys(("macs_per_byte", "other_flops_per_byte", "macs_per_launch", "bytes_per_launch"), wide),
            dtypes,
            KERNEL_CLASSES,
            (),
        ),
        time_law=TimeLaw(Rates(dict.fromkeys(dtypes, 5e-13), 5e-13, 1e-11, 5e-6, None), 0.05, 40),
        null_models={},
        validation=None,
        network_scores={},
        environment={"device_name": f"Device {name}"},
        records=(),
        notes=(),
    )


@pytest.fixture(scope="session")
def profile() -> DeviceProfile:
    return make_profile()


@pytest.fixture(scope="session")
def profile_of() -> Any:
    return make_profile


POWER_W = 50.0


class ConstantPower:
    """Draws `POWER_W`; counts its readings; can go away."""

    name, kind = "constant", "simulated"
    domains = (MeterDomain("device"),)

    def __init__(self) -> None:
        self.reads = 0
        self.gone = False
        self.clock: Any = None
        self.changed = threading.Event()

    def read(self) -> Reading:
        if self.gone:
            raise MeterUnavailable("the meter has gone; plug it in")
        self.reads += 1
        self.changed.set()
        now_ns = time.monotonic_ns()
        return Reading(now_ns, {"device": int(POWER_W * now_ns)})

    def close(self) -> None:
        pass


@pytest.fixture
def meter() -> ConstantPower:
    return ConstantPower()
