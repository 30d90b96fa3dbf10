"""Several GPUs and several ranks in one window: every device once."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app import devices_in_use, ranks
from energybench.app import measure as measure_module
from energybench.app.devices_in_use import expand_device, gpus_in_use, visible_gpus
from energybench.app.measure import Measurement, close_meters, measure, measure_command
from energybench.app.ranks import CounterEnergy, counters_of, sum_over_ranks, total
from energybench.errors import MeterUnavailable, UsageError
from energybench.meters import nvml
from energybench.meters.modelled import ModelledMeter
from energybench.meters.nvml import NvmlMeter
from energybench.meters.rapl_powercap import RaplMeter


@pytest.fixture
def rapl(powercap_tree):
    meter = RaplMeter(powercap_tree.client().root)
    yield meter
    close_meters()
    meter.close()


@pytest.fixture
def node(rapl, fake_nvml, monkeypatch):
    """A machine with one socket and four GPUs; `auto` opens its meters."""
    library = fake_nvml({}, {}, {}, {})
    meters: dict[str, Any] = {"cpu": rapl, **{f"cuda:{i}": NvmlMeter(i, library=library) for i in range(4)}}
    close_meters()
    monkeypatch.setattr(measure_module, "open_meter", lambda _spec, *, device, tdp_w: meters[device])
    monkeypatch.setattr(nvml, "load_library", lambda: library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield library
    close_meters()


def torch_on(*held: int, current: int = 0) -> Any:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        synchronize=lambda: None,
        current_device=lambda: current,
        device_count=lambda: 4,
        memory_reserved=lambda i: 100 if i in held else 0,
    )
    return SimpleNamespace(cuda=cuda)


def test_a_program_is_measured_on_every_gpu_that_it_sees(node, monkeypatch):
    """The parent of torchrun has started no CUDA; its ranks use every board. The CPU is counted once."""
    before = [board["energy_mj"] for board in node.boards]
    real = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> Any:
        for i, board in enumerate(node.boards):
            board["energy_mj"] += 1000 * (i + 1)
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", start)
    result = measure_command([sys.executable, "-c", "pass"])
    assert before != [board["energy_mj"] for board in node.boards]
    assert result.measurement.energy_j == pytest.approx(1 + 2 + 3 + 4)
    assert result.measurement.meters == ("rapl:powercap", "nvml:0", "nvml:1", "nvml:2", "nvml:3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert measure_command([sys.executable, "-c", "pass"]).measurement.meters[1:] == ("nvml:0", "nvml:1")
    with pytest.raises(KeyError):
        measure_command([sys.executable, "-c", "pass"], device="cuda:7")


def test_this_process_is_measured_on_the_gpus_it_uses(node, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_on(1, 3))
    with measure("step") as m:
        for board in node.boards:
            board["energy_mj"] += 1000
    assert m.meters == ("rapl:powercap", "nvml:0", "nvml:1", "nvml:3")  # the current one, and those with memory
    assert m.energy_j == pytest.approx(3.0)
    with measure("two", device="cuda:1,2") as m:
        for board in node.boards:
            board["energy_mj"] += 1000
    assert m.energy_j == pytest.approx(2.0)
    with measure("all", device="cuda:all") as m:
        pass
    assert m.meters == ("nvml:0", "nvml:1", "nvml:2", "nvml:3")


def test_one_board_under_two_names_is_one_board(node, rapl):
    board = NvmlMeter(1, library=node)
    again = NvmlMeter(1, library=node)
    with measure("step", meter=[rapl, board, again]) as m:
        node.boards[1]["energy_mj"] += 1000
    assert m.energy_j == pytest.approx(1.0)
    assert len(m.windows) == 2
    with pytest.raises(UsageError, match="different kinds"):
        measure("mixed", meter=[rapl, ModelledMeter(tdp_w=10.0)])


def test_devices_are_named_one_by_one(monkeypatch):
    assert expand_device("cpu") == ("cpu",)
    assert expand_device("cuda:2") == ("cuda:2",)
    assert expand_device("cuda:0,2,0") == ("cuda:0", "cuda:2")
    monkeypatch.setattr(devices_in_use, "visible_gpus", lambda: ())
    with pytest.raises(UsageError, match="no GPU here"):
        expand_device("cuda:all")


def test_no_driver_is_no_gpu_and_not_an_error(monkeypatch):
    def absent() -> Any:
        raise MeterUnavailable("the module pynvml is not installed; run pip")

    monkeypatch.setattr(nvml, "load_library", absent)
    assert visible_gpus() == ()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert gpus_in_use() == ()


# ---- ranks ----


def counter(host: str, name: str, energy_j: float, time_s: float = 1.0, kind: Any = "simulated") -> CounterEnergy:
    return CounterEnergy(host, name, name, kind, energy_j, 0.3, 0.05 * energy_j, time_s)


def test_counters_of_a_machine_are_counted_once_however_many_ranks_read_them():
    node_a = [(counter("a", "package-0", 50 + i, 1 + i), counter("a", f"GPU-{i}", 100)) for i in range(4)]
    node_b = [(counter("b", "package-0", 70), counter("b", f"GPU-{i}", 100)) for i in range(4)]
    found = total([*node_a, *node_b])
    # Of the four ranks of a, the one with the longest window: 53 J.
    assert found.energy_j == pytest.approx(53 + 70 + 8 * 100)
    assert (found.ranks, found.repeated, len(found.counters)) == (8, 6, 10)
    assert found.uncertainty_j == pytest.approx(0.3 * 10**0.5)
    assert found.gain_uncertainty_j == pytest.approx(0.05 * found.energy_j)
    assert found.time_s == 4
    with pytest.raises(UsageError, match="different kinds"):
        total([(counter("a", "package-0", 1),), (counter("b", "package-0", 1, kind="modelled"),)])


def test_parts_of_a_domain_and_what_overlaps_are_not_summed(rapl, powercap_tree):
    with measure("one", meter=rapl) as m:
        powercap_tree.add("intel-rapl:0", 2_000_000)
        powercap_tree.add("intel-rapl:0:0", 1_000_000)
        powercap_tree.add("intel-rapl:1", 9_000_000)
    assert [one.domain for one in counters_of(m)] == ["package-0", "dram-0"]
    found = sum_over_ranks(m)
    assert found.ranks == 1
    assert found.energy_j == pytest.approx(2.0)
    assert ranks.host_id()
    with pytest.raises(UsageError, match="still open"):
        sum_over_ranks(Measurement("open", "simulated", ("rapl",), ("",)))


RANK = """
import json, sys, time
from pathlib import Path
import torch.distributed as dist
from energybench.app.measure import measure
from energybench.app.ranks import sum_over_ranks
from energybench.meters.rapl_powercap import RaplMeter

rank, root, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
meter = RaplMeter(root)
counter = Path(root) / "class/powercap/intel-rapl:0/energy_uj"
with measure("step", meter=meter) as m:
    dist.barrier()
    if rank == 0:
        counter.write_text("%020d" % 8_000_000)
    dist.barrier()
found = sum_over_ranks(m)
print(json.dumps([found.ranks, m.energy_j, found.energy_j, found.repeated]))
dist.destroy_process_group()
"""


def test_two_real_ranks_of_one_machine(powercap_tree, tmp_path):
    """As torchrun starts them: both see the whole package, together they used it once."""
    powercap_tree.zone("intel-rapl:0", "package-0", 5_000_000)
    arguments = [str(powercap_tree.root), str(tmp_path / "store")]
    processes = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), *arguments], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=200)[0].splitlines()[-1]) for process in processes]
    assert answers == [[2, 3.0, 3.0, 1], [2, 3.0, 3.0, 1]]
