"""Fakes at the real boundary: a powercap tree that another process advances, a stand-in for pynvml, scenarios."""

from __future__ import annotations

import http.server
import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SCENARIO: dict[str, dict[str, Any]] = {
    "planted": {
        "mac_fp32_j": 1.1e-11,
        "other_flop_j": 6.0e-12,
        "byte_j": 9.0e-11,
        "launch_j": 2.0e-6,
        "static_power_w": 41.0,
    },
    "time": {"mac_rate": 2.0e12, "byte_rate": 1.0e11, "launch_s": 5.0e-6},
    "sensor": {
        "update_period_s": 0.1,
        "averaging_window_s": 0.1,
        "resolution_j": 0.001,
        "gain": 1.0,
        "noise_rel": 0.01,
        "drift_rel_per_min": 0.0,
        "seed": 7,
    },
}


@pytest.fixture
def scenario_dict() -> Callable[..., dict[str, Any]]:
    """The example scenario as parsed TOML, with sections changed by keyword: ``sensor={"seed": 1}``."""

    def make(**sections: dict[str, Any]) -> dict[str, Any]:
        data: dict[str, Any] = {"name": "example", **{k: dict(v) for k, v in SCENARIO.items()}}
        for name, values in sections.items():
            data.setdefault(name, {}).update(values)
        return data

    return make


