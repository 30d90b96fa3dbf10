"""The public surface: what is named is there, works twice, and no submodule import can replace it."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import energybench as eb

#: Modules that exist only where they could be built or whose import is the thing under test elsewhere.
NATIVE = {"energybench._cpu", "energybench._cuda"}


def submodules() -> list[str]:
    found = pkgutil.walk_packages(eb.__path__, prefix="energybench.")
    return [m.name for m in found if m.name not in NATIVE and not m.name.endswith("__main__")]


def test_all_is_sorted_and_complete() -> None:
    assert set(eb.__all__) == {*eb._PUBLIC, "__version__"}
    assert len(set(eb.__all__)) == len(eb.__all__)
    assert dir(eb) == list(eb.__all__)


def test_no_public_function_is_named_like_a_subpackage() -> None:
    packages = {m.name for m in pkgutil.iter_modules(eb.__path__) if m.ispkg}
    callables = {name for name, where in eb._PUBLIC.items() if not where.endswith(":")}
    assert not packages & callables


def test_names_survive_importing_every_submodule() -> None:
    before = {name: getattr(eb, name) for name in eb.__all__}
    for name in submodules():
        importlib.import_module(name)
    assert {name: getattr(eb, name) for name in eb.__all__} == before


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(eb, "no_such_name")


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "pandas", "numpy", "scipy", "plotly", "pynvml")
    code = f"import sys, energybench; print(','.join(m for m in {heavy} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
