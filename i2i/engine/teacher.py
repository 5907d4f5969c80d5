"""A teacher: a translator whose results are the pairs that another one learns from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.engine.run_folder import Run, read_json
from i2i.engine.settings import Settings
from i2i.engine.weights import is_ours, load_generators
from i2i.networks import cost, per_image
from i2i.networks.resnet import ResNet
from i2i.runtime.model import macs, targets
from i2i.runtime.model.loading import load
from i2i.runtime.model.model import Model
from i2i.runtime.processing import from_tensor, stored, to_tensor
from i2i.spec import TRANSLATOR, Domain, Spec
from i2i.text import printable
from i2i.translators import Translator, translator_class
from i2i.translators.distill import Distill
from i2i.translators.distill import Teacher as Networks


@dataclass
class Teacher:
    """A finished translator: a run, whose networks PyTorch runs, or an ONNX file, which the runtime runs.

    Raises ValueError (ModelError is one) where it is no translator of images that keeps their size.
    """

    path: Path
    spec: Spec
    net: nn.Module | None
    """The network of a run: x [n, c, h, w] in [-1, 1] to y."""
    model: Model | None
    critic: nn.Module | None

    @classmethod
    def open(cls, path: Path, to: str | None) -> Teacher:
        """Open a run's folder, one of its files of weights, or an ONNX file; ``to`` is a direction or a domain."""
        if not path.exists():
            raise ValueError(f"teacher is {path}: no such file or folder; expected a run's folder or an ONNX file")
        if not (path.is_dir() or is_ours(path)):
            model = load(path, to=to)
            if not isinstance(model, Model):
                raise targets.wrong_kind(model.spec.kind, printable(path))
            _check(model.spec, path)
            return cls(path, model.spec, None, model, None)
        generators = load_generators(path)
        direction = targets.choose({name: spec for name, (_, spec) in generators.items()}, to, printable(path))
        net, spec = generators[direction]
        _check(spec, path)
        names = targets.aim(spec, None if to == direction else to, printable(path))
        net = per_image(net).requires_grad_(False)
        if names is not None:
            net = ToOne(net, [float(name in names) for name in spec.domains])
        return cls(path, spec, net, None, _critic(path, spec))

    @property
    def target(self) -> Domain:
        """The domain of its results, as it names it."""
        return self.spec.target

    @property
    def ngf(self) -> int:
        """Filters of its first layer if it is a ResNet, whose maps a student can be compared with; else 0."""
        return self.net.tapped[1] // 2 if isinstance(self.net, ResNet) else 0

    def to(self, device: torch.device, dtype: torch.dtype) -> Teacher:
        """Move its networks; return it."""
        for net in (self.net, self.critic):
            if net is not None:
                net.to(device, dtype)
        return self

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Return its results for x, [n, c, h, w] in [-1, 1]."""
        if self.net is not None:
            return self.net(x)
        assert self.model is not None
        source, target = self.spec.source, self.spec.target
        images = stored(from_tensor(x.float().cpu().numpy(), source), source)
        results = np.stack([np.atleast_3d(self.model(image)) for image in images])
        return torch.from_numpy(to_tensor(results.astype(np.float32), target)).to(x)

    def teach(self, translator: Translator) -> None:
        """Show its networks to a student that compares them with its own."""
        if isinstance(translator, Distill) and self.net is not None:
            translator.teacher = Networks(self.net, self.critic)

    def facts(self) -> dict[str, Any]:
        """Return what the description of a run and the student's Spec say of it."""
        files = [self.path]
        if self.path.is_dir():
            files = sorted((self.path / "weights").rglob("*.safetensors"))
        digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
        return {"name": self.path.name, "sha256": digest, "to": self.spec.target.name}

    def cost(self, device: torch.device) -> dict[str, float]:
        """Return its cost for an image of 256 pixels on this machine: as ``cost_of`` a student."""
        if self.net is not None:
            return cost_of(self.net, self.spec.source.channels, device)
        assert self.model is not None
        model, form = self.model, self.spec.form
        height, width = form.size if form is not None and form.size is not None else (cost.SIDE, cost.SIDE)
        image = np.zeros((height, width, self.spec.source.channels), self.spec.source.dtype)
        return {
            "macs": macs.count(self.path, self.spec, min(height, width)),
            "parameters": macs.parameters(self.path),
            "milliseconds": round(cost.milliseconds(lambda: model(image), torch.device("cpu")), 1),
        }


