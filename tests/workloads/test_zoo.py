"""Published networks have the published numbers of parameters and MACs, and the sealed list is what was sealed."""

from __future__ import annotations

import pytest
import torch

from energybench.errors import RecordError, UsageError
from energybench.records.sealed import refuse_sealed, sealed_networks
from energybench.workloads.zoo_rows import DEVELOPMENT, SEALED, _build, development_rows, published_network, sealed_rows
from scripts.seal_networks import sealed_list

#: As torchvision, timm and transformers document or print them. Whisper's encoder is 88,154,112 there, with 1500·768
#: fixed positions as parameters and without 12·768 biases of keys; T5 has 512 values of relative position bias more.
PARAMETERS = {
    "vgg16": 138_357_544,
    "mobilenet_v2": 3_504_872,
    "vit_b16": 86_567_656,
    "mixer_b16": 59_880_472,
    "gpt2_prefill": 124_439_808,
    "resnet50": 25_557_032,
    "convnext_tiny": 28_589_128,
    "inception_v3": 23_834_568,
    "densenet121": 7_978_856,
    "unet": 31_037_633,
    "bert_base": 109_482_240,
    "gpt2_decode": 124_439_808,
    "whisper_small_encoder": 88_154_112 - 1500 * 768 + 12 * 768,
    "t5_small": 60_506_624 - 512,
}
#: 10⁹ MACs an image, padding counted, as torchvision documents them.
GIGA_MACS = {"vgg16": 15.47, "mobilenet_v2": 0.30, "vit_b16": 17.56, "resnet50": 4.09, "convnext_tiny": 4.46,
             "inception_v3": 5.71, "densenet121": 2.83}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_are_the_published_ones(name):
    with torch.device("meta"):
        model = _build({**DEVELOPMENT, **SEALED}[name], 1, 224)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", sorted(GIGA_MACS))
def test_nominal_macs_are_the_published_ones(name):
    side = 299 if name == "inception_v3" else 224
    assert published_network(name, 1, side).counts().nominal_macs / 1e9 == pytest.approx(GIGA_MACS[name], rel=0.01)


def test_a_language_model_takes_tokens_and_a_decoder_its_cache():
    for row in (published_network("gpt2_decode", 2, 3), published_network("lstm_lm", 2, 3)):
        runnable = row.build("cpu", seed=1)
        runnable.run()
        assert runnable.is_finite()
        assert row.input_distribution == "uniform tokens"


def test_a_training_step_runs():
    runnable = published_network("mobilenet_v2", 2, 32, training=True).build("cpu", seed=1)
    runnable.run()
    assert runnable.is_finite()


def test_unknown_network():
    with pytest.raises(UsageError, match="resnet50"):
        published_network("resnet51", 1, 224)


def test_the_sealed_list_is_what_was_sealed():
    """Names, order and hashes: a network or a configuration that changes after the first measurement is found here."""
    listed = sealed_list()
    assert listed["workloads"] == sealed_networks()
    assert listed["sha256"] == "1ac6b58576c32e94134823ad3c618fd2f398a70aeb8b8409dcc09de122a941d4"
    assert len(SEALED) == 10
    for name in SEALED:
        assert sum(w.network == name for w in sealed_rows()) in (3, 4)
    assert len(DEVELOPMENT) == 6
    for name in DEVELOPMENT:
        assert sum(w.network == name for w in development_rows()) == 3
    assert not set(SEALED) & set(DEVELOPMENT)


def test_sealed_networks_are_refused_in_any_configuration():
    refuse_sealed(w.name for w in development_rows())
    refuse_sealed(["vendor/matmul/m1n1k1/fp32"], [None, "conv_net"])
    with pytest.raises(RecordError, match=r"sealed networks \(resnet50\)"):
        refuse_sealed(["network/resnet50/n7s64/forward/fp32"])
    with pytest.raises(RecordError, match=r"sealed networks \(t5_small\)"):
        refuse_sealed(["renamed"], ["t5_small"])
