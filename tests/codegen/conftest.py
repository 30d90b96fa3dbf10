"""Compilers, and what they made: sections of object files and histograms of instructions."""

import functools
import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
POLICIES = ("eb::PlainOps", "RawOps")


@pytest.fixture(scope="session")
def gxx() -> list[str]:
    """g++ with the project's include path; it built the package, so its absence is an error and no skip."""
    compiler = shutil.which("g++")
    assert compiler, "g++ is needed: it compiles energybench._cpu"
    return [compiler, "-std=c++17", f"-I{CSRC}", f"-I{HERE}"]


@pytest.fixture(scope="session")
def nvcc() -> list[str]:
    """nvcc with the project's include path; skips where energybench._cuda was not built."""
    compiler = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if compiler is None:
        pytest.skip("energybench._cuda was not built: no nvcc")
    return [compiler, "-std=c++17", f"-I{CSRC}", f"-I{HERE}"]


def elf_sections(path: Path) -> dict[str, bytes]:
    """Sections of a 64-bit little-endian ELF file by name (System V ABI); cubins are such files."""
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, offset + i * size) for i in range(count)]
    names = headers[names_index][4]
    sections = {}
    for name, kind, _, _, at, length in headers:
        end = data.index(b"\0", names + name)
        sections[data[names + name : end].decode()] = b"" if kind == 8 else data[at : at + length]
    return sections


@pytest.fixture(scope="session")
def cubin_text(nvcc, tmp_path_factory) -> Callable[[str, int], dict[str, bytes]]:
    """Machine code of each twin kernel for sm_90a, at the shipped flags: ``(policy, extra) -> {kernel: bytes}``."""
    folder = tmp_path_factory.mktemp("cubins")
    source = folder / "twins.cu"
    shutil.copy(HERE / "twins.cpp", source)

    def compile_twins(policy: str, extra: int) -> dict[str, bytes]:
        out = folder / f"{policy.replace(':', '')}{extra}.cubin"
        flags = ["-O3", "--fmad=false", "-arch=sm_90a", "-cubin", f"-DEB_OPS={policy}", f"-DEB_EXTRA={extra}"]
        subprocess.run([*nvcc, *flags, "-o", out, source], check=True, capture_output=True, text=True)
        sections = elf_sections(out)
        return {name.removeprefix(".text."): code for name, code in sections.items() if name.startswith(".text.")}

    return compile_twins


def disassemble(compiled: Path) -> dict[str, list[str]]:
    """Instructions of each function."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", compiled], check=True, capture_output=True, text=True
    ).stdout
    functions: dict[str, list[str]] = {}
    body: list[str] = []
    for line in listing.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.+)>:", line):
            body = functions.setdefault(header[1], [])
        elif instruction := re.match(r" +[0-9a-f]+:\t(.*)", line):
            body.append(instruction[1].strip())
    return functions


@pytest.fixture(scope="session")
def instructions(gxx, tmp_path_factory) -> Callable[[str, int], dict[str, list[str]]]:
    """Disassembly of each twin kernel at the shipped CPU flags: ``(policy, extra) -> {kernel: lines}``."""
    from energybench.kernels import native

    folder = tmp_path_factory.mktemp("objects")

    def compile_twins(policy: str, extra: int) -> dict[str, list[str]]:
        out = folder / f"{policy.replace(':', '')}{extra}.o"
        flags = [*native.cpu().compile_flags.split(), f"-DEB_OPS={policy}", f"-DEB_EXTRA={extra}"]
        subprocess.run([*gxx, *flags, "-c", HERE / "twins.cpp", "-o", out], check=True, capture_output=True, text=True)
        return disassemble(out)

    return compile_twins


@pytest.fixture(scope="session")
def tuned_instructions(gxx, tmp_path_factory) -> Callable[[str, str, int], dict[str, list[str]]]:
    """The same of the tuned rungs' bodies, at the flags of a rung: ``(rung, policy, extra) -> {kernel: lines}``.

    Any processor will do: nothing runs.
    """
    from energybench.kernels import native

    folder = tmp_path_factory.mktemp("tuned")
    rungs = dict(entry.split("=", 1) for entry in native.cpu().rung_flags.split(";"))

    @functools.cache
    def compile_twins(rung: str, policy: str, extra: int) -> dict[str, list[str]]:
        width, *flags = rungs[rung].split()
        out = folder / f"{rung}{policy.replace(':', '')}{extra}.o"
        flags += ["-ffp-contract=off", "-Wno-psabi", f"-DEB_VECTOR_BYTES={width}", f"-DEB_OPS={policy}"]
        command = [*gxx, *flags, f"-DEB_EXTRA={extra}", "-c", HERE / "twins_tuned.cpp", "-o", out]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return disassemble(out)

    return compile_twins


#: A register xored with itself: how a zero is made, for an accumulator or to break a dependency, and no change of sign.
_ZEROING = r"vxorp[sd]\s+(%\w+),\1,"


@pytest.fixture(scope="session")
def arithmetic() -> Callable[[list[str]], Counter[str]]:
    """How often each floating-point instruction and call occurs; moves are the register allocator's business."""

    def histogram(lines: list[str]) -> Counter[str]:
        mnemonics = Counter(line.split()[0] for line in lines if not re.match(_ZEROING, line))
        # vfnmadd231ps and vfmadd132ps differ in operand order alone
        folded: Counter[str] = Counter()
        for mnemonic, times in mnemonics.items():
            if re.fullmatch(r"v(?!mov|broadcast)\w+[sp][sd]", mnemonic) or mnemonic == "call":
                folded[re.sub(r"(132|213|231)", "", mnemonic)] += times
        return folded

    return histogram
