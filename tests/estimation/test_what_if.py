"""What-if tables: every case priced, ranked by energy per sample, cheapest under a bound, kinds apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import energybench
from energybench.app.what_if import with_batch, with_dtype
from energybench.errors import UsageError

# Any: a test looks into results without first proving that each part exists
eb: Any = energybench


@pytest.fixture(scope="module")
def models():
    with torch.device("meta"):
        small, large = nn.Linear(64, 64), nn.Linear(256, 256)
    return {
        "small": (small, (torch.empty(2, 64, device="meta"),), {}),
        "large": (large, (torch.empty(2, 256, device="meta"),), {}),
    }


def test_rows_are_estimates_of_their_own(models, profile) -> None:
    result = eb.what_if(models, [profile], batches=[1, 16])
    assert [(r.model, r.batch) for r in result.rows] == [("small", 1), ("small", 16), ("large", 1), ("large", 16)]
    with torch.device("meta"):
        alone = eb.estimate(nn.Linear(256, 256), profile, torch.empty(16, 256, device="meta"))
    assert result.rows[3].estimate.energy_j == alone.energy_j
    assert result.rows[3].energy_per_sample_j == alone.energy_j / 16
    low, high = result.rows[3].interval_per_sample_j()
    assert low == pytest.approx(alone.interval().low_j / 16, rel=1e-12)
    assert high == pytest.approx(alone.interval().high_j / 16, rel=1e-12)
    # one launch is shared by the batch, so a larger batch costs less per sample
    assert result.ranked()[0].model == "small"
    assert [r.rank for r in result.rows] == [3, 1, 4, 2]
    json.dumps(result.to_dict(), allow_nan=False)
    assert len(result.to_frame()) == 4


def test_the_cheapest_keeps_its_latency_bound(models, profile) -> None:
    result = eb.what_if(models, [profile], batches=[1, 16, 4096])
    free = result.cheapest()
    assert free["small"].batch == 4096
    bound = max(r.time_s for r in result.rows if r.batch == 16)
    assert {m: row.batch for m, row in result.cheapest(bound).items()} == {"small": 16, "large": 16}
    assert result.cheapest(1e-9) == {"small": None, "large": None}
    assert result.fastest("small").batch == 1
    assert result.to_dict(bound)["cheapest"] == {"small": 1, "large": 4}
    with pytest.raises(UsageError):
        result.cheapest(0.0)


def test_an_element_type_without_a_price_says_so(models, profile, profile_of) -> None:
    both = profile_of("both", mac_bf16_j=4e-12)
    result = eb.what_if(models, [profile, both], dtypes=["float32", "bfloat16"])
    refused = [r for r in result.rows if r.estimate is None]
    assert [(r.model, r.profile, r.dtype) for r in refused] == [
        ("small", "planted", "bfloat16"),
        ("large", "planted", "bfloat16"),
    ]
    assert all("no coefficient for bfloat16" in (r.refused or "") for r in refused)
    assert result.cheapest()["large"].dtype == "bfloat16"
    assert result.ranked()[-1].rank is None
    with pytest.raises(UsageError, match="float33"):
        eb.what_if(models, [profile], dtypes=["float33"])


def test_kinds_are_ranked_apart(models, profile, profile_of) -> None:
    result = eb.what_if(models, [profile, profile_of("real", kind="measured")])
    ranks = {(r.kind, r.model): r.rank for r in result.rows}
    assert ranks == {
        ("simulated", "small"): 1,
        ("simulated", "large"): 2,
        ("measured", "small"): 1,
        ("measured", "large"): 2,
    }
    assert {row.kind for row in result.cheapest().values()} == {"simulated"}
    # the first of another kind is no bargain: this model's kind is that of its first row
    both, real = profile_of("both", mac_bf16_j=4e-12), profile_of("real", kind="measured")
    mixed = eb.what_if({"large": models["large"]}, [both, real], dtypes=["float32", "bfloat16"])
    assert [(r.kind, r.dtype, r.rank) for r in mixed.rows] == [
        ("simulated", "float32", 2),
        ("measured", "float32", 1),
        ("simulated", "bfloat16", 1),
        ("measured", "bfloat16", None),
    ]
    assert (mixed.cheapest()["large"].kind, mixed.cheapest()["large"].dtype) == ("simulated", "bfloat16")


def test_order_within_the_intervals_is_marked(models, profile, profile_of) -> None:
    near = profile_of("near", static_power_w=40.1)
    result = eb.what_if({"large": models["large"]}, [profile, near, profile_of("far", byte_j=5e-10)])
    assert [(r.profile, r.close) for r in result.ranked()] == [("planted", False), ("near", True), ("far", False)]


def test_batches_go_into_every_input() -> None:
    ids = torch.arange(6).reshape(2, 3)
    args, kwargs = with_batch(None, (ids,), {"mask": torch.ones(2, 3), "scale": torch.ones(5)}, 4)
    assert args[0].tolist() == [[0, 1, 2]] * 4
    assert kwargs["mask"].shape == (4, 3)
    assert kwargs["scale"].shape == (5,)
    sequence, _ = with_batch(nn.GRU(4, 4), (torch.empty(9, 2, 4),), {}, 6)
    assert sequence[0].shape == (9, 6, 4)
    with pytest.raises(UsageError, match="no batch"):
        with_batch(None, (torch.tensor(1.0),), {}, 2)


def test_the_users_model_keeps_its_element_type() -> None:
    model = nn.Linear(3, 3)
    twin, args, _ = with_dtype(model, (torch.ones(1, 3), torch.ones(1, dtype=torch.long)), {}, "float16")
    assert model.weight.dtype == torch.float32
    assert twin.weight.dtype == torch.float16
    assert [a.dtype for a in args] == [torch.float16, torch.int64]
