"""Compiled networks: the same losses, never under a double backward, and a line where they are not used."""

import copy
import json

import pytest
import torch

from i2i.engine import compilation, train, trial
from i2i.engine.compilation import compile_networks
from i2i.engine.distributed import World
from i2i.engine.prepare import describe_data, open_data
from i2i.engine.run_folder import Run
from i2i.engine.step import Move, play
from i2i.engine.trial import resolve_compile
from tests.engine.conftest import TINY
from tests.translators.cases import batch, make

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),  # PyTorch's own, while it traces
]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Trace the networks and their backward passes, but generate no code, which takes a minute."""
    monkeypatch.setitem(compilation.OPTIONS, "on", {"backend": "aot_eager"})
    yield
    torch.compiler.reset()


def played(translator, data, steps=3):
    moves = {name: Move(player) for name, player in translator.players().items()}
    return [{name: float(t) for name, t in play(translator, moves, data, step).items()} for step in range(steps)]


def is_compiled(net):
    return net._compiled_call_impl is not None


@pytest.mark.parametrize(
    ("method", "options", "eager"),
    [
        ("cyclegan", {"pool": 0}, set()),
        pytest.param("cyclegan", {"pool": 0, "constraint": "gp"}, {"D_X", "D_Y"}, marks=pytest.mark.slow),
        pytest.param("stargan", {"n_critic": 1}, {"D"}, marks=pytest.mark.slow),
        pytest.param("cut", {}, set(), marks=pytest.mark.slow),
    ],
)
def test_losses_are_those_of_eager_networks(method, options, eager):
    plain, other = make(method, **options), make(method, **options)
    compile_networks(other, "on")
    networks = {name: net for name, net in other.named_children() if any(True for _ in net.parameters())}
    assert {name for name, net in networks.items() if not is_compiled(net)} == eager
    torch.manual_seed(0)
    expected = played(plain, batch(method))
    torch.manual_seed(0)
    for ours, theirs in zip(played(other, batch(method)), expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    assert other.state_dict().keys() == plain.state_dict().keys()
    assert not any(is_compiled(module) for module in copy.deepcopy(other).modules())


@pytest.fixture
def run(folders, tmp_path):
    def opened(**given):
        run = Run.open("direct", tmp_path / "run", TINY["direct"] | folders["direct"] | {"precision": "fp32"} | given)
        describe_data(run, open_data(run.settings))
        return run

    return opened


def test_a_cpu_does_not_try_unless_asked(run, monkeypatch):
    monkeypatch.setattr(trial, "_Trial", None)
    assert resolve_compile(run(), World()) == ("off", "")
    assert resolve_compile(run(compile="off"), World(device=torch.device("cuda"))) == ("off", "")
    assert resolve_compile(run(precision="fp64"), World(device=torch.device("cuda"))) == ("off", "")
    with pytest.raises(ValueError, match="compile graphs needs a GPU; choose on or off"):
        resolve_compile(run(compile="graphs"), World())
    with pytest.raises(ValueError, match="compile is 'yes'; choose one of auto, off, on, graphs"):
        run(compile="yes")


def test_compiling_is_used_where_it_pays(run, monkeypatch):
    times = iter([4.0, 3.0])

    class Timed(trial._Trial):
        def __init__(self, *given):
            super().__init__(*given)
            self.seconds = next(times)

    monkeypatch.setattr(trial, "_Trial", Timed)
    assert resolve_compile(run(compile="on"), World()) == ("on", "")
    times = iter([3.0, 4.0])
    words = "not compiled: compile on: a step takes 4.0 s compiled and 3.0 s as it is"
    assert resolve_compile(run(compile="on"), World()) == ("off", words)


def test_wrong_losses_and_errors_of_the_compiler_fall_back(run, monkeypatch):
    def wrong(graph, inputs):
        return lambda *given: [tensor + 1 if tensor.is_floating_point() else tensor for tensor in graph(*given)]

    def broken(graph, inputs):
        raise OSError("no compiler is installed")

    monkeypatch.setitem(compilation.OPTIONS, "on", {"backend": wrong})
    how, line = resolve_compile(run(compile="on"), World())
    assert how == "off"
    assert line.startswith("not compiled: compile on: the loss G/gan becomes ")
    torch.compiler.reset()
    monkeypatch.setitem(compilation.OPTIONS, "on", {"backend": broken})
    how, line = resolve_compile(run(compile="on"), World())
    assert how == "off"
    assert "no compiler is installed" in line
    assert "\n" not in line


def test_a_run_that_fell_back_goes_on_with_the_same_command(folders, tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise OSError("no compiler is installed")

    monkeypatch.setitem(compilation.OPTIONS, "on", {"backend": broken})
    given = TINY["direct"] | folders["direct"] | {"compile": "on", "sample_every": 0, "out": tmp_path, "quiet": True}
    train("direct", **given, steps=1)
    train("direct", **given, steps=2)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["step"], facts["settings"]["compile"]) == (2, "off")


class Fixed:
    """A trial with known results."""

    graphs: object = {"G/gan": 1.0}
    on: object = {"G/gan": 1.0}

    def __init__(self, run, world, how):
        result = {"off": {"G/gan": 1.0}, "graphs": self.graphs, "on": self.on}[how]
        if isinstance(result, Exception):
            raise result
        self.losses, self.seconds = [result], {"off": 3.0, "on": 2.0, "graphs": 1.0}[how]


def test_a_gpu_takes_graphs_then_compiled_networks_then_none(run, monkeypatch):
    world = World(device=torch.device("cuda"))
    monkeypatch.setattr(trial, "_Trial", Fixed)
    assert resolve_compile(run(), world) == ("graphs", "")
    monkeypatch.setattr(Fixed, "graphs", RuntimeError("capture failed\nmore"))
    assert resolve_compile(run(), world) == ("on", "compile graphs: capture failed")
    monkeypatch.setattr(Fixed, "on", {"G/gan": float("nan")})
    expected = "not compiled: compile graphs: capture failed; compile on: the loss G/gan becomes nan instead of 1"
    assert resolve_compile(run(), world) == ("off", expected)
    assert resolve_compile(run(compile="on"), world)[0] == "off"


def test_a_run_records_what_it_used_and_keeps_it_whatever_the_times_are(folders, tmp_path, monkeypatch, capsys):
    options = TINY["direct"] | folders["direct"] | {"sample_every": 0, "steps": 2}
    monkeypatch.setattr(trial, "_Trial", Fixed)
    out = train("direct", **options, compile="on", out=tmp_path / "run", quiet=True)
    assert json.loads((out / "run.json").read_text())["settings"]["compile"] == "on"
    slower = lambda self, *given: (Fixed.__dict__["__init__"](self, *given), setattr(self, "seconds", 1.0))[0]  # noqa: E731
    monkeypatch.setattr(trial, "_Trial", type("Slower", (Fixed,), {"__init__": slower}))
    train("direct", **options | {"steps": 3}, compile="auto", out=out, quiet=True)
    assert json.loads((out / "run.json").read_text())["settings"]["compile"] == "on"
    monkeypatch.setattr(Fixed, "on", OSError("no compiler"))
    train("direct", **options, compile="on", out=tmp_path / "other")
    assert "not compiled: compile on: no compiler\n" in capsys.readouterr().err
    assert json.loads((tmp_path / "other" / "run.json").read_text())["settings"]["compile"] == "off"


def test_the_authors_preset_is_eager_single_precision(tmp_path):
    settings = Run.open("cyclegan", tmp_path / "run", {"a": ".", "b": ".", "preset": "paper"}).settings
    assert (settings.precision, settings.compile, settings.ema) == ("fp32", "off", 0.0)


@pytest.mark.slow
def test_generated_code_gives_the_same_losses(run, monkeypatch):
    monkeypatch.setitem(compilation.OPTIONS, "on", {})
    chosen, line = resolve_compile(run(compile="on"), World())
    assert chosen == "on" or " compiled and " in line
