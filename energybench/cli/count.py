"""``energybench count``: MACs, FLOPs, operators and bytes of a model, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from energybench.cli.console import emit_json, percent, say, table
from energybench.cli.options import Inputs, JsonFlag, Target
from energybench.units import format_si

if TYPE_CHECKING:
    from energybench.records.op_counts import OpCounts

Grouping = Literal["operator", "module", "class", "component"]


def count(
    target: Target,
    inputs: Inputs = None,
    backward: Annotated[bool, typer.Option("--backward", help="Count the backward pass too.")] = False,
    by: Annotated[Grouping, typer.Option(help="What the table lists.")] = "operator",
    depth: Annotated[int | None, typer.Option(help="Depth of the module table.", min=0)] = None,
    policy: Annotated[str, typer.Option(help="Execution policy that the traffic assumes.")] = "eager",
    strict: Annotated[bool, typer.Option("--strict", help="Fail when any operator has no formula.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Count a model's work exactly; weights are not allocated and nothing runs.

    Example: energybench count torchvision.models:resnet50 --input 1x3x224x224
    """
    from energybench.counting import count_model, load_target

    model, args, kwargs = load_target(target, inputs=inputs or ())
    counts = count_model(model, *args, backward=backward, policy=policy, strict=strict, **kwargs)
    total = counts.total
    calls = counts.calls_by(lambda r: r.operator)
    if json_output:
        data: dict[str, Any] = {
            "target": target,
            "total": total.totals(),
            "forward": counts.forward.totals(),
            "backward": counts.backward.totals() if backward else None,
            "traffic_basis": counts.traffic_basis,
            "policy": counts.policy,
            "traffic_bytes": {
                "compulsory": counts.minimal_bytes,
                counts.policy: total.bytes,
                "eager": counts.eager_bytes,
                "issued": counts.issued_bytes,
            },
            "coverage": counts.coverage,
            "uncovered": counts.uncovered_shares,
            "parameters": counts.parameters,
            "parameter_bytes": counts.parameter_bytes,
            "operators": counts.calls,
            "by_operator": {name: {"calls": calls[name], **c.totals()} for name, c in counts.by_operator().items()},
            "module_calls": dict(counts.module_calls),
            "by_dtype": {dtype: c.to_dict() for dtype, c in total.by_dtype.items()},
        }
        emit_json(data)
        return
    groupings: dict[str, tuple[Mapping[Any, OpCounts], Mapping[Any, int]]] = {
        "operator": (counts.by_operator(), calls),
        "module": (counts.by_module(depth), counts.module_calls),
        "class": (counts.by_kernel_class(), counts.calls_by(lambda r: r.kernel_class)),
        "component": (counts.by_component(), counts.calls_by(lambda r: r.component)),
    }
    parts, times = groupings[by]
    rows = [
        (
            name or "(model)",
            f"{times.get(name, 0):,}",
            f"{c.macs:,}",
            f"{c.nominal_macs:,}",
            f"{c.other_flops:,}",
            format_si(c.load_bytes, "B"),
            format_si(c.store_bytes, "B"),
            f"{c.launches:,}",
        )
        for name, c in parts.items()
    ]
    columns = (by, "calls", "MACs", "nominal MACs", "other FLOPs", "loads", "stores", "launches")
    table("", columns, rows, right=columns[1:])
    say(f"total         {total.macs:,} MACs, {total.other_flops:,} other FLOPs, {total.flops:,} FLOPs (a MAC is two)")
    say(f"with padding  {total.nominal_macs:,} nominal MACs (what other tools print)")
    read, weights, written = (format_si(n, "B") for n in (total.load_bytes, total.weight_load_bytes, total.store_bytes))
    say(f"traffic       {read} read ({weights} of it weights), {written} written")
    say(f"              basis: {counts.traffic_basis}; execution policy: {counts.policy}")
    bracket = [("compulsory", counts.minimal_bytes), (counts.policy, total.bytes), ("issued", counts.issued_bytes)]
    if counts.policy != "eager":
        bracket.insert(2, ("eager", counts.eager_bytes))
    say("bracket       " + " ≤ ".join(f"{name} {format_si(n, 'B')}" for name, n in bracket if n is not None))
    say(f"parameters    {counts.parameters:,} ({format_si(counts.parameter_bytes, 'B')})")
    say(f"operators     {counts.calls:,} run")
    say(f"coverage      {percent(counts.coverage)} of the traffic" + _uncovered(counts.uncovered_shares))
    for note in counts.notes:
        say(f"note          {note}")


def _uncovered(shares: Mapping[str, float]) -> str:
    if not shares:
        return ""
    listed = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    return f"; without a formula: {listed} (energybench.register_formula adds one)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(count)
