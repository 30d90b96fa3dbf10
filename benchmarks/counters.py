"""One counter on every case: `python -m benchmarks.counters NAME` prints a JSON object a case.

Each case has a process of its own, forked after the imports and before any work, so that what a counter leaves behind
(patched functions after an error) does not reach the next case.

Each counter is called as its own documentation shows, on real tensors in `eval()`, or on the meta device where the name
says so. What it prints is turned into MACs: `divide` for tools whose FLOPs are 2·MACs, and ptflops' average over the
batch is multiplied back.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from benchmarks.cases import Case, all_cases

Count = Callable[[nn.Module, tuple[Any, ...]], dict[str, Any]]


@dataclass(frozen=True)
class Counter:
    """A tool: `count` returns its figures by name; `forward` (and `backward`) are what it printed."""

    package: str
    count: Count
    printed: str
    divide: int = 1
    device: str = "cpu"


def _energybench(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from energybench.counting import count_model

    forward = count_model(model, *inputs, strict=True)
    found = {"forward": forward.total.nominal_macs, "executed": forward.total.macs, "coverage": forward.coverage}
    if _differentiable(model, inputs):
        try:
            found["backward"] = count_model(model, *inputs, backward=True, strict=True).backward.nominal_macs
            kept = count_model(model, *inputs, backward=True, strict=True, policy="math-attention")
            found["backward_math"] = kept.backward.nominal_macs
        except Exception as error:
            found["backward_error"] = _name(error)
    return found


def _differentiable(model: nn.Module, inputs: tuple[Any, ...]) -> bool:
    tensors = [t for t in inputs if isinstance(t, torch.Tensor)] + list(model.parameters())
    return any(t.requires_grad for t in tensors) and type(model).__name__ != "Inference"


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, list | tuple) else []


def _flop_counter(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as mode:
        model(*inputs)
    found: dict[str, Any] = {"forward": mode.get_total_flops()}
    if _differentiable(model, inputs):
        try:
            starts = [t for t in _tensors(model(*inputs)) if t.requires_grad]
            with FlopCounterMode(display=False) as mode:
                torch.autograd.backward(starts, [torch.ones_like(t) for t in starts])
            found["backward"] = mode.get_total_flops()
        except Exception as error:  # what the tool cannot do is a figure of the page
            found["backward_error"] = _name(error)
    return found


def _fvcore(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return {"forward": analysis.total()}


def _ptflops(backend: str) -> Count:
    def count(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
        from ptflops import get_model_complexity_info

        if len(inputs) == 1:
            given: Any = inputs[0]
        else:
            signature = inspect.signature(model.forward)
            names = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
            given = dict(zip(names, inputs, strict=True))
        macs, _ = get_model_complexity_info(
            model,
            (1,),
            input_constructor=lambda _: given,
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
        )
        if macs is None:
            raise RuntimeError("reports None")
        averaged = backend == "pytorch" and len(inputs) == 1  # over the first dimension of a positional input
        return {"forward": macs * (len(inputs[0]) if averaged else 1)}

    return count


def _thop(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from thop import profile

    return {"forward": profile(model, inputs=inputs, verbose=False)[0]}


def _torchinfo(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from torchinfo import summary

    return {"forward": summary(model, input_data=inputs, verbose=0).total_mult_adds}


def _calflops(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from calflops import calculate_flops

    flops, macs, _ = calculate_flops(model, args=list(inputs), print_results=False, output_as_string=False)
    return {"forward": macs, "flops": flops}


def _torchprofile(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    from torchprofile import profile_macs

    return {"forward": profile_macs(model, inputs)}


COUNTERS = {
    "energybench": Counter("energybench", _energybench, "MACs"),
    "FlopCounterMode, meta": Counter("torch", _flop_counter, "FLOPs, halved", 2, "meta"),
    "FlopCounterMode, cpu": Counter("torch", _flop_counter, "FLOPs, halved", 2),
    "fvcore": Counter("fvcore", _fvcore, "“flops” that are MACs"),
    "ptflops, pytorch": Counter("ptflops", _ptflops("pytorch"), "MACs averaged over the batch, multiplied back"),
    "ptflops, aten": Counter("ptflops", _ptflops("aten"), "MACs"),
    "thop": Counter("thop", _thop, "MACs"),
    "torchinfo": Counter("torchinfo", _torchinfo, "mult-adds"),
    "calflops": Counter("calflops", _calflops, "MACs"),
    "torchprofile": Counter("torchprofile", _torchprofile, "MACs"),
}


def _name(error: BaseException) -> str:
    return type(error).__name__


def run(counter: Counter, case: Case) -> dict[str, Any]:
    """The figures of one counter on one case, in MACs, or the name of its error."""
    torch.manual_seed(0)
    try:
        with torch.device(counter.device):
            model, inputs = case.build()
    except Exception:  # a quantised model cannot be made on the meta device
        return {"case": case.name, "error": "not on meta"}
    try:
        with redirect_stdout(sys.stderr):
            found = counter.count(model.eval(), inputs)
    except (Exception, SystemExit) as error:
        return {"case": case.name, "error": _name(error)}
    macs = {k: v / counter.divide if k in ("forward", "backward") else v for k, v in found.items()}
    return {"case": case.name, **macs}


def _import_models() -> None:
    """What the cases import, once for all processes."""
    import transformers

    importlib.import_module("torch.ao.quantization")

    names = ("GPT2LMHeadModel", "BertModel", "ViTModel", "WhisperForConditionalGeneration", "LlamaForCausalLM")
    for name in (*names, "T5ForConditionalGeneration"):
        getattr(transformers, name)


def main() -> None:
    """Prints the counter's version, then a line for each case."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    counter = COUNTERS[sys.argv[1]]
    try:
        found = version(counter.package)
    except PackageNotFoundError:
        found = None
    print(json.dumps({"version": found}), flush=True)
    _import_models()
    for case in all_cases():
        child = multiprocessing.get_context("fork").Process(
            target=lambda case: print(json.dumps(run(counter, case)), flush=True), args=(case,)
        )
        child.start()
        child.join()


if __name__ == "__main__":
    main()
