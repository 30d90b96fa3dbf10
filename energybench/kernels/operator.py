"""`Operator`: all that the package knows about one native operator in one direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from energybench.kernels.call import run_checked
from energybench.kernels.closed_form import CountRequest
from energybench.kernels.ladder import Ladders
from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Direction, KernelClass

if TYPE_CHECKING:
    from energybench.kernels.call import Outcome


@dataclass(frozen=True, slots=True)
class Operator:
    """A kernel's names, its rungs, and its three functions, which take the same arrays and options.

    `operator`      such as ``conv2d``; its backward pass has the same
    `ladders`       device → variants, the plainest first (see `energybench.kernels.ladder`)
    `read_shape`    ``(*arrays, **options) -> (shape, dtype)``: checks the call, raises UsageError
    `closed_form`   ``(shape, CountRequest) -> OpCounts``
    `launch`        ``(begin, shape, *arrays, **options) -> Outcome``, called by `energybench.kernels.call`
    `runs`          the compiled function, where it is another operator's (a temporal convolution's is ``conv2d``)
    `repeatable`    whether all work of a launch on the CPU is native, memory being asked for, handed over and returned
                    untouched: then a later call of the same kind need not go through Python, and can be prepared
    """

    operator: str
    direction: Direction
    kernel_class: KernelClass
    ladders: Ladders
    read_shape: Callable[..., tuple[Any, str]]
    closed_form: Callable[[Any, CountRequest], OpCounts]
    launch: Callable[..., Outcome]
    runs: str | None = None
    repeatable: bool = True
    #: The function's name: ``conv2d``, ``conv2d_backward``, ``sgd_step``; made once, for every call asks for it.
    name: str = field(init=False)
    #: The plain kernel, the one that is measured: ``(*arrays, threads=None, **options)`` → its outputs. After its first
    #: call a compiled function, which makes calls like one before without Python (`energybench.kernels.repeat`).
    run: Callable[..., tuple[Any, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        end = {"forward": "", "backward": "_backward", "optimizer": "_step"}[self.direction]
        object.__setattr__(self, "name", self.operator + end)
        self.enter_by(partial(run_checked, self))

    def enter_by(self, run: Callable[..., tuple[Any, ...]]) -> None:
        """Make `run` what a call of the kernel is."""
        object.__setattr__(self, "run", run)

    @property
    def variants(self) -> tuple[str, ...]:
        """Every rung of every device, each once."""
        return tuple(dict.fromkeys(rung for rungs in self.ladders.values() for rung in rungs))
