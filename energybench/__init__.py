"""Measure and predict the energy of neural networks.

Everything public is named here and loaded when first used, so that ``import energybench`` stays light: torch, pandas
and the compiled kernels are imported by the calls that need them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from energybench.version import __version__ as __version__

if TYPE_CHECKING:
    from energybench import kernels as kernels
    from energybench.app import callbacks as callbacks
    from energybench.app.estimate import estimate as estimate
    from energybench.app.generation import estimate_generation as estimate_generation
    from energybench.app.measure import measure as measure
    from energybench.app.what_if import what_if as what_if
    from energybench.counting import count_model as count
    from energybench.counting import register_formula as register_formula
    from energybench.errors import EnergybenchError as EnergybenchError
    from energybench.estimation import EnergyEstimate as EnergyEstimate
    from energybench.fitting import FitResult as FitResult
    from energybench.fitting import fit_records as fit
    from energybench.meters import discover_meters as discover_meters
    from energybench.profiles import DeviceProfile as DeviceProfile
    from energybench.records.frame import load_records as load_records
    from energybench.records.model_counts import ModelCounts as ModelCounts
    from energybench.records.op_counts import OpCounts as OpCounts
    from energybench.records.run_record import RunRecord as RunRecord

#: Public name → where it lives.
_PUBLIC: Final = {
    "DeviceProfile": "energybench.profiles:DeviceProfile",
    "EnergyEstimate": "energybench.estimation:EnergyEstimate",
    "EnergybenchError": "energybench.errors:EnergybenchError",
    "FitResult": "energybench.fitting:FitResult",
    "ModelCounts": "energybench.records.model_counts:ModelCounts",
    "OpCounts": "energybench.records.op_counts:OpCounts",
    "RunRecord": "energybench.records.run_record:RunRecord",
    "callbacks": "energybench.app.callbacks:",
    "count": "energybench.counting:count_model",
    "discover_meters": "energybench.meters:discover_meters",
    "estimate": "energybench.app.estimate:estimate",
    "estimate_generation": "energybench.app.generation:estimate_generation",
    "fit": "energybench.fitting:fit_records",
    "kernels": "energybench.kernels:",
    "load_records": "energybench.records.frame:load_records",
    "measure": "energybench.app.measure:measure",
    "register_formula": "energybench.counting:register_formula",
    "what_if": "energybench.app.what_if:what_if",
}

__all__ = [
    "DeviceProfile",
    "EnergyEstimate",
    "EnergybenchError",
    "FitResult",
    "ModelCounts",
    "OpCounts",
    "RunRecord",
    "__version__",
    "callbacks",
    "count",
    "discover_meters",
    "estimate",
    "estimate_generation",
    "fit",
    "kernels",
    "load_records",
    "measure",
    "register_formula",
    "what_if",
]


def __getattr__(name: str) -> Any:
    try:
        module_name, _, attribute = _PUBLIC[name].partition(":")
    except KeyError:
        raise AttributeError(f"module 'energybench' has no attribute {name!r}") from None
    module = importlib.import_module(module_name)
    value = getattr(module, attribute) if attribute else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
