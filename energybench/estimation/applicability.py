"""Whether a profile may price these counts, and how far outside its domain they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from energybench.errors import ProfileMismatch
from energybench.model.features import FeatureTable
from energybench.model.physical import mac_term
from energybench.profiles.profile import DeviceProfile
from energybench.records.model_counts import ModelCounts
from energybench.records.vocabulary import KERNEL_CLASSES

#: A kernel class without fitted rows matters from this share of the model's bytes or MACs.
FOREIGN_SHARE: Final = 0.10


def refuse_basis(profile: DeviceProfile, traffic_basis: str) -> None:
    """Raise ProfileMismatch where bytes mean something else than in the profile."""
    if traffic_basis != profile.traffic_basis:
        raise ProfileMismatch(
            f"counts have {traffic_basis} traffic and profile {profile.name} was fitted to {profile.traffic_basis} "
            "traffic; count on the profile's basis or use another profile"
        )


def refuse_dtypes(profile: DeviceProfile, table: FeatureTable) -> None:
    """Raise ProfileMismatch where MACs of some element type (or kernel class) have no coefficient."""
    for dtype in table.dtypes:
        if profile.equation_name == "physical":
            priced = mac_term(dtype).name in profile.coefficients
            if not priced and (classes := _classes_priced(profile, dtype)):
                _refuse_classes(profile, table, dtype, classes)
                priced = True
        else:
            priced = dtype in profile.domain.dtypes
        if not priced:
            known = ", ".join(profile.domain.dtypes) or "none"
            raise ProfileMismatch(
                f"profile {profile.name} has no coefficient for {dtype} MACs (it knows {known}); "
                f"calibrate this device with {dtype} workloads or estimate the model in another element type"
            )


def _classes_priced(profile: DeviceProfile, dtype: str) -> list[str]:
    return [k for k in KERNEL_CLASSES if mac_term(dtype, k).name in profile.coefficients]


def _refuse_classes(profile: DeviceProfile, table: FeatureTable, dtype: str, priced: Sequence[str]) -> None:
    for kernel_class in KERNEL_CLASSES:
        if kernel_class not in priced and bool((table.macs_of_class(dtype, kernel_class) > 0).any()):
            raise ProfileMismatch(
                f"profile {profile.name} prices {dtype} MACs by kernel class and has none for {kernel_class}; "
                f"calibrate with {kernel_class} workloads or fit without kernel classes"
            )


def foreign_classes(profile: DeviceProfile, counts: ModelCounts) -> list[str]:
    """Kernel classes that carry much of the model's bytes or MACs and that no fitted row had."""
    total = counts.total
    result = []
    for name, part in counts.by_kernel_class().items():
        share = max(part.bytes / total.bytes if total.bytes else 0.0, part.macs / total.macs if total.macs else 0.0)
        if name not in profile.domain.kernel_classes and share >= FOREIGN_SHARE:
            result.append(f"{name} kernels carry {share:.0%} of the work and none was fitted")
    return result