@pytest.fixture
def scenario_file(tmp_path: Path, scenario_dict: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    """The same as a file."""

    def make(**sections: dict[str, Any]) -> Path:
        data = scenario_dict(**sections)
        lines = [f'name = "{data.pop("name")}"']
        for section, values in data.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {value!r}" for key, value in values.items()]
        path = tmp_path / "scenario.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return make


WRITER = """
import os, sys, time
counters = {}
def write(path, value, span):
    fd = counters.get(path)
    if fd is None:
        fd = counters[path] = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"%020d\\n" % value, 0)   # one write of fixed length: a reader never sees half a number
values = {}
for line in sys.stdin:
    command, path, a, b = line.split()
    if command == "add":                      # path, microjoules, modulus
        values[path] = (values.get(path, int(open(path).read())) + int(a)) % int(b)
        write(path, values[path], b)
        print("done", flush=True)
    elif command == "run":                    # path, watts, seconds: real time, about one update per millisecond
        start = time.monotonic(); first = int(open(path).read())
        print("done", flush=True)
        while (elapsed := time.monotonic() - start) < float(b):
            write(path, first + int(elapsed * float(a) * 1e6), 0)
            time.sleep(0.001)
"""


class PowercapTree:
    """A sysfs root with powercap zones, and the process that moves their counters."""

    RANGE_UJ = 262_143_328_850  # what Intel parts show: (2^32 − 1) · 61.035 µJ

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "class" / "powercap"
        self.base.mkdir(parents=True)
        self._writer: subprocess.Popen[str] | None = None

    def zone(
        self, directory: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ, limit_uw: int | None = None
    ) -> Path:
        path = self.base / directory
        path.mkdir()
        (path / "name").write_text(name + "\n")
        (path / "energy_uj").write_text(f"{energy_uj:020d}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        if limit_uw is not None:
            (path / "constraint_0_max_power_uw").write_text(f"{limit_uw}\n")
        return path

    def client(self) -> PowercapTree:
        """One laptop socket: package, core, uncore, DRAM, psys, and the memory-mapped copy of the package."""
        self.zone("intel-rapl:0", "package-0", 5_000_000)
        self.zone("intel-rapl:0:0", "core", 3_000_000)
        self.zone("intel-rapl:0:1", "uncore", 1_000_000)
        self.zone("intel-rapl:0:2", "dram", 2_000_000, range_uj=65_712_999_613)
        self.zone("intel-rapl:1", "psys", 9_000_000)
        self.zone("intel-rapl-mmio:0", "package-0", 5_000_000)
        return self

    def _tell(self, *words: object) -> None:
        if self._writer is None:
            self._writer = subprocess.Popen(
                [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._writer.stdin is not None
        assert self._writer.stdout is not None
        self._writer.stdin.write(" ".join(map(str, words)) + "\n")
        self._writer.stdin.flush()
        assert self._writer.stdout.readline() == "done\n"

    def add(self, directory: str, energy_uj: int, range_uj: int = RANGE_UJ) -> None:
        """Let the writer process move one counter, wrapping as the hardware does."""
        self._tell("add", self.base / directory / "energy_uj", energy_uj, range_uj + 1)

    def run(self, directory: str, power_w: float, duration_s: float) -> None:
        """Let the writer process move one counter in real time."""
        self._tell("run", self.base / directory / "energy_uj", power_w, duration_s)

    def stop(self) -> None:
        if self._writer is not None:
            self._writer.kill()
            for pipe in (self._writer.stdin, self._writer.stdout):
                assert pipe is not None
                pipe.close()
            self._writer.wait()


@pytest.fixture
def powercap_tree(tmp_path: Path) -> Iterator[PowercapTree]:
    tree = PowercapTree(tmp_path / "sys")
    yield tree
    tree.stop()


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class FakeNvml:
    """A stand-in for the module ``pynvml``: boards as dictionaries, any call can be made to fail."""

    NVML_FI_DEV_POWER_INSTANT = 186
    NVMLError = NVMLError

    def __init__(self, *boards: dict[str, Any]) -> None:
        self.boards = [
            {
                "uuid": f"GPU-FAKE-{i}",
                "name": "Fake H100",
                "bus": f"00000000:{i + 1:02X}:00.0",
                "energy_mj": 1_000,
                "mig": None,
                **board,
            }
            for i, board in enumerate(boards or ({},))
        ]
        self.fail: dict[str, int] = {}
        self.starts = 0
        self.stops = 0

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name.startswith("nvml"):
            code = super().__getattribute__("fail").get(name)
            if code is not None:

                def failing(*_: object) -> Any:
                    raise NVMLError(code)

                return failing
        return value

    def nvmlInit(self) -> None:  # noqa: N802
        self.starts += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.stops += 1

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.00"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        return self.boards[index]

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: bytes) -> dict[str, Any]:  # noqa: N802
        return next(b for b in self.boards if b["bus"] == bus_id.decode())

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> dict[str, Any]:  # noqa: N802
        return next(b for b in self.boards if b["uuid"] == uuid.decode())

    def nvmlDeviceGetUUID(self, handle: dict[str, Any]) -> str:  # noqa: N802
        return str(handle["uuid"])

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> bytes:  # noqa: N802
        return str(handle["name"]).encode()

    def nvmlDeviceGetPciInfo(self, handle: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(busId=handle["bus"].encode())

    def nvmlDeviceGetMigMode(self, handle: dict[str, Any]) -> list[int]:  # noqa: N802
        if handle["mig"] is None:
            raise NVMLError(3)
        return [handle["mig"], handle["mig"]]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: dict[str, Any]) -> int:  # noqa: N802
        return int(handle["energy_mj"])

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: object) -> int:  # noqa: N802
        return 0x4 | 0x40

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: object) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=42), SimpleNamespace(pid=7)]

    def nvmlDeviceGetPowerUsage(self, _handle: object) -> int:  # noqa: N802
        return 123_456

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle: object) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetUtilizationRates(self, _handle: object) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=25, memory=10)

    def nvmlDeviceGetClockInfo(self, _handle: object, kind: int) -> int:  # noqa: N802
        return {1: 1755, 2: 2619}[kind]

    def nvmlDeviceGetMaxClockInfo(self, _handle: object, _kind: int) -> int:  # noqa: N802
        return 1980

    def nvmlDeviceGetTemperature(self, _handle: object, _sensor: int) -> int:  # noqa: N802
        return 51


@pytest.fixture
def fake_nvml() -> Callable[..., Any]:
    return FakeNvml


INTEL_CPUINFO = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\n\nprocessor\t: 1\n"
)


