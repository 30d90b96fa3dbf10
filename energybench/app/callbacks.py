"""Callbacks that show the running energy of a training: for Hugging Face's Trainer, for Lightning, for a loop.

    trainer = Trainer(..., callbacks=[eb.callbacks.TransformersCallback(profile="h100.json")])
    trainer = lightning.Trainer(..., callbacks=[eb.callbacks.LightningCallback(profile="h100.json")])
    with eb.callbacks.EnergyMonitor(...) as monitor: ...

Neither library is needed for the others: a class is made when it is first asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from energybench.app.energy_monitor import EnergyMonitor as EnergyMonitor
from energybench.app.energy_monitor import MonitorReport as MonitorReport
from energybench.errors import UsageError

if TYPE_CHECKING:
    TransformersCallback: Any
    LightningCallback: Any

__all__ = ["EnergyMonitor", "LightningCallback", "MonitorReport", "TransformersCallback"]


class _FirstCall:
    """Catches the arguments of a module's first forward call, then steps aside."""

    def __init__(self, model: Any) -> None:
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._handle = model.register_forward_pre_hook(self._hook, with_kwargs=True)

    def _hook(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.arguments is None:
            self.arguments = (args, dict(kwargs))
        self.remove()

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._handle.remove()


def _transformers_callback() -> type:
    from transformers import TrainerCallback

    class TransformersCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
        """Running energy of a Hugging Face `Trainer`, beside the estimate where a profile is given.

        Arguments as of `EnergyMonitor`. The first batch is caught as it goes by and counted once. The totals go into
        the trainer's logs, to callbacks that come after this one, and `monitor.result` has the last.
        """

        def __init__(self, **options: Any) -> None:
            self.monitor = EnergyMonitor(**options)
            self._first: _FirstCall | None = None
            self._model: Any = None
            self._optimizer: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._model, self._optimizer = kwargs.get("model"), kwargs.get("optimizer")
            if self.monitor.profile is not None and self.monitor.estimate is None and self._model is not None:
                self._first = _FirstCall(self._model)
            if self.monitor.total_updates is None and getattr(state, "max_steps", 0) > 0:
                self.monitor.total_updates = state.max_steps
            self.monitor.start()

        def _counted(self) -> None:
            if self._first is not None and self._first.arguments is not None:
                positional, named = self._first.arguments
                self._first = None
                self.monitor.expect(self._model, positional, named, optimizer=self._optimizer)

        def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.monitor.step(update=False)
            self._counted()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.monitor.step()
            self._counted()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            newest = self.monitor.newest
            if logs is not None and newest is not None:
                logs.update(newest.metrics())

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self._first is not None:
                self._first.remove()
            self.monitor.stop()

    return TransformersCallback


def _lightning_callback() -> type:
    base: Any = _lightning().Callback

    class LightningCallback(base):  # type: ignore[misc,unused-ignore]
        """Running energy of a Lightning `Trainer`, beside the estimate where a profile is given.

        Arguments as of `EnergyMonitor`. `training_step` of the first batch is counted once, on the meta device. The
        totals go to the trainer's loggers with each report, and `monitor.result` has the last.
        """

        def __init__(self, **options: Any) -> None:
            super().__init__()
            self.monitor = EnergyMonitor(**options)
            self._logged: MonitorReport | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            steps = getattr(trainer, "estimated_stepping_batches", 0)  # inf where nobody knows
            if self.monitor.total_updates is None and isinstance(steps, int) and steps > 0:
                self.monitor.total_updates = steps
            self.monitor.start()

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if self.monitor.profile is None or self.monitor.estimate is not None or self.monitor.calls:
                return
            optimizer = next(iter(getattr(trainer, "optimizers", ())), None)
            with _training_step(pl_module) as step:
                self.monitor.expect(step, (batch,), {}, optimizer=optimizer)

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *rest: Any
        ) -> None:
            every = int(getattr(trainer, "accumulate_grad_batches", 1) or 1)
            self.monitor.step(update=(batch_idx + 1) % every == 0)
            newest = self.monitor.newest
            if newest is not None and newest is not self._logged:
                self._logged = newest
                numbers = {k: v for k, v in newest.metrics().items() if isinstance(v, int | float)}
                for logger in getattr(trainer, "loggers", ()):
                    logger.log_metrics(numbers, step=getattr(trainer, "global_step", None))

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.monitor.stop()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self.monitor.stop()

    return LightningCallback


def _lightning() -> Any:
    """The Lightning that the program uses, else one that is installed. Raises UsageError."""
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in (*(n for n in names if n in sys.modules), *names):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise UsageError("Lightning is not installed; install it: pip install lightning")


@contextmanager
def _training_step(pl_module: Any) -> Iterator[Any]:
    """A module whose forward is `training_step`. Its trainer, which cannot be copied, is set aside meanwhile."""
    from torch import nn

    class TrainingStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = pl_module

        def forward(self, batch: Any) -> Any:
            result = self.module.training_step(batch, 0)
            return result["loss"] if isinstance(result, Mapping) else result

    trainer = getattr(pl_module, "_trainer", None)
    pl_module._trainer = None
    log, log_dict = pl_module.log, pl_module.log_dict
    try:
        # without a trainer there is nowhere to log to, and Lightning would warn of it
        pl_module.log = pl_module.log_dict = _nothing
        yield TrainingStep()
    finally:
        del pl_module.log, pl_module.log_dict
        assert (pl_module.log, pl_module.log_dict) == (log, log_dict)
        pl_module._trainer = trainer


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


_MADE: Final = {"TransformersCallback": _transformers_callback, "LightningCallback": _lightning_callback}


def __getattr__(name: str) -> Any:
    if name not in _MADE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = _MADE[name]()
    except ImportError as error:
        raise UsageError(
            f"eb.callbacks.{name} needs transformers; install it: pip install transformers accelerate"
        ) from error
    globals()[name] = value
    return value
