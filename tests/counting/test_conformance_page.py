"""The cases of the conformance page against our count, and the page against the cases."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from energybench.counting import count_model

ROOT = Path(__file__).resolve().parents[2]


def _cases():
    spec = importlib.util.spec_from_file_location("conformance_cases", ROOT / "benchmarks" / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.all_cases()


CASES = _cases()


def built(case):
    with torch.device("meta"):
        model, inputs = case.build()
    return model.eval(), inputs


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_forward_is_exact(case):
    model, inputs = built(case)
    counts = count_model(model, *inputs, strict=True)
    assert counts.total.nominal_macs == case.forward
    assert counts.total.macs == (case.forward if case.executed is None else case.executed)
    assert counts.coverage == 1


@pytest.mark.parametrize("policy", ["eager", "math-attention"])
@pytest.mark.parametrize("case", [c for c in CASES if c.backward is not None], ids=lambda c: c.name)
def test_backward_is_exact(case, policy):
    model, inputs = built(case)
    counts = count_model(model, *inputs, backward=True, policy=policy, strict=True)
    kept = policy == "math-attention" and case.backward_math is not None
    assert counts.forward.nominal_macs == case.forward
    assert counts.backward.nominal_macs == (case.backward_math if kept else case.backward)


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _section(title):
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    body = re.split(r"^## ", text, flags=re.MULTILINE)
    return next(part for part in body if part.startswith(title))


def _rows(section):
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row for row in rows}


def test_page_lists_every_case_with_its_number():
    rows = _rows(_section("Forward"))
    assert {c.name: f"{c.forward:,}" for c in CASES} == {c.name: rows[c.name][1] for c in CASES if c.name in rows}
    backward = _rows(_section("Backward"))
    assert {c.name: backward[c.name][1] for c in CASES if c.backward is not None} == {
        c.name: f"{c.backward:,}" for c in CASES if c.backward is not None
    }


def test_page_shows_our_own_counts_as_they_are():
    forward = _rows(_section("Forward"))
    assert forward["case"][2] == "energybench"
    assert {c.name: forward[c.name][2] for c in CASES} == dict.fromkeys((c.name for c in CASES), "1")
    backward = _rows(_section("Backward"))
    for case in (c for c in CASES if c.backward is not None):
        assert backward[case.name][2:4] == ["1", "1"], case.name