class MsrTree:
    """A root with /proc/cpuinfo, CPU topology and register files."""

    def __init__(self, root: Path, cpuinfo: str = INTEL_CPUINFO, packages: tuple[int, ...] = (0, 0, 1, 1)) -> None:
        self.root = root
        (root / "proc").mkdir(parents=True)
        (root / "proc" / "cpuinfo").write_text(cpuinfo)
        for cpu, package in enumerate(packages):
            topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
            topology.mkdir(parents=True)
            (topology / "physical_package_id").write_text(f"{package}\n")
            (root / f"dev/cpu/{cpu}").mkdir(parents=True)
            (root / f"dev/cpu/{cpu}/msr").write_bytes(b"")

    def set(self, cpu: int, register: int, value: int, size: int = 8) -> None:
        with (self.root / f"dev/cpu/{cpu}/msr").open("r+b") as file:
            file.seek(register)
            file.write(value.to_bytes(size, "little"))


@pytest.fixture
def msr_tree() -> type[MsrTree]:
    return MsrTree


RESOLUTION_UJ = 15.259


class AmdSmiException(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"Error code:\n\t{code}")
        self.code = code

    def get_error_code(self) -> int:
        return self.code


class FakeAmdSmi:
    """Boards as dictionaries; energy runs with the clock that the meter sleeps on."""

    AmdSmiException = AmdSmiException

    def __init__(self, *boards: dict[str, Any]) -> None:
        self.boards = [
            {"uuid": f"GPU-FAKE-{i}", "bdf": f"0000:{i + 1:02x}:00.0", "power_w": 200, "counted_w": 200.0, **board}
            for i, board in enumerate(boards or ({},))
        ]
        self.fail: dict[str, int] = {}
        self.time_s = 100.0
        self.open = 0

    def _check(self, name: str) -> None:
        if name in self.fail:
            raise AmdSmiException(self.fail[name])

    def amdsmi_init(self) -> None:
        self._check("amdsmi_init")
        self.open += 1

    def amdsmi_shut_down(self) -> None:
        self.open -= 1

    def amdsmi_get_processor_handles(self) -> list[dict[str, Any]]:
        return self.boards

    def amdsmi_get_gpu_device_uuid(self, handle: dict[str, Any]) -> str:
        return str(handle["uuid"])

    def amdsmi_get_gpu_device_bdf(self, handle: dict[str, Any]) -> str:
        return str(handle["bdf"])

    def amdsmi_get_energy_count(self, handle: dict[str, Any]) -> dict[str, Any]:
        self._check("amdsmi_get_energy_count")
        counts = int(handle["counted_w"] * self.time_s * 1e6 / RESOLUTION_UJ)
        return {handle.get("key", "energy_accumulator"): counts, "counter_resolution": RESOLUTION_UJ, "timestamp": 1}

    def amdsmi_get_power_info(self, handle: dict[str, Any]) -> dict[str, Any]:
        return {"current_socket_power": handle["power_w"], "average_socket_power": "N/A"}


@pytest.fixture
def fake_amdsmi() -> type[FakeAmdSmi]:
    return FakeAmdSmi


class ZeusDaemon:
    """What /discover, /cpu/get_cumulative_energy and /gpu/get_cumulative_energy answer, as documented."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.discover: Any = {
            "gpus": [],
            "cpus": [{"id": 0, "dram_available": True}, {"id": 1, "dram_available": False}],
            "enabled_api_groups": ["cpu-read"],
            "auth_required": False,
        }
        self.energy: Any = {
            "0": {"cpu_energy_uj": 5_000_000, "dram_energy_uj": 1_000_000},
            "1": {"cpu_energy_uj": 7_000_000, "dram_energy_uj": None},
        }
        self.gpu_mj: dict[str, Any] = {}
        self.status = 200
        self.asked: list[tuple[str, str | None]] = []
        daemon = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                daemon.asked.append((self.path, self.headers.get("Authorization")))
                answer = daemon.discover if self.path == "/discover" else daemon.energy
                path, _, wanted = self.path.partition("?gpu_ids=")
                if path == "/gpu/get_cumulative_energy":
                    answer = {number: {"energy_mj": daemon.gpu_mj[number]} for number in wanted.split(",")}
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(daemon.status if self.path != "/discover" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "socket"

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def zeus_daemon() -> Iterator[Callable[[str], ZeusDaemon]]:
    started: list[ZeusDaemon] = []

    def start(path: str) -> ZeusDaemon:
        started.append(ZeusDaemon(path))
        return started[-1]

    yield start
    for daemon in started:
        daemon.stop()
