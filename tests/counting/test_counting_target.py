"""TARGET and --input: what is accepted, and one line with the fix for everything else."""

from __future__ import annotations

import pickle
import sys
import warnings
import zipfile

import pytest
import torch
from torch import nn

from energybench.counting import count_model, load_target, parse_input
from energybench.errors import UsageError

FACTORIES = """
import torch
from torch import nn

calls = []

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

def with_tuple():
    return net(), (torch.zeros(1, 3, 8, 8),)

def with_dict():
    return nn.Linear(4, 2), {"input": torch.zeros(3, 4)}

def needs_values():
    scale = float(torch.ones(3).sum())
    calls.append(scale)
    return nn.Linear(4, int(scale))

def broken():
    raise ValueError("no such size")

def needs_argument(size):
    return nn.Linear(size, size)

def returns_number():
    return 3

ready = nn.Linear(2, 2)
number = 3

class Net(nn.Linear):
    def __init__(self):
        super().__init__(5, 6)
"""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    (tmp_path / "zoo_for_targets.py").write_text(FACTORIES, encoding="utf-8")
    (tmp_path / "zoo_that_fails.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "zoo_that_needs.py").write_text("import a_module_nobody_has\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("zoo_for_targets", "zoo_that_fails", "zoo_that_needs"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "shape", "dtype", "device"),
    [
        ("1x3x224x224", (1, 3, 224, 224), torch.float32, "meta"),
        ("7", (7,), torch.float32, "meta"),
        ("1x128:int64", (1, 128), torch.int64, "cpu"),
        ("2x2:bf16", (2, 2), torch.bfloat16, "meta"),
        ("0x4", (0, 4), torch.float32, "meta"),
        ("2:bool", (2,), torch.bool, "cpu"),
    ],
)
def test_parse_input(text, shape, dtype, device):
    tensor = parse_input(text)
    assert (tuple(tensor.shape), tensor.dtype, tensor.device.type) == (shape, dtype, device)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "-1x3", "1x-3", "1.5", "1,3", "1X3", "abc", "1x3:", "1x3 :float32", "٣"]
)
def test_bad_shapes(text):
    with pytest.raises(UsageError, match="write it as 1x3x224x224"):
        parse_input(text)


@pytest.mark.parametrize("text", ["1x3:float33", "1x3:nn", "1x3:Tensor"])
def test_bad_dtypes(text):
    with pytest.raises(UsageError, match="unknown element type"):
        parse_input(text)


def test_huge_shape():
    with pytest.raises(UsageError, match="more elements"):
        parse_input("x".join(["999999"] * 9))


def test_factories(zoo):
    model, args, kwargs = load_target("zoo_for_targets:net", ["1x3x8x8"])
    assert next(model.parameters()).is_meta
    assert count_model(model, *args, **kwargs).total.macs == 4 * 3 * 9 * 36
    model, args, kwargs = load_target("zoo_for_targets:with_tuple")
    assert (args[0].shape, kwargs) == ((1, 3, 8, 8), {})
    model, args, kwargs = load_target("zoo_for_targets:with_dict")
    assert count_model(model, *args, **kwargs).total.macs == 3 * 4 * 2
    assert load_target("zoo_for_targets:ready", ["1x2"])[0].in_features == 2
    assert load_target("zoo_for_targets:Net", ["1x5"])[0].out_features == 6
    given = torch.zeros(2, 5)
    assert load_target("zoo_for_targets:Net", [given])[1][0] is given


def test_inputs_win_over_the_factory(zoo):
    _, args, kwargs = load_target("zoo_for_targets:with_dict", ["7x4"])
    assert (args[0].shape, kwargs) == ((7, 4), {})


