"""Which module an operator belongs to, forward and backward.

Forward: a stack of module paths kept by global forward hooks, so that no module of the user's gets a hook. Backward:
every autograd node has a sequence number, handed out in the order in which the forward pass built the graph.
Remembering the number at which the current module changed is enough to find the module of any node.
"""

from __future__ import annotations

from bisect import bisect_right
from types import TracebackType
from typing import Any

import torch
from torch import nn


class ModuleScope:
    """Follows the calls of the modules in `names` (id → path); use as a context manager around forward and backward."""

    def __init__(self, model: nn.Module | None) -> None:
        modules = model.named_modules() if model is not None else ()
        self._names: dict[int, str] = {id(module): name for name, module in modules}
        self._stack: list[str] = []
        #: How often each module was called, a second forward pass of a checkpointed one included.
        self.calls: dict[str, int] = {}
        self._first_node: list[int] = [-1]
        self._module_from: list[str] = [""]
        self._handles: list[Any] = []
        self._node: object = None
        self._node_module = ""
        self._owners: dict[int, str] = {}
        if model is not None:
            for name, module in model.named_modules():
                for parameter in module.parameters(recurse=False):
                    self._owners.setdefault(id(parameter), name)

    def __enter__(self) -> ModuleScope:
        hooks = nn.modules.module
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter_module),
            hooks.register_module_forward_hook(self._leave_module, always_call=True),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._stack.clear()
        self._node = None

    def _mark(self) -> None:
        number = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        module = self._stack[-1] if self._stack else ""
        if self._first_node[-1] == number:
            self._module_from[-1] = module
        else:
            self._first_node.append(number)
            self._module_from.append(module)

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        outer = self._stack[-1] if self._stack else ""
        name = self._names.get(id(module))
        if name is not None:
            self.calls[name] = self.calls.get(name, 0) + 1
        self._stack.append(outer if name is None else name)
        self._mark()

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._stack:
            self._stack.pop()
        self._mark()

    def current(self, *, backward: bool) -> str:
        """Path of the module that runs, or whose autograd node runs; ``""`` is the model itself."""
        if self._stack or not backward:  # a recomputed forward inside a backward pass has its own stack
            return self._stack[-1] if self._stack else ""
        node: Any = torch._C._current_autograd_node()
        if node is None:
            return ""
        if node is not self._node:
            self._node = node
            self._node_module = self._module_of(node)
        return self._node_module

    def _module_of(self, node: Any) -> str:
        variable = getattr(node, "variable", None)
        if isinstance(variable, torch.Tensor):  # accumulation into a leaf: the module that owns it
            return self._owners.get(id(variable), "")
        return self._module_from[bisect_right(self._first_node, node._sequence_nr()) - 1]
