"""``energybench kernels``: the instrumented kernels, and the proof that their counts are right."""

from __future__ import annotations

from typing import Annotated

import typer

from energybench.cli.console import emit_json, say, table
from energybench.cli.options import JsonFlag


def kernels(
    verify: Annotated[bool, typer.Option("--verify", help="Count every kernel three ways and compare.")] = False,
    json_output: JsonFlag = False,
) -> int:
    """List the native kernels, or verify that what they count is what they do.

    Example: energybench kernels --verify
    """
    if verify:
        return _verify(json_output)
    from energybench.kernels import list_kernels

    specs = list_kernels()
    if json_output:
        emit_json({"kernels": [spec.to_dict() for spec in specs]})
        return 0
    columns = ("kernel", "operator", "direction", "variant", "dtype", "class", "devices", "here")
    rows = [
        (
            *(s.kernel_id, s.operator, s.direction, s.variant, s.dtype, s.kernel_class, ", ".join(s.devices)),
            "runs" if s.runnable else "not run",
        )
        for s in specs
    ]
    table("", columns, rows)
    return 0


def _verify(json_output: bool) -> int:
    from energybench.app.verify_counts import verify_counts

    checks = verify_counts()
    if json_output:
        emit_json({"checks": [check.to_dict() for check in checks]})
    else:
        columns = ("kernel", "shape", "MACs", "closed form", "model", "outputs")
        rows = [
            (c.kernel_id, c.shape, f"{c.macs:,}", _yes(c.closed_form), _yes(c.model), _yes(c.outputs)) for c in checks
        ]
        table("", columns, rows, right=("MACs",))
        say("counted by the counting build; equal to the closed form, to the model's count of the torch twin, and with")
        say("outputs bit-equal to the plain build's, which is the one that is measured")
        bad = sum(not c.passed for c in checks)
        say(f"{len(checks) - bad} of {len(checks)} agree" + ("" if not bad else "; do not measure with this build"))
    return 0 if all(check.passed for check in checks) else 1


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(kernels)
