"""Energy meters: what is there (`discover_meters`), how to open one (`open_meter`), what two readings say (`Window`).

Importing this package loads no meter library, no torch and no pandas.
"""

from __future__ import annotations

from energybench.meters.base import EnergyMeter, MeterInfo
from energybench.meters.characterise import characterise, nominal_update_period_s, update_noise_rel
from energybench.meters.discovery import discover_meters, open_meter
from energybench.meters.ticks import wait_for_update
from energybench.meters.window import DomainEnergy, Window

__all__ = [
    "DomainEnergy",
    "EnergyMeter",
    "MeterInfo",
    "Window",
    "characterise",
    "discover_meters",
    "nominal_update_period_s",
    "open_meter",
    "update_noise_rel",
    "wait_for_update",
]
