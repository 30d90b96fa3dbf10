"""``count``: the bracket around the traffic, calls, and shares of what has no formula."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

MODELS = """import torch
from torch import nn

class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return torch.relu(self.layer(self.layer(x)))

class Decomposed(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x) + 1

def twice():
    return Twice(), torch.empty(5, 8)

def decomposed():
    return Decomposed(), torch.empty(5, 8)
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "models_to_count.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "models_to_count"


def test_bracket_and_calls(cli: Cli, models: str) -> None:
    out = cli("count", f"{models}:twice", "--policy", "fused", "--json").json
    traffic = out["traffic_bytes"]
    assert list(traffic) == ["compulsory", "fused", "eager", "issued"]
    assert traffic["compulsory"] == 4 * (5 * 8 + 8 * 8 + 8 + 5 * 8)
    assert traffic["compulsory"] <= traffic["fused"] <= traffic["eager"] <= traffic["issued"]
    assert traffic["fused"] == out["total"]["bytes"]
    assert out["by_operator"]["aten.addmm"]["calls"] == out["module_calls"]["layer"] == 2
    text = cli("count", f"{models}:twice", "--by", "module").out
    assert "compulsory" in text
    assert "issued" in text
    (row,) = (line for line in text.splitlines() if line.strip().startswith("layer"))
    assert row.split()[:3] == ["layer", "2", "640"]


def test_share_without_a_formula(cli: Cli, models: str) -> None:
    out = cli("count", f"{models}:decomposed", "--json").json
    (share,) = out["uncovered"].values()
    assert share == pytest.approx(1 - out["coverage"], rel=1e-12)
    assert list(out["uncovered"]) == ["aten._linalg_svd"]
    assert "aten._linalg_svd" in cli("count", f"{models}:decomposed").out
    assert cli("count", f"{models}:decomposed", "--strict").code != 0
