"""The callbacks in real trainers: Hugging Face's and Lightning's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import energybench
from energybench.app import callbacks
from energybench.errors import UsageError

eb: Any = energybench
SAMPLES, BATCH, TOKENS = 16, 4, 6


@pytest.fixture(autouse=True)
def other_peoples_warnings() -> Iterator[None]:
    """The trainers' own advice is not under test."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_hugging_face_trainer(meter: Any, profile: Any, tmp_path: Path) -> None:
    import transformers

    config: Any = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**config, vocab_size=30))
    row = {"input_ids": torch.arange(TOKENS), "attention_mask": torch.ones(TOKENS, dtype=torch.long), "labels": 1}
    data: Any = [row] * SAMPLES
    callback = eb.callbacks.TransformersCallback(meter=meter, profile=profile, every_s=0.001, report=lambda _: None)
    logged: list[dict[str, Any]] = []

    class Keeps(transformers.TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            logged.append(dict(logs))

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=BATCH, num_train_epochs=1, logging_steps=1, use_cpu=True,
        gradient_accumulation_steps=2, report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback, Keeps()]).train()
    result = callback.monitor.result
    assert (result.calls, result.updates) == (SAMPLES // BATCH, SAMPLES // BATCH // 2)
    batch = {
        "input_ids": torch.zeros(BATCH, TOKENS, dtype=torch.long),
        "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.long),
        "labels": torch.zeros(BATCH, dtype=torch.long),
    }
    call = eb.estimate(model, profile, backward=True, time_s=1.0, **batch)
    static_w = profile.params["static_power_w"]
    assert callback.monitor.estimate.call_j == pytest.approx(call.energy_j - static_w, rel=1e-9)
    assert callback.monitor.estimate.update_j > 0
    assert result.estimated_energy_j > static_w * result.totals.time_s
    assert not model._forward_pre_hooks
    assert any(entry.get("energy_kind") == "simulated" and entry["energy_j"] > 0 for entry in logged)


def lightning_module(pl: Any) -> Any:
    class Module(pl.LightningModule):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(8, 16)
            self.head = nn.Linear(16, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            loss = nn.functional.mse_loss(self.head(torch.relu(self.encoder(x))), y)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)

    return Module()


def test_lightning_trainer(meter: Any, profile: Any, tmp_path: Path) -> None:
    pl: Any = pytest.importorskip("pytorch_lightning")
    module = lightning_module(pl)
    data = torch.utils.data.TensorDataset(torch.randn(SAMPLES, 8), torch.randn(SAMPLES, 1))
    loader: Any = torch.utils.data.DataLoader(data, batch_size=BATCH)
    callback = eb.callbacks.LightningCallback(meter=meter, profile=profile, every_s=60, report=lambda _: None)
    assert isinstance(callback, pl.Callback)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(tmp_path),
        accumulate_grad_batches=2,
    )  # fmt: skip
    trainer.fit(module, loader)
    result = callback.monitor.result
    assert (result.calls, result.updates) == (2 * SAMPLES // BATCH, SAMPLES // BATCH)

    def loss(x: torch.Tensor, y: torch.Tensor) -> Any:
        return nn.functional.mse_loss(module.head(torch.relu(module.encoder(x))), y)

    estimate = callback.monitor.estimate
    counts = eb.count(nn.Sequential(module.encoder, nn.ReLU(), module.head), torch.zeros(BATCH, 8), backward=True)
    assert estimate.call_j > profile.params["mac_fp32_j"] * counts.total.macs
    assert estimate.call_j < 1.5 * sum(
        profile.params[k] * v
        for k, v in {
            "mac_fp32_j": counts.total.macs,
            "other_flop_j": counts.total.other_flops,
            "byte_j": counts.total.bytes,
            "launch_j": counts.total.launches,
        }.items()
    )
    assert module.trainer is trainer  # what was set aside for the count is back
    assert "log" not in vars(module)


def test_without_a_library_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("lightning.pytorch", "lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(vars(callbacks), "LightningCallback", raising=False)
    with pytest.raises(UsageError, match="pip install lightning"):
        _ = callbacks.LightningCallback
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(vars(callbacks), "TransformersCallback", raising=False)
    with pytest.raises(UsageError, match="pip install transformers"):
        _ = callbacks.TransformersCallback
    with pytest.raises(AttributeError):
        _ = callbacks.NoSuchCallback
