"""Estimates on a terminal: one in full, a what-if table, a language model's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from energybench.cli.console import banner, percent, say, table
from energybench.units import format_si

if TYPE_CHECKING:
    from energybench.estimation import EnergyEstimate
    from energybench.estimation.generation import Generation
    from energybench.estimation.layer_sample import LayerSample, SamplingError
    from energybench.estimation.what_if import WhatIf, WhatIfRow
    from energybench.units import Joule, Second

#: Lines of a table by operator or module; the JSON has all.
LINES = 12


def show_estimate(target: str, result: EnergyEstimate) -> None:
    """Energy with its interval, what it is per sample and token, and every split."""
    from energybench.estimation import BRAIN_POWER_W
    from energybench.estimation.components import COMPONENT_NAMES
    from energybench.estimation.estimate import LEVEL

    banner(result.kind)
    interval = result.interval(LEVEL)
    spread = (
        "no interval: the profile cannot say how unseen workloads spread"
        if interval is None
        else f"{percent(LEVEL)} interval {format_si(interval.low_j, 'J')} … {format_si(interval.high_j, 'J')}"
    )
    say(f"{target} on {result.profile.name}")
    say(f"energy  {format_si(result.energy_j, 'J')} per call, {spread}; estimated from {result.kind} energy")
    if (whole := result.interval(LEVEL, absolute=True)) is not None:
        ends = f"{format_si(whole.low_j, 'J')} … {format_si(whole.high_j, 'J')}"
        say(f"        with the meter's scale, ±{percent(result.profile.meter_gain_rel)}: {ends}")
    if result.time_s is not None:
        times = result.time_interval(LEVEL)
        spread = (
            ""
            if times is None
            else f", {percent(LEVEL)} interval {format_si(times.low_s, 's')} … {format_si(times.high_s, 's')}"
        )
        say(f"time    {format_si(result.time_s, 's')} ({result.time_kind}){spread}")
    amounts = result.amounts
    numbers = {"sample": amounts.samples, "token": amounts.tokens, "epoch": amounts.samples_per_epoch}
    words = {"sample": "{n:,} a call", "token": "{n:,} a call", "epoch": "{n:,} samples"}
    per = [
        f"{format_si(energy_j, 'J')} per {name} ({words[name].format(n=numbers[name])})"
        for name, energy_j in result.per().items()
        if name != "batch"
    ]
    if per:
        say(f"per     {', '.join(per)}")
    say(f"brain   a person's brain ({BRAIN_POWER_W:g} W) runs {format_si(result.brain_time_s, 's')} on it")
    _split("term", result.by_term(), result.energy_j)
    directions = {str(name): e for name, e in result.by_direction().items()}
    if len(directions) > 1:
        _split("pass", directions, result.energy_j)
    if components := result.components():
        rows = [
            (COMPONENT_NAMES[c.component], format_si(c.energy_j, "J"), percent(c.energy_share), percent(c.flops_share),
             percent(c.claimed_share))
            for c in components
        ]  # fmt: skip
        columns = ("part of the Transformer", "energy", "of energy", "of FLOPs", "document claims")
        table("", columns, rows, right=columns[1:])
        say("The claimed shares [D17] add up to 210 %: they cannot all hold.")
    operators = result.by_operator()
    if len(operators) > 1:
        _split("operator", operators, result.energy_j)
    modules = result.by_module()
    if len(modules) > 1:
        _split("module, children included", {name or "(model)": e for name, e in modules.items()}, result.energy_j)
    for note in result.notes:
        say(f"note: {note}")
    say(f"coverage: {percent(result.coverage)} of the traffic counted by formula")


def _split(name: str, energies: Mapping[str, Joule], total: Joule) -> None:
    ordered = sorted(energies.items(), key=lambda item: -item[1])
    rows = [(part, format_si(e, "J"), percent(e / total if total else None)) for part, e in ordered[:LINES]]
    if len(ordered) > LINES:
        rest = sum(e for _, e in ordered[LINES:])
        nested = name.startswith("module")
        rows.append(
            (f"… {len(ordered) - LINES} more", *(("", "") if nested else (format_si(rest, "J"), percent(rest / total))))
        )
    table("", (name, "energy", "share"), rows, right=("energy", "share"))


def show_layer_samples(samples: Sequence[tuple[LayerSample, SamplingError]]) -> None:
    """What a sample of the layers says [D24], with the error that it states and the one that it has."""
    rows = [
        (
            one.method,
            f"{one.sampled} of {one.layers}",
            format_si(one.energy_j, "J"),
            "–" if one.stderr_j is None else format_si(one.stderr_j, "J"),
            percent(one.error_rel, signed=True),
            percent(many.rms_rel),
            percent(many.p95_rel),
        )
        for one, many in samples
    ]
    columns = ("sample [D24]", "layers", "estimate", "its std. error", "its error", "RMS error", "95 % within")
    table("", columns, rows, right=columns[1:])
    draws = samples[0][1].draws
    say(f"RMS error and 95 % within: over {draws} samples of this size, against the estimate from all layers.")


def show_what_if(result: WhatIf, bound_s: Second | None) -> None:
    """All cases ranked, then the cheapest of each model."""
    for kind in dict.fromkeys(row.kind for row in result.rows):
        banner(kind)
    names = short_names([row.model for row in result.rows])
    devices = {row.profile: row.device for row in result.rows}
    rows = [
        (
            "–" if row.rank is None else f"{row.rank}{'≈' if row.close else ''}",
            names[row.model],
            row.profile,
            "–" if row.batch is None else row.batch,
            row.dtype or "–",
            _energy(row.energy_per_sample_j),
            _spread(row),
            "–" if row.time_s is None else format_si(row.time_s, "s", digits=3),
            "" if row.estimate is None or not row.estimate.extrapolated else "extrapolated",
        )
        for row in result.ranked()
    ]
    right = ("rank", "batch", "per sample", "90 % interval", "time of a call")
    table("", ("rank", "model", "profile", "batch", "type", *right[2:], ""), rows, right=right)
    for profile, device in devices.items():
        kinds = {row.kind for row in result.rows if row.profile == profile}
        say(f"profile {profile}: {device}, {', '.join(sorted(kinds))} energy")
    for reason in dict.fromkeys(row.refused for row in result.rows if row.refused):
        say(f"not estimated: {reason}")
    if any(row.close for row in result.rows):
        say("≈: its interval reaches that of the model's best; the order of the two is not shown")
    if bound_s is not None or len(result.rows) > len(names):
        _say_cheapest(result, names, bound_s)
    if any(row.estimate is not None and row.estimate.time_kind == "predicted" for row in result.rows):
        say("note: times were predicted, not measured")


def short_names(targets: Sequence[str]) -> dict[str, str]:
    """Target -> what follows its module, where that tells the targets apart."""
    distinct = dict.fromkeys(targets)
    short = {target: target.partition(":")[2] or target for target in distinct}
    return short if len(set(short.values())) == len(short) else {target: target for target in distinct}


def _say_cheapest(result: WhatIf, names: Mapping[str, str], bound_s: Second | None) -> None:
    within = "" if bound_s is None else f" within {format_si(bound_s, 's')} a call"
    for model, row in result.cheapest(bound_s).items():
        if row is not None:
            say(
                f"cheapest{within}: {names[model]} with batch {row.batch}, {row.dtype}, on {row.device}: "
                f"{_energy(row.energy_per_sample_j)} per sample ({row.kind})"
            )
        elif (fastest := result.fastest(model)) is not None and fastest.time_s is not None:
            say(f"cheapest{within}: {names[model]} has none; its fastest call takes {format_si(fastest.time_s, 's')}")


def _energy(energy_j: Joule | None) -> str:
    return "–" if energy_j is None else format_si(energy_j, "J")


def _spread(row: WhatIfRow) -> str:
    interval, energy_j = row.interval_per_sample_j(), row.energy_per_sample_j
    if interval is None or not energy_j:
        return "–"
    low, high = (percent(e / energy_j - 1, signed=True) for e in interval)
    return f"± {high[1:]}" if low[1:] == high[1:] else f"{low} … {high}"


def show_generations(made: Sequence[tuple[str, Generation]]) -> None:
    """Language models, a table each: energy per token against context length and batch, prefill and decode apart."""
    for kind in dict.fromkeys(g.kind for _, g in made):
        banner(kind)
    columns = (
        "prompt + new",
        "batch",
        "energy",
        "per prompt token",
        "per new token",
        "time of one",
        "cache",
        "of traffic",
        "cache per token",
    )
    for model, profile in dict.fromkeys((g.model, name) for name, g in made):
        rows = [
            (
                f"{g.prompt_tokens:,} + {g.new_tokens:,}",
                g.batch,
                format_si(g.energy_j, "J"),
                format_si(g.prefill_energy_per_token_j, "J"),
                format_si(g.decode_energy_per_token_j, "J"),
                "–" if g.time_per_token_s is None else format_si(g.time_per_token_s, "s", digits=3),
                format_si(g.cache_bytes, "B", digits=3),
                percent(g.steps[1].cache_share),
                _energy(g.steps[1].cache_energy_j and g.steps[1].cache_energy_j / g.batch),
            )
            for name, g in made
            if (g.model, name) == (model, profile)
        ]
        table(f"{model} on {profile}: prefill and decode", columns, rows, right=columns)
    say("energy: of the whole batch; per new token: decode, of one sequence; cache: after the last token;")
    say("of traffic: of a decode step's bytes, the cache read and written once; cache per token: what they cost.")
    for note in dict.fromkeys(note for _, g in made for note in g.notes if not note.startswith("extrapolated")):
        say(f"note: {note}")
    if outside := [g for _, g in made if g.extrapolated]:
        say(f"note: {len(outside)} of {len(made)} rows are extrapolated: unlike any fitted work (--json says how)")
