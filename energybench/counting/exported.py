"""Exported ``.pt2`` programs, opened without loading a pickle.

torch's loader unpickles weights marked so, custom objects, and always the sample inputs, where it falls back to full
unpickling if the safe way fails. So the archive is inspected first, refused where it carries pickled objects, and a
clean copy of what was inspected, with sample inputs of our own making, is what torch gets to see.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from energybench.errors import UsageError

_MODEL: Final = "models/model.json"
_SAMPLES: Final = "data/sample_inputs/model.pt"

#: Entries that zip and torch write about the archive itself; the copy gets its own.
_BOOKKEEPING: Final = (
    "archive_format",
    "archive_version",
    "byteorder",
    ".data/",
    ".format_version",
    ".storage_alignment",
    "version",
)
_PLAIN: Final = ("data/weights/weight_", "data/constants/tensor_", "models/", "extra/")


def load_exported_program(path: Path) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """(module, args, kwargs) of an exported program, inputs rebuilt from the shapes in its graph.

    Raises UsageError on a file that is absent, no ``.pt2`` archive, or carries pickled objects.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}; write one with torch.export.save(program, {path.name!r})")
    entries = _inspected(path)
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "clean.pt2"
        _write_clean(path, entries, clean)
        try:
            program = torch.export.load(clean)
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UsageError(
                f"{path} cannot be loaded by torch {torch.__version__} ({lines[0]}); export it with this version"
            ) from error
    args, kwargs = _example_inputs(program)
    module: nn.Module = program.module(check_guards=False) if _takes_guards(program) else program.module()
    return module, args, kwargs


def _takes_guards(program: Any) -> bool:
    return "check_guards" in program.module.__code__.co_varnames


def _inspected(path: Path) -> dict[str, str]:
    """Entry name below the archive's root → full name. Raises UsageError where an entry is, or may be, a pickle."""
    refusal = "pickles are never loaded; export the program again with plain tensors as weights and constants"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            entries = {name.partition("/")[2]: name for name in names}
            if len(entries) != len(names):
                raise UsageError(f"{path} names an entry twice; export the program again")
            if _MODEL not in entries:
                if any(name.endswith((".pt", ".pkl")) for name in names):
                    raise UsageError(f"{path} carries pickled objects ({names[0]} …): {refusal}")
                raise UsageError(
                    f"{path} is no exported program ({_MODEL} is missing); write it with torch.export.save"
                )
            for name in entries:
                config = name.endswith(".json")
                if (
                    name == _SAMPLES
                    or name.startswith(_BOOKKEEPING)
                    or (config and name.startswith(("data/", "models/")))
                ):
                    continue
                if not name.startswith(_PLAIN):
                    raise UsageError(f"{path} carries {name}, which may hold pickled objects: {refusal}")
            for name in entries:
                if name.endswith("_config.json"):
                    payload = json.loads(archive.read(entries[name]))
                    pickled = [k for k, v in payload.get("config", {}).items() if v.get("use_pickle", True)]
                    if pickled:
                        raise UsageError(f"{path} carries pickled objects ({', '.join(pickled[:3])}): {refusal}")
            return entries
    except (zipfile.BadZipFile, OSError, ValueError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is no .pt2 archive ({error}); write it with torch.export.save") from error


def _write_clean(path: Path, entries: dict[str, str], clean: Path) -> None:
    from torch.export.pt2_archive._package import PT2ArchiveWriter

    samples = io.BytesIO()
    torch.save(((), {}), samples)
    with zipfile.ZipFile(path) as archive, PT2ArchiveWriter(str(clean)) as writer:
        for name, full_name in entries.items():
            if name.startswith(_BOOKKEEPING):
                continue
            writer.write_bytes(name, samples.getvalue() if name == _SAMPLES else archive.read(full_name))


def _example_inputs(program: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs of the traced shapes; a dynamic size takes the value it was traced with."""
    from torch.export.graph_signature import ConstantArgument, InputKind
    from torch.utils import _pytree

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    leaves: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            continue
        if isinstance(spec.arg, ConstantArgument):
            leaves.append(spec.arg.value)
            continue
        value = nodes[spec.arg.name].meta["val"]
        if isinstance(value, torch.Tensor):
            sizes = [_traced(n) for n in value.shape]
            floating = value.dtype.is_floating_point or value.dtype.is_complex
            leaves.append(torch.zeros(sizes, dtype=value.dtype, device="meta" if floating else "cpu"))
        else:
            leaves.append(_traced(value))
    args, kwargs = _pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    return tuple(args), dict(kwargs)


def _traced(number: Any) -> Any:
    """A plain number, or the value that a symbolic one was traced with."""
    node = getattr(number, "node", None)
    return number if node is None else node.hint