def cost_of(net: nn.Module, channels: int, device: torch.device) -> dict[str, float]:
    """Return ``macs``, ``parameters`` and ``milliseconds`` of a network for an image of 256 pixels on this machine."""
    x = torch.zeros(1, channels, cost.SIDE, cost.SIDE, device=device, dtype=next(net.parameters()).dtype)
    with torch.no_grad():
        took = cost.milliseconds(lambda: net(x), device)
    return {"macs": cost.macs(net, channels), "parameters": cost.parameters(net), "milliseconds": round(took, 1)}


def introduce(run: Run, teacher: Teacher, translator: Translator, device: torch.device) -> str:
    """Note the teacher, and what both networks cost, in the run's facts; return a line about them.

    Raises ValueError if the run was started with another teacher, or with a discriminator that it has lost.
    """
    found, noted = teacher.facts(), run.facts.get("teacher")
    if noted is None:
        (student,) = translator.exports().values()
        costs = cost_of(per_image(student), teacher.spec.source.channels, device)
        noted = found | {"critic": teacher.critic is not None, "on": device.type} | teacher.cost(device)
        run.facts["teacher"] = noted
        run.facts["student"] = {"on": device.type} | costs
    if noted["sha256"] != found["sha256"]:
        raise ValueError(
            f"{run.path} was started with another teacher than {teacher.path} is now; give the one it was started "
            "with, or start a new run with --from and another --out"
        )
    if noted.get("critic", teacher.critic is not None) != (teacher.critic is not None):
        raise ValueError(
            f"{run.path} was started {'with' if noted['critic'] else 'without'} the discriminator of the states in "
            f"{teacher.path / 'state'}, which {'are gone' if noted['critic'] else 'are there now'}; put them back as "
            "they were, or start a new run with --from and another --out"
        )
    ours = run.facts["student"]
    return f"teacher: {_shown(noted)}\nstudent: {_shown(ours)}, MACs 1/{noted['macs'] / ours['macs']:.3g}"


def _shown(costs: dict[str, Any]) -> str:
    took = f"{costs['milliseconds']:g} ms on {costs['on']}"
    return (
        f"{costs['macs'] / 1e9:.3g} G MACs, {costs['parameters'] / 1e6:.3g} M parameters, {took} for 256 x 256 pixels"
    )


class ToOne(nn.Module):
    """A network of several domains bound to one target."""

    target: Tensor

    def __init__(self, net: nn.Module, target: list[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("target", torch.tensor([target]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, self.target.to(x).expand(len(x), -1))


def _check(spec: Spec, path: Path) -> None:
    if spec.kind != TRANSLATOR:
        raise targets.wrong_kind(spec.kind, printable(path))
    if spec.style is not None or spec.scale != 1:
        what = "has a result for every style" if spec.style is not None else f"enlarges images {spec.scale} times"
        raise ValueError(f"{path} {what}; a student learns one result of the size of its image: give another --teacher")


def _critic(path: Path, spec: Spec) -> nn.Module | None:
    """Return the discriminator of a direction's results from a run's newest state; None where there is none."""
    if not path.is_dir() or not any((path / "state").glob("[0-9]*.pt")):
        return None
    facts = read_json(path / "run.json")
    run = Run(path, Settings.from_dict(facts["settings"]), facts["hyperparameters"], facts)
    export = spec.direction
    if run.settings.direction == "b2a":
        export = export.translate(str.maketrans("ab", "ba"))
    translator = translator_class(spec.method)(*spec.recipe["channels"], **spec.recipe["hyperparameters"])
    if export not in translator.critics():
        return None
    state = run.newest_state()
    assert state is not None  # there is a file, and one that cannot be read raises
    translator.load_state_dict(translator.state_dict() | state["game"]["translator"])
    return per_image(translator.critics()[export]).requires_grad_(False)
