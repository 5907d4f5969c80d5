"""Descriptions in files of weights, with the user's names of domains."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.step import Move
from i2i.engine.weights import describe
from i2i.translators import Player


def made(direction="a2b", **facts):
    facts = {"source": {"name": "horses", "channels": 1}, "target": {"name": "zebras", "channels": 3}} | facts
    settings = Settings(
        "unit", a="/home/me/horses", b="/home/me/zebras", attributes="/home/me/t.csv", direction=direction
    )
    return Run(Path("run"), settings, {"ngf": 8}, facts)


@pytest.mark.parametrize(
    ("asked", "export", "direction", "source", "target"),
    [
        ("a2b", "a2b", "a2b", "horses", "zebras"),
        ("a2b", "b2a", "b2a", "zebras", "horses"),
        ("a2b", "a2a", "a2a", "horses", "horses"),
        ("a2b", "b2b", "b2b", "zebras", "zebras"),
        # the translator's x is then the user's B, which the data calls the source
        ("b2a", "a2b", "b2a", "horses", "zebras"),
        ("b2a", "a2a", "b2b", "horses", "horses"),
    ],
)
def test_a_direction_goes_from_side_to_side(asked, export, direction, source, target):
    spec = describe(made(asked), export)
    assert (spec.direction, spec.source.name, spec.target.name) == (direction, source, target)
    assert spec.domains == ()
    assert spec.recipe["channels"] == [1, 3]
    assert [spec.recipe["settings"][place] for place in ("a", "b", "attributes")] == ["horses", "zebras", "t.csv"]


def test_a_network_for_any_domain_names_them():
    run = made(domains=["rain", "shine"])
    spec = describe(run, "any")
    assert (spec.direction, spec.domains, spec.attributes) == ("any", ("rain", "shine"), False)
    assert spec.source == spec.target
    run.hyperparameters["attributes"] = True
    assert describe(run, "any").attributes


def test_the_penalty_on_weights_is_in_the_gradient():
    """Adam's first step is the learning rate times minus the gradient's sign; here the decay is the only gradient."""
    net = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, -3.0]]))
    player = Player(net, lambda v: {"none": 0 * net.weight.sum()}, lr=0.5, weight_decay=0.1)
    Move(player)({}, nullcontext)
    assert net.weight.detach().flatten().tolist() == pytest.approx([1.5, -2.5], rel=1e-6)
