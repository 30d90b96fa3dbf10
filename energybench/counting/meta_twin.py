"""A twin of the user's model on the meta device: same modules, same sharing, no weights; the original is kept."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from energybench.counting.mode import REAL_ELEMENTS_LIMIT, to_meta
from energybench.counting.opaque import packed_objects, sparse_twin, stand_in_dtype
from energybench.errors import CountingError, UsageError


def twin_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Floating tensors as shapes; small integer and boolean ones as copies, because models branch on their values."""
    if tensor.is_meta:
        twin = tensor.detach()
    elif tensor.layout != torch.strided:
        twin = sparse_twin(tensor)
    elif tensor.is_quantized:
        twin = torch.empty(tuple(tensor.shape), dtype=stand_in_dtype(tensor.dtype), device="meta")
    elif tensor.is_floating_point() or tensor.is_complex() or tensor.numel() > REAL_ELEMENTS_LIMIT:
        twin = to_meta(tensor.detach())
    else:
        twin = tensor.detach().cpu().clone()
    return twin.requires_grad_(tensor.requires_grad) if tensor.requires_grad else twin


class _CopyTensorsAsTwins(TorchFunctionMode):
    """Makes deepcopy of a plain tensor attribute yield its twin."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = twin_tensor(tensor)
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


def _holds_nothing_else(module: nn.Module) -> bool:
    return next(module.parameters(), None) is None and next(module.buffers(), None) is None and not module._modules


def meta_twin(model: nn.Module) -> nn.Module:
    """The twin. Raises UsageError on lazy parameters, CountingError where the model cannot be copied."""
    if any(isinstance(m, torch.jit.ScriptModule) for m in model.modules()):
        raise CountingError(
            "a TorchScript module cannot be taken to the meta device; count the module it was scripted from"
        )
    # packed weights are shared: nothing changes them, and a copy would be as large as they are
    memo: dict[int, Any] = {id(obj): obj for _, obj in packed_objects(model)}
    memo |= {id(module): module for module, _ in packed_objects(model) if _holds_nothing_else(module)}
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise UsageError(f"parameter {name!r} has no shape yet; call the model once before counting it")
        memo[id(parameter)] = nn.Parameter(twin_tensor(parameter), requires_grad=parameter.requires_grad)
    for _, buffer in model.named_buffers():
        # a single number may be looked at (a quantisation scale): it keeps its value
        single = buffer.layout == torch.strided and buffer.numel() == 1 and not buffer.is_meta
        memo[id(buffer)] = buffer.detach().cpu().clone() if single else twin_tensor(buffer)
    try:
        with _CopyTensorsAsTwins(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch warns about its own graph modules when copied
            return copy.deepcopy(model, memo)
    except (CountingError, UsageError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CountingError(
            f"the model cannot be copied ({reason}); remove what cannot be copied from its attributes"
        ) from error
