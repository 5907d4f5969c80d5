"""Every step and export on device ``cuda``, on tensors without contents, which need no GPU.

A tensor on another device, a value that the CPU waits for (``.item()``), or a shape that depends on values is an error.
The backward pass and autocast need a GPU: tests/engine/test_gpu.py.
"""

import itertools

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.nn.functional import one_hot

from i2i.engine.distributed import World
from i2i.engine.statistics import Statistics
from i2i.networks import per_image
from i2i.translators import TRANSLATORS
from tests.translators.cases import DOMAINS, batch, make

CUDA = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    """Tensors without contents; the host's own draws, which no device computes, alternate."""
    odds = itertools.cycle((True, False))
    for module in ("image_pool", "translators.cut"):
        monkeypatch.setattr(f"i2i.{module}.coin", lambda: next(odds))
    for module in ("image_pool", "translators.energy"):
        monkeypatch.setattr(f"i2i.{module}.numbers_below", lambda n, count: [n - 1] * count)
    monkeypatch.setattr(torch.autograd, "grad", lambda outputs, x, **_: (torch.zeros_like(x),))  # needs a GPU
    monkeypatch.setattr("i2i.translators.energy.per_image", lambda net: net)  # its copies cannot be made here
    monkeypatch.setattr(nn.GRU, "forward", lambda self, x: (x.repeat(1, 1, 2 * self.hidden_size // x.shape[2]), None))
    monkeypatch.setattr(nn.GRU, "flatten_parameters", lambda self: None)  # cuDNN's layout
    return FakeTensorMode(allow_non_fake_inputs=True)


def moved(method):
    """Return a translator and a batch that lose their contents on the way to the GPU, where ``gpu`` is entered."""
    with unset_fake_temporarily():
        translator, data = make(method), batch(method)
    return translator.to(CUDA), {name: view.to(CUDA) for name, view in data.items()}


def play(translator, data, steps=3):
    """Run forward passes and losses of some steps, as the loop does until the backward pass; the pools fill up."""
    for _ in range(steps):
        views = translator(data)
        for player in translator.players().values():
            terms = player.loss(views)
            assert all(term.device.type == "cuda" and term.dtype == torch.float32 for term in terms.values())
            assert all(term.ndim == 0 for term in terms.values())
            if player.after:
                player.after()
    return views


@pytest.mark.parametrize("method", TRANSLATORS)
def test_a_step_stays_on_the_gpu(method, gpu):
    with gpu:
        views = play(*moved(method))
    assert all(view.device.type == "cuda" for view in views.values())


@pytest.mark.parametrize("method", TRANSLATORS)
def test_exports_and_sample_sheets_stay_on_the_gpu(method, gpu):
    made, data = make(method), batch(method)
    prior, exports = made.prior(), {direction: per_image(net) for direction, net in made.exports().items()}
    made = per_image(made)  # copies are made before: those of tensors without contents are none
    with gpu, torch.no_grad():
        data = {name: view.to(CUDA) for name, view in data.items()}
        assert all(view.device.type == "cuda" for view in made.to(CUDA)(data).values())
        for direction, net in exports.items():
            given = [data["x"]]
            if direction == "generate":
                given = [torch.rand(2, prior.length, device=CUDA), *([data["text"]] if "text" in data else [])]
            elif direction == "any":
                given.append(torch.zeros(2, DOMAINS, device=CUDA))
            elif prior is not None and direction != "energy":
                given.append(torch.rand(2, prior.length, device=CUDA))
            assert net.to(CUDA)(*given).device.type == "cuda"


def test_the_means_of_the_log_are_added_up_on_the_gpu(gpu):
    with gpu:
        statistics = Statistics(World(device=CUDA))
        for step in range(3):
            statistics.add({name: torch.zeros((), device=CUDA) for name in ("G/gan", "D/gan")}, step)
        with pytest.raises(DataDependentOutputException):  # reading waits for the GPU, so it is not done at each step
            statistics.read()


FAULTS = {
    "a tensor on the CPU": (lambda v: v["G(x)"] + torch.ones(3, 1, 1), RuntimeError),
    "a value that is waited for": (lambda v: v["G(x)"] * v["G(x)"].mean().item(), DataDependentOutputException),
    "a branch on a value": (lambda v: v["G(x)"] if v["G(x)"].mean() > 0 else v["x"], DataDependentOutputException),
    "a shape that depends on values": (lambda v: v["G(x)"][v["G(x)"] > 0], DynamicOutputShapeException),
    "a copy of values to the host": (lambda v: one_hot(v["G(x)"].argmax(1)), DataDependentOutputException),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, gpu):
    what, error = FAULTS[fault]
    with gpu:
        made, data = moved("direct")
        of_game = made.generator_loss
        made.generator_loss = lambda v: of_game(v | {"G(x)": what(v)})
        with pytest.raises(error):
            play(made, data)
