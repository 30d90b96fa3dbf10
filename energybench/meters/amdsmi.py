"""`AmdSmiMeter`: the energy accumulator of an AMD GPU through the package `amdsmi` (the extra ``energybench[amd]``).

One count is `counter_resolution` microjoules, which the library tells and which is never assumed: without it the
energy is wrong by fifteen (amdsmi issue 38). On some boards the accumulator stands still within a process, or counts
something else (rocm_smi_lib issue 180, zeus issue 113), so opening compares it with the power that the board reports
over half a second. A board of two dies (MI250) reports both on the first one; the second is refused by name.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from energybench.errors import EnergybenchError, MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import Second, Watt, uj_to_nj

#: No maker's statement of the period was found: characterising finds it. Until then the slowest of other GPUs.
NOMINAL_UPDATE_PERIOD_S: Final[Second] = 0.1
#: The class that uncalibrated boards of another maker have (see `nvml.GAIN_REL`); taken over, not measured.
GAIN_REL: Final = 0.05
#: A UUID that begins so belongs to a stand-in library, and its energy is never `measured`.
FAKE_UUID_PREFIX: Final = "GPU-FAKE"
PROBE_S: Final[Second] = 0.5
_NO_POWER: Final = 0xFFFF
#: Energy counted in the probe, over the power at its ends times its length: outside of this it is another quantity.
_PLAUSIBLE: Final = (0.5, 2.0)
#: AMDSMI_STATUS_NO_PERM and AMDSMI_STATUS_NOT_SUPPORTED of amdsmi.h.
_NO_PERMISSION: Final = 10
_NOT_SUPPORTED: Final = 2

_REMEDY_INSTALL: Final = "run `pip install 'energybench[amd]'` in the version of the ROCm that is installed"
_REMEDY_DRIVER: Final = "check `amd-smi list`; in a container add `--device=/dev/kfd --device=/dev/dri`"


def load_library() -> Any:
    """The module `amdsmi`. Raises MeterUnavailable where it, or the ROCm library below it, is absent."""
    try:
        return importlib.import_module("amdsmi")
    except ImportError:
        raise MeterUnavailable(f"the module amdsmi is not installed; {_REMEDY_INSTALL}") from None
    except (OSError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise MeterUnavailable(
            f"amdsmi does not find its ROCm library ({reason}); install ROCm's amd-smi-lib"
        ) from None


class AmdSmiMeter:
    """Energy of one AMD GPU.

    Args:
        index: The GPU as HIP numbers it.
        library: A stand-in for `amdsmi`; the meter is then `simulated` and its UUIDs must begin with ``GPU-FAKE``.

    Raises:
        MeterUnavailable: no driver, no such GPU, or an accumulator that does not agree with the power.
        MeterPermissionError: the driver refuses this user.
    """

    def __init__(self, index: int = 0, *, library: Any | None = None) -> None:
        if index < 0:
            raise UsageError(f"GPU index {index} is negative; count from 0")
        self._library: Any | None = None
        injected = library is not None
        smi = library if injected else load_library()
        _call(smi, "amdsmi_init", "its start")
        self._library = smi
        self.index = index
        self.name = f"amdsmi:{index}"
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        try:
            self._handle = _handle(smi, index, torch=None if injected else sys.modules.get("torch"))
            self.uuid = str(_call(smi, "amdsmi_get_gpu_device_uuid", f"the UUID of GPU {index}", self._handle))
            if self.uuid.startswith(FAKE_UUID_PREFIX) != injected:
                raise MeterUnavailable(
                    f"GPU {self.uuid} and the library that shows it do not agree on being real; use the driver's own"
                )
            self.kind: Kind = "simulated" if injected else "measured"
            self.domains: tuple[Domain, ...] = (
                Domain(name=f"gpu-{index}", resolution_nj=self._resolution_nj(), gain_rel=GAIN_REL),
            )
            self._refuse_implausible()
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Poll the accumulator once. Raises MeterUnavailable, MeterPermissionError."""
        time_ns = self.clock.now_ns()
        count = self._count()
        # `energy_accumulator` was called `power` before amdsmi 6.2.1.
        counts = int(count["energy_accumulator"] if "energy_accumulator" in count else count["power"])
        worth = self._worth_nj(count)
        return Reading(time_ns, {f"gpu-{self.index}": counts * worth.numerator // worth.denominator})

    def read_power_w(self) -> Watt | None:
        """Socket power now; None where the board tells none."""
        try:
            info = _call(self._open(), "amdsmi_get_power_info", f"the power of GPU {self.index}", self._handle)
        except MeterUnavailable:
            return None
        for key in ("current_socket_power", "average_socket_power"):
            power_w = info.get(key)
            # All ones, in 16 or 32 bits, is the library's word for a power that it does not know.
            if isinstance(power_w, int | float) and 0 < power_w < _NO_POWER:
                return float(power_w)
        return None

    def close(self) -> None:
        """Release the library; a second call does nothing."""
        library, self._library = self._library, None
        if library is not None:
            with contextlib.suppress(library.AmdSmiException):
                library.amdsmi_shut_down()

    def _open(self) -> Any:
        if self._library is None:
            raise MeterUnavailable("the amdsmi meter was closed; open it again")
        return self._library

    def _count(self) -> Mapping[str, Any]:
        what = f"the energy accumulator of GPU {self.index}"
        count: Mapping[str, Any] = _call(self._open(), "amdsmi_get_energy_count", what, self._handle)
        return count

    def _worth_nj(self, count: Mapping[str, Any]) -> Fraction:
        """One count in nanojoules, exactly as the library states it."""
        return Fraction(count["counter_resolution"]) * uj_to_nj(1)

    def _resolution_nj(self) -> int:
        worth = self._worth_nj(self._count())
        if worth <= 0:
            raise MeterUnavailable(f"GPU {self.index} states no counter resolution; update ROCm")
        return -(-worth.numerator // worth.denominator)

    def _refuse_implausible(self) -> None:
        before_w, begin = self.read_power_w(), self.read()
        self.clock.sleep(PROBE_S)
        after_w, end = self.read_power_w(), self.read()
        name = f"gpu-{self.index}"
        counted_j = (end.energy_nj[name] - begin.energy_nj[name]) / 1e9
        if before_w is None or after_w is None:
            if counted_j > 0:
                return  # no power to compare with, and the counter moves
            raise MeterUnavailable(
                f"GPU {self.index} reports neither power nor energy, as the second die of an MI250 does; measure the "
                "first one, which counts both"
            )
        expected_j = 0.5 * (before_w + after_w) * (end.time_ns - begin.time_ns) / 1e9
        if not _PLAUSIBLE[0] <= counted_j / expected_j <= _PLAUSIBLE[1]:
            raise MeterUnavailable(
                f"GPU {self.index} counted {counted_j:.3g} J where its power says {expected_j:.3g} J, so its "
                "accumulator is not usable; update ROCm"
            )


def discover(library: Any | None = None) -> list[MeterInfo]:
    """One line per GPU for ``doctor``. Raises where there is no amdsmi at all."""
    smi = library if library is not None else load_library()
    _call(smi, "amdsmi_init", "its start")
    count = len(_call(smi, "amdsmi_get_processor_handles", "the GPUs"))
    if count == 0:
        raise MeterUnavailable(f"amdsmi sees no GPU; {_REMEDY_DRIVER}")
    infos = []
    for index in range(count):
        try:
            meter = AmdSmiMeter(index, library=library)
        except EnergybenchError as error:
            observed, _, remedy = str(error).partition("; ")
            kind: Kind = "measured" if library is None else "simulated"
            infos.append(MeterInfo(f"amdsmi:{index}", False, kind, observed, remedy))
            continue
        observed = f"AMD GPU {meter.uuid} with an energy accumulator"
        infos.append(MeterInfo(meter.name, True, meter.kind, observed, domains=meter.domains))
        meter.close()
    return infos


def _call(library: Any, function: str, what: str, *args: Any) -> Any:
    """One call with its errors translated."""
    try:
        return getattr(library, function)(*args)
    except AttributeError:
        raise MeterUnavailable(f"this amdsmi has no {function}; {_REMEDY_INSTALL}") from None
    except library.AmdSmiException as error:
        code = error.get_error_code() if hasattr(error, "get_error_code") else None
        text = " ".join(str(error).split())[:100]
        if code == _NO_PERMISSION:
            raise MeterPermissionError(
                f"amdsmi may not read {what}; run `sudo usermod -aG render,video $USER` and log in again"
            ) from None
        remedy = "this board or driver has none, use another --meter" if code == _NOT_SUPPORTED else _REMEDY_DRIVER
        raise MeterUnavailable(f"amdsmi fails at {what} ({text}); {remedy}") from None


def _handle(library: Any, index: int, *, torch: Any | None) -> Any:
    """The handle of HIP device `index`: by its PCI address where torch has started HIP, else by number."""
    handles = list(_call(library, "amdsmi_get_processor_handles", "the GPUs"))
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized() and index < cuda.device_count():
        properties = cuda.get_device_properties(index)
        if all(hasattr(properties, key) for key in ("pci_domain_id", "pci_bus_id", "pci_device_id")):
            wanted = f"{properties.pci_domain_id:04x}:{properties.pci_bus_id:02x}:{properties.pci_device_id:02x}.0"
            for handle in handles:
                if str(_call(library, "amdsmi_get_gpu_device_bdf", "a PCI address", handle)).lower() == wanted:
                    return handle
            raise MeterUnavailable(f"amdsmi shows no GPU at {wanted}; {_REMEDY_DRIVER}")
    for variable in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        visible = os.environ.get(variable)
        if visible is None:
            continue
        entries = [entry.strip() for entry in visible.split(",") if entry.strip()]
        if not all(entry.isdigit() and int(entry) < len(handles) for entry in entries):
            raise MeterUnavailable(f"{variable}={visible} names GPUs otherwise than by number; set it to numbers")
        handles = [handles[int(entry)] for entry in entries]
        break
    if index >= len(handles):
        raise MeterUnavailable(f"there is no GPU {index}, only {len(handles)}; choose a lower --device cuda:N")
    return handles[index]
