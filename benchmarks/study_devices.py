"""The virtual devices of studies and tests: one that is the physical equation, and sections that make it another.

All numbers are invented. `CASES` are the devices of ``make study-fit`` and of the comparison table.
"""

from __future__ import annotations

from typing import Final

_DEVICE: Final = """name = "study"
[planted]
mac_fp32_j = 1.1e-11
other_flop_j = 6.0e-12
byte_j = 9.0e-11
launch_j = 2.0e-5
static_power_w = 41.0
[time]
mac_rate = 2.0e12
byte_rate = 1.0e11
launch_s = 5.0e-6
[sensor]
update_period_s = 0.02
averaging_window_s = 0.02
resolution_j = 0.001
gain = {gain}
noise_rel = 0.005
drift_rel_per_min = 0.0
seed = {seed}
"""
#: What a device may have beyond the equation, one thing each.
SECTIONS: Final = {
    "hidden": "[hidden]\nvariant_sigma_energy = 0.15\nvariant_sigma_time = 0.1\n",
    "tile": "[tile]\nm = 128\nn = 128\nk = 32\nsm_count = 4\n",
    "cache": "[cache]\nl2_bytes = 4000000\nl2_byte_j = 1e-11\n",
    "sm": "[sm]\nactive_w = 30.0\n",
    "dvfs": "[dvfs]\npower_cap_w = 55.0\nv_of_f = [[0.3, 0.7], [1.0, 1.0]]\n",
    "thermal": "[thermal]\nleak_w = 15.0\ntau_s = 5.0\n",
    "values": "[values]\nzero_sensitivity = 0.5\n",
    "host": "[host]\ndispatch_s = 5e-5\n",
    "session": "[session]\noffset_rel = 0.1\n",
}
#: Devices that tell their clock, or whose clock falls under the power limit at one voltage.
TOLD: Final = {
    "clock": SECTIONS["dvfs"] + "clock_mhz = 2000.0\n",
    "cap": "[dvfs]\npower_cap_w = 55.0\nv_of_f = [[0.1, 1.0], [1.0, 1.0]]\n",
}
CASES: Final = {"none": "", **SECTIONS, **TOLD, "all": "".join(SECTIONS.values())}


def device_text(sections: str = "", *, seed: int, gain: float = 1.0) -> str:
    """A scenario file: the device with the given sections, its sensor's `gain`, and the seed of its noise."""
    return _DEVICE.format(gain=gain, seed=seed) + sections
