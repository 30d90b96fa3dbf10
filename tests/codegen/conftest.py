"""Compilers, and what they made: sections of object files and histograms of instructions."""

import functools
import os
import re
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


@functools.cache
def listing_of(compiled: Path) -> str:
    """objdump's listing of the code."""
    command = ["objdump", "-d", "--section=.text", "--no-show-raw-insn", str(compiled)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def disassemble(compiled: Path, wanted: str = "") -> dict[str, list[str]]:
    """Instructions of each function whose symbol has the pattern `wanted`.

    What two files name alike is taken together; the same instructions again, at other addresses, are no more work.
    """
    functions: dict[str, list[str]] = {}
    seen: set[tuple[str, ...]] = set()
    for block in listing_of(compiled).split("\n\n"):
        header = re.match(r"\s*[0-9a-f]+ <(.+)>:\n", block)
        if header and re.search(wanted, header[1]):
            lines = [line.partition("\t")[2].strip() for line in block[header.end() :].splitlines()]
            lines = [line for line in lines if line]
            copy = (header[1], *(line.split()[0] for line in lines))
            if copy not in seen:
                functions.setdefault(header[1], []).extend(lines)
            seen.add(copy)
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


#: Rungs whose twins are compiled in CI: the oracle, and the vectors with the fewest registers, where one value too many
#: is spilled first. ENERGYBENCH_CODEGEN=all (`make codegen`) takes every rung.
IN_CI = ("naive", "avx2")


def twin_rungs() -> tuple[str, ...]:
    """The rungs whose twins this run compiles."""
    from energybench.kernels.ladder import TUNED_ON_CPU

    return TUNED_ON_CPU["cpu"] if os.environ.get("ENERGYBENCH_CODEGEN") == "all" else IN_CI


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`twin_rung`: each rung whose twins are compiled."""
    if "twin_rung" in metafunc.fixturenames:
        metafunc.parametrize("twin_rung", twin_rungs())


def readable(symbol: str) -> tuple[str, str]:
    """A symbol without the compiler's suffixes (._omp_fn.0, .constprop.0), and those."""
    suffix = re.search(r"(\.(_omp_fn|constprop|isra|part|cold)(\.\d+)?)*$", symbol)
    assert suffix is not None
    return symbol[: suffix.start()], suffix[0]


def names_of(symbols: list[str]) -> dict[str, str]:
    """Symbol → its readable name, in which the opaque types and the bare ones are called the same."""
    split = [readable(symbol) for symbol in symbols]
    text = "\n".join(plain for plain, _ in split)
    demangled = subprocess.run(["c++filt"], input=text, check=True, capture_output=True, text=True).stdout.splitlines()
    names = {}
    for symbol, name, (_, suffix) in zip(symbols, demangled, split, strict=True):
        name = re.sub(r"eb::BasicOps<eb::NoTally>|RawPolicy<false>", "Ops", name)
        name = re.sub(r"(?:eb::Ptr|RawPtr)<([^<>]*?)(?:, \(eb::Role\)\d)?>", r"Ptr<\1>", name)
        name = re.sub(r"eb::Scalar<(\w+)>", r"\1", name)
        name = re.sub(r"eb::(?:Vec|Dot)<(\w+), (\d+)>", r"\1 __vector(\2)", name)
        # whether a function was specialised for a caller's constants is the compiler's choice
        names[symbol] = name + re.sub(r"\.(constprop|isra)(\.\d+)?", "", suffix)
    return names


def functions_of_rung(binary: Path, rung: str) -> dict[str, list[str]]:
    """Instructions of every function that was compiled for a rung, by its readable name."""
    # a mangled name has its length before it: avx2_counting is another one
    found = disassemble(binary, rf"^_Z.*(?<!\d){len(rung)}{rung}(?![a-z_])")
    names = names_of(list(found))
    functions: dict[str, list[str]] = {}
    for symbol, lines in found.items():  # copies that the compiler made for a caller are taken together
        functions.setdefault(names[symbol], []).extend(lines)
    return functions


@pytest.fixture(scope="session")
def shipped() -> Callable[[str], dict[str, list[str]]]:
    """What the package's own module holds of a rung, or of a namespace such as avx2_counting: `{function: lines}`."""
    from energybench.kernels import native

    module = Path(str(native.cpu().__file__))
    return functools.cache(functools.partial(functions_of_rung, module))


@pytest.fixture(scope="session")
def twins(gxx, tmp_path_factory) -> Callable[..., dict[str, list[str]]]:
    """The same sources over bare numbers and vectors, at the flags the package has: ``rung -> {function: lines}``.

    ``(rung, only, *defines)`` compiles the files named alone. Any processor will do: nothing runs.
    """
    from energybench.kernels import native

    module = native.cpu()
    flags = {"naive": f"0 {module.compile_flags}"}
    flags.update(entry.split("=", 1) for entry in module.rung_flags.split(";"))

    @functools.cache
    def compile_twins(rung: str, only: tuple[str, ...] = (), *defines: str) -> dict[str, list[str]]:
        folder = tmp_path_factory.mktemp(rung)
        width, *options = flags[rung].split()
        options += ["-fopenmp", "-fno-exceptions", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-w"]
        options += [f"-DEB_ISA={rung}", f"-DEB_VECTOR_BYTES={width}", "-DEB_OPS=RawOps", "-include", "raw_ops.h"]

        def compile_one(source: Path) -> Path:
            out: Path = folder / f"{source.stem}.o"
            command = [*gxx, *options, *defines, "-c", source, "-o", out]
            subprocess.run(command, check=True, capture_output=True, text=True)
            return out

        sources = sorted((CSRC / "cpu" / ("naive" if rung == "naive" else "tuned")).glob("*.cpp"))
        with ThreadPoolExecutor(max_workers=2) as pool:
            objects = list(pool.map(compile_one, [s for s in sources if not only or s.stem in only]))
        library = folder / "twins.so"
        subprocess.run([gxx[0], "-shared", "-fopenmp", *objects, "-o", library], check=True, capture_output=True)
        return functions_of_rung(library, rung)

    return compile_twins


#: What only carries numbers from one place to another.
_MOVES = "mov|maskmov|broadcast|shuf|perm|insert|extract|unpck|expand|compress|blend"
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
            if re.fullmatch(rf"v(?!{_MOVES})\w+[sp][sd]", mnemonic) or mnemonic == "call":
                folded[re.sub(r"(132|213|231)", "", mnemonic)] += times
        return folded

    return histogram
