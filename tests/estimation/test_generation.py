"""Prefill and decode of a language model: cache bytes by formula, decode against every step counted by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import energybench
from energybench.app.generation import _count
from energybench.counting.meta_twin import meta_twin
from energybench.errors import UsageError
from energybench.estimation.generation import simpson, step_contexts

LAYERS, KV_HEADS, HEAD, HEADS = 2, 2, 16, 4

# Any: a test looks into results without first proving that each part exists
eb: Any = energybench


@pytest.fixture(scope="module")
def llama():
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=HEADS * HEAD, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, vocab_size=50, max_position_embeddings=128,
    )  # fmt: skip
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


def test_decode_is_the_sum_of_its_steps(llama, profile) -> None:
    made = eb.estimate_generation(llama, profile, prompt_tokens=10, new_tokens=9, batch=3)
    twin = meta_twin(llama).eval()
    steps = [eb.estimate(_count(twin, 3, 1, context), profile).energy_j for context in range(10, 19)]
    assert made.decode_energy_j == pytest.approx(sum(steps), rel=1e-9)
    assert made.prefill_energy_j == eb.estimate(_count(twin, 3, 10, 0), profile).energy_j
    assert made.energy_j == made.prefill_energy_j + made.decode_energy_j
    assert made.decode_energy_per_token_j == made.decode_energy_j / 27
    assert made.prefill_energy_per_token_j == made.prefill_energy_j / 30


def test_cache_traffic_by_formula(llama, profile) -> None:
    made = eb.estimate_generation(llama, profile, prompt_tokens=10, new_tokens=9, batch=3)
    per_token = 2 * LAYERS * KV_HEADS * HEAD * 4  # keys and values of the shared heads, float32
    assert made.cache_bytes_per_token == per_token
    assert made.cache_bytes == 3 * 19 * per_token
    assert [s.cache_read_bytes for s in made.steps] == [3 * c * per_token for c in (10, 14, 18)]
    assert all(s.cache_write_bytes == 3 * per_token for s in made.steps)
    every = sum(3 * (context + 1) * per_token for context in range(10, 19))
    assert made.decode_cache_bytes == pytest.approx(every, rel=1e-12)
    assert made.steps[0].cache_energy_j == pytest.approx(profile.params["byte_j"] * made.steps[0].cache_bytes)
    shares = [s.cache_share for s in made.steps]
    assert 0 < shares[0] < shares[1] < shares[2] < 1


def test_longer_contexts_cost_more_and_batches_share_the_weights(llama, profile) -> None:
    def decode(context: int, batch: int) -> Any:
        made = eb.estimate_generation(llama, profile, prompt_tokens=context, new_tokens=4, batch=batch)
        return made.decode_energy_per_token_j

    assert decode(100, 1) > decode(10, 1)
    assert decode(10, 16) < decode(10, 1)


def test_json_and_notebook(llama, profile) -> None:
    made = eb.estimate_generation(llama, profile, prompt_tokens=4, new_tokens=2, name="<tiny>")
    data = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert data["decode"]["steps"][0]["context"] == 4
    assert data["kind"] == "simulated"
    assert "&lt;tiny&gt;" in made._repr_html_()


def test_what_is_no_language_model_is_refused(llama, profile) -> None:
    with pytest.raises(UsageError, match="no key–value cache"):
        eb.estimate_generation(nn.Linear(3, 3), profile)
    with pytest.raises(UsageError, match="128 positions"):
        eb.estimate_generation(llama, profile, prompt_tokens=120, new_tokens=9)
    for wrong in ({"prompt_tokens": 0}, {"new_tokens": 0}, {"batch": 0}):
        with pytest.raises(UsageError):
            eb.estimate_generation(llama, profile, **{"prompt_tokens": 4, "new_tokens": 2, **wrong})


def test_simpson_is_exact_to_third_order() -> None:
    assert simpson([x**3 for x in (0.0, 1.0, 2.0)]) == pytest.approx(2.0)
    assert step_contexts(10, 1) == (10, 10, 10)
