"""``energybench estimate``: the energy of models that were not run, from device profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from energybench.cli import estimate_view as view
from energybench.cli.console import emit_json
from energybench.cli.options import Inputs, JsonFlag, parse_duration, parse_fraction
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.app.what_if import Call
    from energybench.profiles import DeviceProfile


def estimate(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="package.module:factory, a model class of transformers (transformers:BertModel), or a .pt2 program; "
            "TARGET@1x3x224x224 gives one its own input.",
        ),
    ],
    profiles: Annotated[
        list[str], typer.Option("--profile", "-p", help="Path or name of a device profile; several for a table.")
    ],
    inputs: Inputs = None,
    backward: Annotated[bool, typer.Option("--backward", help="A training pass: forward and backward.")] = False,
    optimizer: Annotated[
        str | None, typer.Option(help="A training step with this optimiser: sgd, momentum or adam.")
    ] = None,
    samples_per_epoch: Annotated[
        int | None, typer.Option(help="Size of the data set, for the energy of an epoch.", min=1)
    ] = None,
    batches: Annotated[list[int] | None, typer.Option("--batch", help="Batch sizes: 1 8 32.", min=1)] = None,
    dtypes: Annotated[list[str] | None, typer.Option("--dtype", help="Element types: float32 bfloat16.")] = None,
    latency: Annotated[
        str | None, typer.Option(help="Find the cheapest batch size and element type within this time: 50ms.")
    ] = None,
    prompt_tokens: Annotated[
        list[int] | None, typer.Option(help="A language model: tokens of the prompt, 128 512 2048.", min=1)
    ] = None,
    new_tokens: Annotated[int, typer.Option(help="With --prompt-tokens: tokens that it writes.", min=1)] = 128,
    sample_layers: Annotated[
        str | None, typer.Option(help="Also estimate from a sample of the layers, with its error: 10%.")
    ] = None,
    time_s: Annotated[
        float | None, typer.Option("--time-s", help="Measured time of one call; predicted when left out.", min=0.0)
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Estimate the energy of a model, split every way, or rank models, devices, batch sizes and element types.

    Example: energybench estimate package.module:factory --profile h100.json --input 1x3x224x224

    A table: energybench estimate transformers:BertModel transformers:GPT2LMHeadModel -p h100.json --batch 1 8 32

    A language model: energybench estimate transformers:GPT2LMHeadModel -p h100.json --prompt-tokens 128 512 --batch 1 8
    """
    from energybench.profiles import DeviceProfile

    bound_s = None if latency is None else parse_duration(latency)
    share = None if sample_layers is None else parse_fraction(sample_layers)
    loaded = [DeviceProfile.load(profile) for profile in profiles]
    calls = _load(targets, inputs or [])
    if prompt_tokens:
        if backward or optimizer or time_s is not None or share is not None or dtypes or latency:
            raise UsageError("--prompt-tokens goes with --new-tokens and --batch only; leave the other options out")
        _generate(calls, loaded, prompt_tokens, new_tokens, batches or [1], json_output)
    elif len(calls) == len(loaded) == 1 and not dtypes and latency is None and len(batches or []) < 2:
        _one(*next(iter(calls.items())), loaded[0], batches, backward, optimizer, samples_per_epoch, time_s, share,
             json_output)  # fmt: skip
    else:
        if time_s is not None or share is not None:
            raise UsageError("--time-s and --sample-layers are for one model on one device; give one TARGET")
        from energybench.app.what_if import what_if

        table = what_if(
            calls,
            loaded,
            batches=batches or (),
            dtypes=dtypes or (),
            backward=backward,
            optimizer=optimizer,
            samples_per_epoch=samples_per_epoch,
        )
        if json_output:
            emit_json(table.to_dict(bound_s))
        else:
            view.show_what_if(table, bound_s)


def _load(targets: list[str], inputs: list[str]) -> dict[str, Call]:
    from energybench.counting import load_target

    return {target: load_target(target, inputs=inputs) for target in dict.fromkeys(targets)}


def _one(
    target: str,
    call: Call,
    profile: DeviceProfile,
    batches: list[int] | None,
    backward: bool,
    optimizer: str | None,
    samples_per_epoch: int | None,
    time_s: float | None,
    share: float | None,
    json_output: bool,
) -> None:
    from energybench.app.estimate import estimate as estimate_model
    from energybench.app.what_if import with_batch

    model, args, kwargs = call
    if batches:
        args, kwargs = with_batch(model, args, kwargs, batches[0])
    result = estimate_model(
        model,
        profile,
        *args,
        backward=backward,
        optimizer=optimizer,
        samples_per_epoch=samples_per_epoch,
        time_s=time_s,
        **kwargs,
    )
    samples: list[Any] = []
    if share is not None:
        from energybench.estimation.layer_sample import METHODS, sample_layers, sampling_error

        samples = [
            (sample_layers(result, share=share, method=m), sampling_error(result, share=share, method=m))
            for m in METHODS
        ]
    if json_output:
        sampled = {"layer_samples": [{**one.to_dict(), "errors": e.to_dict()} for one, e in samples]} if samples else {}
        emit_json({**result.to_dict(), "model": target, **sampled})
        return
    view.show_estimate(target, result)
    if samples:
        view.show_layer_samples(samples)


def _generate(
    calls: dict[str, Call],
    profiles: list[DeviceProfile],
    prompts: list[int],
    new_tokens: int,
    batches: list[int],
    json_output: bool,
) -> None:
    from energybench.app.generation import estimate_generation

    made = [
        (profile.name, estimate_generation(
            model, profile, prompt_tokens=prompt, new_tokens=new_tokens, batch=batch, name=target
        ))
        for target, (model, _, _) in calls.items()
        for profile in profiles
        for prompt in prompts
        for batch in batches
    ]  # fmt: skip
    if json_output:
        emit_json({"generations": [{"profile": name, **g.to_dict()} for name, g in made]})
    else:
        view.show_generations(made)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(estimate)
