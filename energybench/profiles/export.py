"""A profile in other people's formats: an SPDX 3 energy statement, and plain coefficient tables."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from energybench.errors import UsageError
from energybench.profiles.profile import DeviceProfile
from energybench.units import Joule

ExportFormat: TypeAlias = Literal["spdx", "csv", "latex"]
FORMATS: Final[tuple[ExportFormat, ...]] = ("spdx", "csv", "latex")

#: Joules in a kilowatt-hour, the unit of SPDX's EnergyUnitType that statements use: 1000 W × 3600 s.
_J_PER_KWH: Final = Decimal(3_600_000)
_SPDX_CONTEXT: Final = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_COLUMNS: Final = ("name", "value", "unit", "bse", "low", "high", "dof", "verdict")
_LATEX_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def export_profile(profile: DeviceProfile, form: str, *, inference_energy_j: Joule | None = None) -> str:
    """The profile as text.

    Args:
        profile: the device.
        form: `spdx` (JSON-LD of SPDX 3.0.1), `csv` (a row per coefficient) or `latex` (a booktabs table).
        inference_energy_j: energy of one inference, which `spdx` states and no profile has: an estimate made with it.

    Raises:
        UsageError: an unknown format, or no energy for a statement that is about one.
    """
    if form == "csv":
        return _csv(profile)
    if form == "latex":
        return _latex(profile)
    if form == "spdx":
        if inference_energy_j is None or not 0 < inference_energy_j < float("inf"):
            raise UsageError(
                "an SPDX statement is about the energy of one inference, which a profile alone does not hold; "
                "give --energy-j, as estimate or measure reports it"
            )
        return json.dumps(_spdx(profile, inference_energy_j), indent=2, ensure_ascii=False) + "\n"
    raise UsageError(f"format {form!r} is unknown; use {', '.join(FORMATS)}")


def _csv(profile: DeviceProfile) -> str:
    """A header and one row per coefficient; every row names the kind of energy, an absent statistic is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "kind", "target", "device", "meter", "equation", "level", "traffic_basis"))
    for name, c in profile.coefficients.items():
        cells = (name, c.value, c.unit, c.bse, c.low, c.high, c.dof, c.verdict)
        shared = (profile.kind, profile.target, profile.device, profile.meter, profile.equation_name)
        row = (*cells, *shared, profile.level, profile.traffic_basis)
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in row])
    return text.getvalue()


def _latex(profile: DeviceProfile) -> str:
    lines = [
        r"\begin{tabular}{lrrl}",
        r"\toprule",
        rf"coefficient & value & {profile.level * 100:g}\,\% interval & verdict \\",
        r"\midrule",
    ]
    for name, c in profile.coefficients.items():
        interval = (
            "--" if c.low is None or c.high is None else f"{_latex_number(c.low)} \\ldots {_latex_number(c.high)}"
        )
        unit = c.unit.translate(_LATEX_ESCAPES)
        lines.append(
            rf"\texttt{{{name.translate(_LATEX_ESCAPES)}}} & {_latex_number(c.value)} {unit} & {interval} & "
            rf"{c.verdict} \\"
        )
    lines += [
        r"\bottomrule",
        rf"\multicolumn{{4}}{{l}}{{\footnotesize {profile.kind} energy ({profile.target}); "
        rf"{profile.device.translate(_LATEX_ESCAPES)}, {profile.meter.translate(_LATEX_ESCAPES)}; "
        rf"{profile.equation_name.translate(_LATEX_ESCAPES)}}} \\",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_number(value: float) -> str:
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"${mantissa}$" if int(exponent) == 0 else rf"${mantissa}\times10^{{{int(exponent)}}}$"


def _spdx(profile: DeviceProfile, energy_j: Joule) -> dict[str, Any]:
    """An AI package with its inference energy; where the joules came from stands beside the number."""
    digest = hashlib.sha256(json.dumps(profile.to_dict(), sort_keys=True).encode()).hexdigest()
    base = f"urn:sha256:{digest}"
    origin = f"estimated with device profile {profile.name} ({profile.equation_name}), fitted to {profile.kind} energy"
    return {
        "@context": _SPDX_CONTEXT,
        "@graph": [
            {
                "type": "CreationInfo",
                "@id": "_:creation",
                "specVersion": "3.0.1",
                "created": profile.created_utc,
                "createdBy": [f"{base}#energybench"],
            },
            {
                "type": "SoftwareAgent",
                "spdxId": f"{base}#energybench",
                "creationInfo": "_:creation",
                "name": f"energybench {profile.energybench_version}",
            },
            {
                "type": "SpdxDocument",
                "spdxId": f"{base}#document",
                "creationInfo": "_:creation",
                "profileConformance": ["core"],
                "rootElement": [f"{base}#package"],
            },
            {
                "type": "ai_AIPackage",
                "spdxId": f"{base}#package",
                "creationInfo": "_:creation",
                "name": f"model estimated on {profile.device}",
                "comment": origin + ("" if profile.kind == "measured" else "; not measured joules"),
                "ai_energyConsumption": {
                    "type": "ai_EnergyConsumption",
                    "ai_inferenceEnergyConsumption": [
                        {
                            "type": "ai_EnergyConsumptionDescription",
                            # xsd:decimal has no exponent
                            "ai_energyQuantity": f"{Decimal(energy_j) / _J_PER_KWH:.20f}".rstrip("0").rstrip("."),
                            "ai_energyUnit": "kilowattHour",
                        }
                    ],
                },
            },
        ],
    }
