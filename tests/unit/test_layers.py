"""The layers hold, and the check that says so is shown red on planted violations."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    return subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "energybench", tmp_path / "energybench", ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.json")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_layers_hold(tree: Path) -> None:
    result = lint_imports(tree)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        pytest.param("fitting", "import energybench.meters", id="analysis imports a meter"),
        pytest.param("estimation", "import torch", id="analysis imports torch"),
        pytest.param("meters", "import energybench.model", id="acquisition imports analysis"),
        pytest.param("kernels", "import energybench.protocol", id="kernels import the protocol above them"),
        pytest.param("counting", "import energybench.meters", id="siblings import each other"),
        pytest.param("model", "import energybench.fitting", id="model imports the fit above it"),
        pytest.param("records", "import energybench.app", id="the waist imports the application"),
        pytest.param("app", "import energybench.cli", id="the application imports the command line"),
    ],
)
def test_planted_violation_is_found(tree: Path, package: str, statement: str) -> None:
    init = tree / "energybench" / package / "__init__.py"
    init.write_text(init.read_text(encoding="utf-8") + f"\n{statement}\n", encoding="utf-8")
    result = lint_imports(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def native_imports(package: Path) -> set[str]:
    """Files that import a compiled module, which the import linter cannot see."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value]
            if {"energybench._cpu", "energybench._cuda"} & set(names):
                found.add(path.relative_to(package).parts[0])
    return found


def test_only_the_kernels_import_the_compiled_modules(tree: Path) -> None:
    assert native_imports(tree / "energybench") == {"kernels"}
    (tree / "energybench/fitting/planted.py").write_text("from energybench import _cpu\n", encoding="utf-8")
    assert native_imports(tree / "energybench") == {"kernels", "fitting"}
