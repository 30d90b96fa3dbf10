"""``energybench estimate`` as it is typed: one model, a table, a language model, transformers' classes."""

from __future__ import annotations

from typing import Any

import pytest

from energybench.cli.estimate_view import short_names
from energybench.cli.many_values import spread_values


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("estimate a:b c:d --profile P1 P2", "estimate a:b c:d --profile P1 --profile P2"),
        ("estimate --profile P1 a:b", "estimate --profile P1 a:b"),
        ("estimate -p x/p.json p2 a:b m.pt2 p3", "estimate -p x/p.json -p p2 a:b m.pt2 p3"),
        ("estimate a:b --batch 1 8 32 --json", "estimate a:b --batch 1 --batch 8 --batch 32 --json"),
        ("estimate a:b --dtype float32 bfloat16 -p P", "estimate a:b --dtype float32 --dtype bfloat16 -p P"),
        ("estimate a:b --input 1x3 --batch 2 c:d", "estimate a:b --input 1x3 --batch 2 c:d"),
        ("count a:b --profile P1 P2", "count a:b --profile P1 P2"),
        ("", ""),
    ],
)
def test_lists_after_an_option(typed: str, parsed: str) -> None:
    assert spread_values(typed.split()) == parsed.split()


def test_names_are_short_where_they_can_be() -> None:
    assert short_names(["a.b:C", "d:E@1x3"]) == {"a.b:C": "C", "d:E@1x3": "E@1x3"}
    assert short_names(["a:C", "b:C"]) == {"a:C": "a:C", "b:C": "b:C"}


def test_one_training_step_in_full(cli: Any, simulated_run: Any, model_module: str) -> None:
    arguments = (
        "estimate", f"{model_module}:cnn@4x3x32x32", "-p", simulated_run / "profile.json", "--optimizer", "momentum",
        "--samples-per-epoch", 1000, "--sample-layers", "50%",
    )  # fmt: skip
    outcome = cli(*arguments)
    assert outcome.code == 0, outcome.err
    for words in ("SIMULATED", "per sample (4 a call)", "per epoch (1,000 samples)", "brain (20 W)", "optimizer",
                  "stratified", "coverage: 100.0 %"):  # fmt: skip
        assert words in outcome.out, words
    data = cli(*arguments, "--json").json
    assert data["per"]["epoch"] == pytest.approx(250 * data["energy_j"])
    assert data["brain_time_s"] == data["energy_j"] / 20
    assert set(data["by_direction"]) == {"forward", "backward", "optimizer"}
    assert [s["method"] for s in data["layer_samples"]] == ["simple", "weights", "stratified"]


def test_a_table_of_models_batches_and_types(cli: Any, simulated_run: Any, model_module: str) -> None:
    arguments = (
        "estimate", f"{model_module}:cnn@1x3x32x32", "energybench.workloads.networks:GruSequenceModel@8x1x64",
        "--profile", simulated_run / "profile.json", "--batch", 1, 8, "--dtype", "float32", "bfloat16",
        "--latency", "1ms",
    )  # fmt: skip
    outcome = cli(*arguments)
    assert outcome.code == 0, outcome.err
    assert "SIMULATED" in outcome.out
    assert "not estimated: profile planted has no coefficient for bfloat16" in outcome.out
    assert "cheapest within 1 ms a call: cnn@1x3x32x32 with batch 8" in outcome.out
    data = cli(*arguments, "--json").json
    assert len(data["rows"]) == 8
    assert data["latency_bound_s"] == 0.001
    ranked = sorted((r for r in data["rows"] if r["rank"]), key=lambda r: r["rank"])
    energies = [r["energy_per_sample_j"] for r in ranked]
    assert energies == sorted(energies)


def test_transformers_classes_are_targets(cli: Any, simulated_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    small: Any = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setattr(transformers.BertModel, "config_class", lambda: transformers.BertConfig(**small))
    monkeypatch.setattr(
        transformers.GPT2LMHeadModel, "config_class",
        lambda: transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=90, n_positions=64),
    )  # fmt: skip
    profile = simulated_run / "profile.json"
    data = cli("estimate", "transformers:BertModel", "-p", profile, "--json").json
    assert data["amounts"] == {"samples": 1, "tokens": 128, "samples_per_epoch": None}
    assert [c["component"] for c in data["components"]] == ["self_attention", "multi_head", "feed_forward"]
    shown = cli("estimate", "transformers:BertModel", "-p", profile).out
    assert "document claims" in shown
    assert "70.0 %" in shown
    generated = cli(
        "estimate", "transformers:GPT2LMHeadModel", "-p", profile, "--prompt-tokens", 8, 32, "--new-tokens", 4,
        "--batch", 1, 2,
    )  # fmt: skip
    assert generated.code == 0, generated.err
    assert "SIMULATED" in generated.out
    assert "transformers:GPT2LMHeadModel on planted: prefill and decode" in generated.out
    assert [line.split()[:4] for line in generated.out.splitlines() if " + 4 " in line] == [
        ["8", "+", "4", "1"], ["8", "+", "4", "2"], ["32", "+", "4", "1"], ["32", "+", "4", "2"],
    ]  # fmt: skip
    clash = cli("estimate", "transformers:GPT2LMHeadModel", "-p", profile, "--prompt-tokens", 8, "--optimizer", "adam")
    assert clash.code == 2


def test_what_makes_no_sense_together_is_refused(cli: Any, simulated_run: Any, model_module: str) -> None:
    target = f"{model_module}:cnn@1x3x32x32"
    profile = simulated_run / "profile.json"
    for more in (("--batch", 1, 2, "--time-s", 1), ("--latency", "soon"), ("--optimizer", "lion"), ("--batch", 0)):
        outcome = cli("estimate", target, "-p", profile, *more)
        assert outcome.code == 2, (more, outcome)
        assert len(outcome.err.strip().splitlines()) == 1
