"""TARGET: what to count, named on the command line: ``package.module:factory`` or an exported ``.pt2`` program.

Inputs may follow the name: ``my_models:resnet@1x3x224x224``, so that several targets stand on one command line.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from energybench.counting.exported import load_exported_program
from energybench.counting.mode import REAL_ELEMENTS_LIMIT
from energybench.counting.transformers_class import is_transformers_class, with_default_configuration
from energybench.errors import EnergybenchError, UsageError

_SHAPE: Final = re.compile(r"[0-9]+(x[0-9]+)*")

#: Short names that people write, and what they mean.
_DTYPE_ALIASES: Final = {
    "fp64": "float64",
    "fp32": "float32",
    "float": "float32",
    "double": "float64",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "int": "int64",
    "long": "int64",
}

_EXAMPLE: Final = "write it as 1x3x224x224 or 1x128:int64"


def parse_input(text: str) -> torch.Tensor:
    """``1x3x224x224[:dtype]`` as a tensor: floating ones on the meta device, integer ones zeros with values.

    Raises UsageError on anything else.
    """
    shape_text, colon, dtype_text = text.partition(":")
    if not _SHAPE.fullmatch(shape_text) or (colon and not dtype_text):
        raise UsageError(f"input {text!r} is not a shape of non-negative sizes; {_EXAMPLE}")
    dtype_text = dtype_text or "float32"
    dtype = getattr(torch, _DTYPE_ALIASES.get(dtype_text, dtype_text), None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f"input {text!r} has an unknown element type {dtype_text!r}; use float32, bfloat16, int64 …")
    sizes = [int(n) for n in shape_text.split("x")]
    elements = 1
    for n in sizes:
        elements *= n
    if elements >= 2**62:
        raise UsageError(f"input {text!r} has more elements than a tensor can hold; {_EXAMPLE}")
    real = not (dtype.is_floating_point or dtype.is_complex) and elements <= 1 << 23
    return torch.zeros(sizes, dtype=dtype, device="cpu" if real else "meta")


def load_target(
    target: str, inputs: Sequence[str | torch.Tensor] = (), *, device: str = "meta"
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """The model and example inputs that a TARGET names: (module, args, kwargs).

    A factory is called without arguments, its floating tensors on the meta device, so that no weights are allocated;
    again on the CPU where it needs values. It returns a module, or a module with a tuple or dict of inputs. A model
    class of Hugging Face transformers is taken with its default configuration and inputs that fit. `inputs` win over
    what the target brings, and ``TARGET@1x3x224x224`` wins over both. The current directory is importable. `device`
    other than ``meta`` makes a model that can run there, with the weights that its factory gives it.

    Raises UsageError: nothing there, not a model, no inputs, a shape that cannot be.
    """
    target, at, own = target.partition("@")
    if at:
        inputs = own.split("@")
    given = tuple(parse_input(i) if isinstance(i, str) else i for i in inputs)
    if target.endswith(".pt2"):
        model, args, kwargs = load_exported_program(Path(target))
    else:
        model, args, kwargs = _from_factory(target, device)
    if given:
        args, kwargs = given, {}
    if not args and not kwargs:
        raise UsageError(f"target {target!r} brings no example inputs; add --input 1x3x224x224[:dtype]")
    return model, args, kwargs


def _from_factory(target: str, device: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise UsageError(f"target {target!r} is neither package.module:factory nor a .pt2 file; name one of these")
    factory: Any = _import(target, module_name)
    for part in path.split("."):
        try:
            factory = getattr(factory, part)
        except AttributeError:
            raise UsageError(
                f"target {target!r}: {module_name!r} has no {path!r}; check the name after the colon"
            ) from None
    made = factory
    if isinstance(factory, type) or not isinstance(factory, nn.Module):
        if not callable(factory):
            raise UsageError(f"target {target!r} is no callable; name a function that returns a torch.nn.Module")
        made = _call(target, factory, device)
    return _split(target, made)


def _import(target: str, module_name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise UsageError(
                f"target {target!r}: no module {missing!r} here; run from its directory or install its package"
            ) from error
        raise UsageError(f"target {target!r} needs the module {missing!r}; install it") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"target {target!r}: {module_name!r} is no module name; write package.module:factory"
        ) from error
    except Exception as error:
        raise UsageError(
            f"target {target!r}: importing {module_name!r} failed ({_line(error)}); mend the module"
        ) from error


class _FloatsOnMeta(TorchFunctionMode):
    """Floating tensors are made as shapes; small integer and boolean ones have values, because models look at them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _device_constructors() or kwargs.get("device") is not None:
            return func(*args, **kwargs)
        made = func(*args, **{**kwargs, "device": "meta"})
        whole = not (made.dtype.is_floating_point or made.dtype.is_complex) and made.numel() <= REAL_ELEMENTS_LIMIT
        single = func is torch.tensor and made.numel() == 1
        return func(*args, **kwargs) if whole or single else made


def _call(target: str, factory: Any, device: str) -> Any:
    """The factory's result, made on `device`; a factory that cannot run on shapes alone runs on the CPU."""
    places: list[AbstractContextManager[Any]] = [torch.device(device)]
    if device == "meta":  # what has values may meet what has none, so everything goes to meta in the second attempt
        places = [_FloatsOnMeta(), torch.device("meta"), nullcontext()]
    for place in places:
        try:
            with place:
                return with_default_configuration(factory) if is_transformers_class(factory) else factory()
        except EnergybenchError:
            raise
        except (NotImplementedError, RuntimeError) as error:
            failure: Exception = error
        except Exception as error:
            raise _factory_failed(target, error) from error
    raise _factory_failed(target, failure) from failure


def _factory_failed(target: str, error: Exception) -> UsageError:
    return UsageError(
        f"target {target!r}: the factory failed ({_line(error)}); it is called without arguments, returns a module"
    )


def _split(target: str, made: Any) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    model, inputs = (made[0], made[1:]) if isinstance(made, tuple) and made else (made, ())
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"target {target!r} returned {type(model).__name__}; return a torch.nn.Module, or (module, example inputs)"
        )
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for value in inputs:
        if isinstance(value, Mapping):
            kwargs.update(value)
        elif isinstance(value, tuple | list):
            args += tuple(value)
        else:
            args += (value,)
    return model, args, kwargs


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
