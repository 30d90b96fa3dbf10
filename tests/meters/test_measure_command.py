import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from energybench.app import measure as measure_module
from energybench.app.measure import close_meters, measure_command
from energybench.errors import MeterUnavailable, UsageError
from energybench.meters.rapl_powercap import RaplMeter
from energybench.meters.replay import ReplayMeter
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.reading import Domain, Reading


@pytest.fixture
def rapl(powercap_tree):
    meter = RaplMeter(powercap_tree.client().root)
    yield meter
    close_meters()
    meter.close()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("code", [0, 1, 3, 42])
def test_exit_codes_pass(rapl, code):
    result = measure_command(python(f"raise SystemExit({code})"), rapl)
    assert result.exit_code == code
    assert result.measurement.kind == "simulated"
    assert result.measurement.time_s > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_a_program_ended_by_a_signal_is_told_as_a_shell_does(rapl, number):
    result = measure_command(python(f"import os; os.kill(os.getpid(), {int(number)})"), rapl)
    assert result.exit_code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_reach_the_program(rapl, number, tmp_path, monkeypatch):
    monkeypatch.setattr(measure_module, "_in_foreground", lambda: False)
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(17))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "while True: time.sleep(0.05)"
    )

    def send():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=send, daemon=True).start()
    assert measure_command(python(code), rapl).exit_code == 17
    assert signal.getsignal(number) is before


def test_a_ctrl_c_that_the_terminal_sent_to_both_is_not_sent_twice(rapl, tmp_path, monkeypatch):
    """In the foreground of a terminal: this process survives it, keeps its measurement, and passes nothing on."""
    monkeypatch.setattr(measure_module, "_in_foreground", lambda: True)
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(17))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        f"while not pathlib.Path({str(seen)!r}).exists(): time.sleep(0.01)\n"
        "time.sleep(0.1)\n"
        "sys.exit(5)"
    )

    def send():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        seen.touch()

    threading.Thread(target=send, daemon=True).start()
    assert measure_command(python(code), rapl).exit_code == 5


def test_the_energy_is_that_of_the_programs_time(rapl, powercap_tree):
    path = powercap_tree.base / "intel-rapl:0" / "energy_uj"
    code = (
        f"import pathlib; p = pathlib.Path({str(path)!r}); p.write_text('%020d\\n' % (int(p.read_text()) + 3_000_000))"
    )
    result = measure_command(python(code), rapl)
    assert result.measurement.energy_j == pytest.approx(3.0)


def test_what_cannot_be_started_is_a_usage_error(rapl):
    for argv, what in (
        ([], "no command"),
        (["/no/such/program"], "cannot be started"),
        ([os.path.dirname(__file__)], "cannot be started"),
    ):
        with pytest.raises(UsageError, match=what) as error:
            measure_command(argv, rapl)
        assert "\n" not in str(error.value)


def test_no_meter_means_the_program_is_not_run(tmp_path, rapl):
    rapl.close()
    mark = tmp_path / "ran"
    with pytest.raises(MeterUnavailable):
        measure_command(python(f"open({str(mark)!r}, 'w')"), rapl)
    assert not mark.exists()


def test_a_virtual_device_idles_meanwhile_and_says_so(scenario_dict):
    meter = SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario_dict())))
    result = measure_command(python("import time; time.sleep(0.15)"), meter)
    assert result.measurement.time_s >= 0.15
    assert result.measurement.kind == "simulated"
    assert any("idled" in note for note in result.measurement.notes)
    assert meter.device.true_energy_j == pytest.approx(41.0 * meter.clock.now_ns() / 1e9)


def test_a_recording_measures_no_program():
    meter = ReplayMeter([Reading(0, {"x": 0})], [Domain("x")])
    with pytest.raises(UsageError, match="recording"):
        measure_command(["true"], meter)


def test_modelled_energy_counts_the_child():
    result = measure_command(python("sum(range(3_000_000))"), "modelled", tdp_w=100.0)
    close_meters()
    assert result.measurement.kind == "modelled"
    assert result.measurement.energy_j > 0


def test_standard_streams_pass_through(rapl):
    code = (
        "import sys\n"
        "from energybench.app.measure import measure_command\n"
        "from energybench.meters.modelled import ModelledMeter\n"
        "r = measure_command([sys.executable, '-c', 'import sys; sys.stdout.write(sys.stdin.read().upper())'], "
        "ModelledMeter(tdp_w=1.0))\n"
        "sys.exit(r.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", code], input="hello", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "HELLO")
