"""Which memory every counted call touched, in order: what is needed to tell an operator's traffic from a policy's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from energybench.counting.opaque import sparse_parts
from energybench.records.vocabulary import Direction


class Place(NamedTuple):
    """Where a call ran."""

    module: str
    direction: Direction


class Event(NamedTuple):
    """One call.

    `call`               index of its description among the distinct calls
    `storages offsets`   of its input tensors, in order; of its slots for an operator taken whole
    `outputs`            storages of its output tensors, in order
    """

    call: int
    place: Place
    storages: list[int]
    offsets: list[int]
    outputs: list[int]


class Trace:
    """All events of one count, and the storages they made.

    Storages on the meta device are kept until the count ends, so that no two share an address; they hold no memory.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.storages: dict[int, torch.UntypedStorage] = {}

    def made(self, out: Any) -> list[int]:
        """Note that the model made these tensors; their storages."""
        if isinstance(out, torch.Tensor):
            if out.layout is not torch.strided:
                return [address for part in sparse_parts(out).parts for address in self.made(part)]
            storage = out.untyped_storage()
            address = storage._cdata
            if out.is_meta:
                self.storages[address] = storage
            return [address]
        if isinstance(out, list | tuple):
            return [address for item in out for address in self.made(item)]
        return []

    def bind(self, out: Any) -> list[int]:
        """Note that the last event made these tensors; their storages."""
        made = self.made(out)
        self.events[-1] = self.events[-1]._replace(outputs=made)
        return made


__all__ = ["Event", "Place", "Trace"]
