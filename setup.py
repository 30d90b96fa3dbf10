"""Build the native kernels: ``energybench._cpu`` always, ``energybench._cuda`` where nvcc is found.

Everything else about the package stands in pyproject.toml. Environment:

``ENERGYBENCH_CUDA``       ``auto`` (default: build where nvcc is found), ``on`` (an error without nvcc), ``off``
``ENERGYBENCH_CUDA_ARCH``  one architecture, such as ``90a``; default 80, 90a and PTX of 90 for newer ones
``ENERGYBENCH_CPU_FLAGS``  instead of ``-O3 -mavx2 -mfma``, for a processor without AVX2
``ENERGYBENCH_WERROR``     ``1``: a warning in our sources is an error
``ENERGYBENCH_SANITIZE``   such as ``address,undefined``: under these sanitizers, counting kernels of two rungs included
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pybind11 import get_include
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CSRC = Path("csrc")
INCLUDES = [str(CSRC)]

#: Every rounding is written down: contraction is off and `mac` is an explicit fma, so that the plain and the counting
#: instantiation agree bit for bit.
NUMERICS = ["-ffp-contract=off"]
NVCC_FLAGS = ["-O3", "-std=c++17", "--fmad=false"]
WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi"]  # vectors never cross a translation unit


def switched_on(name: str) -> bool:
    """Whether an environment flag is set to anything but 0."""
    return os.environ.get(name, "") not in ("", "0")


def cpu_flags() -> list[str]:
    """Flags of the kernels' own translation units; the bindings stay at the compiler's plain architecture."""
    if flags := os.environ.get("ENERGYBENCH_CPU_FLAGS"):
        return flags.split()
    return ["-O3", "-mavx2", "-mfma"] if platform.machine() == "x86_64" else ["-O3"]


def tuned_rungs() -> dict[str, tuple[int, list[str]]]:
    """Rung → bytes of its vectors and its flags: how often, and how, the files of csrc/cpu/tuned are compiled.

    The list in csrc/common/c_api.h (EB_TUNED_VARIANTS) has the same names. ``blocked`` is kept from vectors, which are
    the next rung's; ``avx512_emulated`` is the body of 16 lanes for processors that have 8.
    """
    base = cpu_flags()
    rungs = {"blocked": (0, [*base, "-fno-tree-vectorize", "-fno-tree-slp-vectorize"])}
    if platform.machine() == "x86_64":
        avx2 = ["-mavx2", "-mfma"]
        avx512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
        rungs["avx2"] = (32, [*base, *avx2])
        rungs["avx512"] = (64, [*base, *avx2, *avx512])
        # for tests: every vector is two registers, on which -O3 spends three times as long
        rungs["avx512_emulated"] = (64, [*base, *avx2, "-O1", "-Wno-maybe-uninitialized"])
    return rungs


def sanitizers() -> list[str]:
    """What ``ENERGYBENCH_SANITIZE`` asks for, nothing by default; of UBSan all but vptr, for no function is virtual.

    No warnings: beside these checks g++ takes what is set on every path for what may not be.
    """
    asked = os.environ.get("ENERGYBENCH_SANITIZE", "")
    if not asked:
        return []
    return [f"-fsanitize={asked}", "-fno-sanitize=vptr", "-fno-sanitize-recover=undefined", "-g1", "-w"]


#: Rungs whose counting kernels are under sanitizers too; those of the others are the same bodies once more.
SANITIZED_COUNTING = ("naive", "avx2")


def policies(rung: str) -> dict[str, list[str]]:
    """Suffix of a rung → flags after the rung's: every file of cpu/naive and cpu/tuned is compiled for each policy.

    Counting may be slow (a layer of 224×224 in seconds), so it is optimised no more than that asks for; with
    contraction off it agrees bit for bit. At -O1 g++ warns of numbers that are set lane by lane. Under sanitizers a
    unit is not optimised and its bodies stay apart: inlined by force they took g++ minutes a unit. What is not inlined
    there then is the unit's own (-fno-weak), for it has the unit's instruction set.
    """
    plain = ["-DEB_OPS=PlainOps"]
    counting = ["-DEB_OPS=UnitCountingOps", "-DEB_COUNTING_UNIT", "-O1", "-Wno-maybe-uninitialized"]
    if sanitizers():
        plain = ["-DEB_OPS=UnitPlainOps", "-DEB_SANITIZED_UNIT", "-O0", "-fno-weak", *sanitizers()]
        if rung in SANITIZED_COUNTING:
            counting += ["-O0", "-fno-weak", *sanitizers()]
    return {"": plain, "_counting": counting}


def find_nvcc() -> Path | None:
    """nvcc, or None where CUDA is switched off or absent. Exits when it was asked for and is absent."""
    mode = os.environ.get("ENERGYBENCH_CUDA", "auto")
    if mode not in ("auto", "on", "off"):
        raise SystemExit(f"ENERGYBENCH_CUDA={mode!r} is unknown; use auto, on or off")
    if mode == "off":
        return None
    home = os.environ.get("CUDA_HOME")
    nvcc = shutil.which("nvcc", path=f"{home}/bin" if home else None) or shutil.which(
        "nvcc", path="/usr/local/cuda/bin"
    )
    if nvcc is None and mode == "on":
        raise SystemExit("ENERGYBENCH_CUDA=on, but nvcc was not found; put it on PATH or set CUDA_HOME")
    return Path(nvcc) if nvcc else None


def toolkit_library_folder(nvcc: Path) -> Path:
    """Where libcudart_static.a lies, asked of nvcc itself, for nvcc may be a wrapper."""
    dry = subprocess.run([nvcc, "--dryrun", "-c", "x.cu"], cwd=ROOT, capture_output=True, text=True, check=False)
    for line in dry.stderr.splitlines():
        if line.startswith("#$ TOP="):
            top = Path(line.removeprefix("#$ TOP=").strip())
            for folder in (top / "lib64", top / "targets" / f"{platform.machine()}-linux" / "lib", top / "lib"):
                if (folder / "libcudart_static.a").exists():
                    return folder
    raise SystemExit("libcudart_static.a was not found beside nvcc; install the CUDA runtime's development files")


def cuda_architectures() -> list[str]:
    """``-gencode`` flags."""
    if arch := os.environ.get("ENERGYBENCH_CUDA_ARCH"):
        number = arch.removeprefix("sm_")
        return [f"-gencode=arch=compute_{number},code=sm_{number}"]
    return [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90a,code=sm_90a",
        "-gencode=arch=compute_90,code=compute_90",
    ]


def sources(*folders: str) -> list[str]:
    """Sorted, so that a build is reproducible."""
    return sorted(str(path) for f in folders for path in (CSRC / f).iterdir() if path.suffix in (".cpp", ".cu"))


class NativeBuild(build_ext):  # type: ignore[misc]  # setuptools has no types here
    """Compiles each translation unit with its own flags, and tuned rungs for each instruction set and policy."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link one module."""
        self._temporary = Path(self.build_temp)
        werror = switched_on("ENERGYBENCH_WERROR")
        host = ["-std=c++17", "-fPIC", "-fvisibility=hidden", *NUMERICS, *WARNINGS, *(["-Werror"] if werror else [])]
        nvcc = [*NVCC_FLAGS, *cuda_architectures(), "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra"]
        nvcc += ["-cudart=static", "--expt-relaxed-constexpr", *(["-Werror=all-warnings"] if werror else [])]
        kernel_flags = cpu_flags()
        commands: list[tuple[str, str, list[str]]] = []
        for source in ext.sources:
            if source.endswith(".cu"):
                commands.append((source, "", [str(find_nvcc()), *nvcc]))
            elif "/naive/" in source or "/tuned/" in source:
                rungs = tuned_rungs() if "/tuned/" in source else {"naive": (0, kernel_flags)}
                units = ((r, w, f, *p) for r, (w, f) in rungs.items() for p in policies(r).items())
                for rung, width, flags, suffix, policy in units:
                    unit = rung + suffix
                    define = [f"-DEB_ISA={unit}", f"-DEB_VECTOR_BYTES={width}", *policy]
                    command = [*self._cxx(), *flags, "-fopenmp", "-fno-exceptions", *host, *define]
                    commands.append((source, unit, command))
            elif "/bindings/" in source:
                define = [
                    f'-DEB_COMPILE_FLAGS="{" ".join(kernel_flags + NUMERICS + sanitizers())}"',
                    f'-DEB_RUNG_FLAGS="{";".join(f"{r}={w} {shlex.join(f)}" for r, (w, f) in tuned_rungs().items())}"',
                    f'-DEB_CUDA_FLAGS="{" ".join(NVCC_FLAGS)}"',
                    f'-DEB_CUDA_ARCHITECTURES="{" ".join(f.rpartition("code=")[2] for f in cuda_architectures())}"',
                ]
                pybind = [f"-isystem{get_include()}", *(f"-isystem{d}" for d in self.compiler.include_dirs)]
                commands.append(
                    (
                        source,
                        "",
                        [*self._cxx(), "-O1" if sanitizers() else "-O2", *host, *define, *pybind, *sanitizers()],
                    )
                )
            else:
                commands.append((source, "", [*self._cxx(), *kernel_flags, "-fopenmp", *host, *sanitizers()]))
        with ThreadPoolExecutor(max_workers=2) as pool:
            objects = list(pool.map(lambda command: self._compile(*command), commands))
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and moved into place: a process that has the old module mapped keeps a whole file.
        fresh = target.with_suffix(".new")
        link = [*self._cxx(), "-shared", *sanitizers(), *objects, *ext.extra_link_args, "-o", str(fresh)]
        (self._temporary / f"{ext.name}.link").write_text(shlex.join(link), encoding="utf-8")
        self._run(link)
        fresh.replace(target)

    def _cxx(self) -> list[str]:
        return os.environ.get("CXX", "g++").split()

    def _compile(self, source: str, rung: str, command: list[str]) -> str:
        output = self._temporary / f"{source.replace('/', '_')}{rung and '.' + rung}.o"
        output.parent.mkdir(parents=True, exist_ok=True)
        line = [*command, *(f"-I{d}" for d in INCLUDES), "-c", source, "-o", str(output)]
        if self._is_fresh(output, line):
            return str(output)
        self._run([*line, "-MMD", "-MF", str(output.with_suffix(".d"))])
        if rung:
            self._refuse_weak_symbols(output)
        output.with_suffix(".cmd").write_text(shlex.join(line), encoding="utf-8")
        return str(output)

    @staticmethod
    def _is_fresh(output: Path, line: list[str]) -> bool:
        """Whether this very command made `output` after the last change of everything it read."""
        done, needs = output.with_suffix(".cmd"), output.with_suffix(".d")
        if not (done.exists() and needs.exists() and done.read_text(encoding="utf-8") == shlex.join(line)):
            return False
        read = needs.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")[2].split()
        return all((ROOT / f).exists() and (ROOT / f).stat().st_mtime < output.stat().st_mtime for f in read)

    def _refuse_weak_symbols(self, compiled: Path) -> None:
        """Of several weak definitions the linker keeps one: code for one instruction set would run on another."""
        listing = subprocess.run(["nm", "-C", str(compiled)], capture_output=True, text=True, check=True).stdout
        weak = [line.split(maxsplit=2)[2] for line in listing.splitlines() if re.match(r"[0-9a-f]+ [WVu] ", line)]
        if weak:
            raise SystemExit(f"{compiled.name} defines weak symbols ({'; '.join(weak[:3])}); inline them by force")

    def _run(self, command: list[Any]) -> None:
        print(" ".join(map(str, command)), flush=True)
        subprocess.run(command, cwd=ROOT, check=True)


def extensions() -> list[Extension]:
    """The modules to build here."""
    headers = sorted(str(path) for path in CSRC.rglob("*.h"))
    modules = [
        Extension(
            "energybench._cpu",
            [*sources("cpu", "cpu/naive", "cpu/tuned", "bindings/cpu")],
            depends=headers,
            extra_link_args=["-fopenmp", "-Wl,--wrap=GOMP_parallel"],  # csrc/cpu/team_of_one.cpp
        )
    ]
    nvcc = find_nvcc()
    if nvcc is not None:
        link = [f"-L{toolkit_library_folder(nvcc)}", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
        cuda_sources = sources("cuda", "bindings/cuda")
        modules.append(Extension("energybench._cuda", cuda_sources, depends=headers, extra_link_args=link))
    return modules


setup(ext_modules=extensions(), cmdclass={"build_ext": NativeBuild})