def test_factory_that_needs_values_is_built_on_the_cpu(zoo):
    model, _, _ = load_target("zoo_for_targets:needs_values", ["1x4"])
    assert model.out_features == 3


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_package.models:net", "no module 'no_such_package'"),
        ("zoo_for_targets:nothing", "has no 'nothing'"),
        ("zoo_for_targets:net.deep", "has no 'net.deep'"),
        ("zoo_for_targets", "neither package.module:factory nor a .pt2 file"),
        ("zoo_for_targets:", "neither package.module:factory"),
        (":net", "neither package.module:factory"),
        ("zoo_for_targets:broken", "no such size"),
        ("zoo_for_targets:needs_argument", "called without arguments"),
        ("zoo_for_targets:returns_number", "returned int"),
        ("zoo_for_targets:number", "is no callable"),
        ("zoo_for_targets:net", "add --input"),
        ("zoo_that_fails:net", "ZeroDivisionError"),
        ("zoo_that_needs:net", "needs the module 'a_module_nobody_has'; install it"),
        ("..zoo:net", "is no module name"),
        ("absent.pt2", "no file absent.pt2"),
    ],
)
def test_unknown_targets(zoo, target, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_target(target)
    assert "\n" not in str(caught.value)


# ── exported programs ────────────────────────────────────────────────────────────────────────────────────────────────
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 5)
        self.gru = nn.GRU(5, 6, batch_first=True)
        self.scale = torch.ones(6)

    def forward(self, x, *, shift):
        return self.gru(self.layer(x))[0] * self.scale + shift


class WritesAFile:
    """A pickle that would leave a trace if anyone loaded it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "small.pt2"
    with warnings.catch_warnings():  # torch warns about what its own GRU does while it is exported
        warnings.simplefilter("ignore")
        program = torch.export.export(Small().eval(), (torch.randn(2, 3, 4),), {"shift": torch.randn(6)})
    torch.export.save(program, path)
    return path


def rewritten(source, target, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            for new_name, data in change(name, old.read(name)):
                new.writestr(new_name, data)
    return target


def test_exported_program(exported):
    model, args, kwargs = load_target(str(exported))
    counts = count_model(model, *args, **kwargs, strict=True)
    assert counts.total.macs == 2 * 3 * 4 * 5 + 2 * 3 * 3 * 6 * (5 + 6)
    assert "gru" in counts.by_operator()
    assert counts.parameters == sum(p.numel() for p in Small().parameters())


def test_sample_inputs_are_never_unpickled(exported, tmp_path):
    trace = tmp_path / "trace"
    evil = pickle.dumps(WritesAFile(trace))

    def change(name, data):
        yield name, evil if name.endswith("sample_inputs/model.pt") else data

    model, args, kwargs = load_target(str(rewritten(exported, tmp_path / "evil.pt2", change)))
    assert count_model(model, *args, **kwargs).total.macs > 0
    assert not trace.exists()


def test_pickled_weights_are_refused(exported, tmp_path):
    def change(name, data):
        yield name, data.replace(b'"use_pickle": false', b'"use_pickle": true') if "weights_config" in name else data

    with pytest.raises(UsageError, match="pickles are never loaded"):
        load_target(str(rewritten(exported, tmp_path / "weights.pt2", change)))


@pytest.mark.parametrize("entry", ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "other.pkl"])
def test_custom_objects_are_refused(exported, tmp_path, entry):
    def change(name, data):
        yield name, data
        if name.endswith("models/model.json"):
            yield f"{name.partition('/')[0]}/{entry}", b"x"

    with pytest.raises(UsageError, match="pickles are never loaded"):
        load_target(str(rewritten(exported, tmp_path / "object.pt2", change)))


def test_other_archives_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "state.pt2")
    with pytest.raises(UsageError, match="pickles are never loaded"):
        load_target(str(tmp_path / "state.pt2"))
    (tmp_path / "text.pt2").write_text("hello", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is no \.pt2 archive"):
        load_target(str(tmp_path / "text.pt2"))
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        archive.writestr("a/readme", "x")
    with pytest.raises(UsageError, match="no exported program"):
        load_target(str(tmp_path / "empty.pt2"))
