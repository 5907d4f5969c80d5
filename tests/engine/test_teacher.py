"""A translator that learns the results of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import i2i
from i2i.engine.distributed import World
from i2i.engine.prepare import describe_data, open_data
from i2i.engine.run_folder import Run
from i2i.engine.teacher import Teacher
from i2i.engine.train_state import TrainState
from i2i.engine.weights import load_generators
from i2i.networks import cost
from i2i.networks.mobile_resnet import MobileResNet
from i2i.networks.resnet import ResNet
from i2i.runtime.adapters import annotate
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import macs
from i2i.translators import translator_class
from tests.runtime.adapters import models

SMALL = {"generator": "resnet_2", "ngf": 4}
TINY = {"size": 32, "precision": "fp32", "sample_every": 0, "workers": 0, "cache": "off", "quiet": True}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in "ab":
        for number in range(4):
            (folder / name).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / name / f"{number}.png"), rng.integers(0, 256, (40, 48, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def teacher(photos: Path) -> Path:
    options: Any = {**SMALL, "ndf": 4, "discriminator": "patch_1"}
    run = i2i.train("cyclegan", a=photos / "a", b=photos / "b", out=photos / "teacher", steps=2, **TINY, **options)
    i2i.export(run)
    return run


def student(teacher: Path, photos: Path, out: Path, steps: int = 3, **options: Any) -> Path:
    return i2i.train("distill", teacher=teacher, a=photos / "a", out=out, steps=steps, **{**TINY, **SMALL, **options})


def losses(run: Path) -> list[dict[str, float]]:
    """Return the terms of each line of the log, by name."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "/" in name} for line in lines if "step" in line]


def terms(run: Path) -> set[str]:
    return set(losses(run)[-1])


def test_a_student_of_a_run_learns_from_its_networks(teacher: Path, photos: Path, tmp_path: Path) -> None:
    run = student(teacher, photos, tmp_path / "s", generator="mobile_resnet_2", ngf=2, log_every=1)
    assert terms(run) == {"G/l1", "G/ssim", "G/critic", "G/statistics"}
    spec = read_spec(i2i.export(run))
    assert spec is not None
    assert (spec.source.name, spec.target.name) == ("a", "b")
    assert spec.recipe["teacher"]["name"] == "teacher"
    assert 1 < spec.recipe["teacher"]["macs"] / spec.recipe["student"]["macs"] < 10


def test_a_student_of_an_exported_file_learns_its_pixels(teacher: Path, photos: Path, tmp_path: Path) -> None:
    run = student(teacher / "onnx" / "a2b.onnx", photos, tmp_path / "s", log_every=1)
    assert terms(run) == {"G/l1", "G/ssim"}


def test_a_paired_method_learns_from_a_teacher_too(teacher: Path, photos: Path, tmp_path: Path) -> None:
    options: Any = {**TINY, "generator": "resnet_1", "ngf": 2, "ndf": 2, "discriminator": "patch_1"}
    run = i2i.train("pix2pix", teacher=teacher, data=photos / "a", out=tmp_path / "s", steps=1, log_every=1, **options)
    assert terms(run) == {"D/gan", "G/gan", "G/l1"}


@pytest.mark.parametrize("direction", ["a2b", pytest.param("b2a", marks=pytest.mark.slow)])
def test_a_teacher_answers_as_its_file_does(teacher: Path, direction: str) -> None:
    """A run in PyTorch, its file in the runtime: the same pixels, and the discriminator of that direction."""
    i2i.export(teacher, to=direction)
    x = torch.rand(2, 3, 24, 36) * 2 - 1
    x = ((x + 1) * 127.5).round() / 127.5 - 1
    run, file = Teacher.open(teacher, direction), Teacher.open(teacher / "onnx" / f"{direction}.onnx", None)
    assert torch.allclose(run(x), file(x), atol=1.01 / 127.5)
    assert run.critic is not None
    assert file.critic is None
    state = torch.load(max((teacher / "state").glob("*.pt")), weights_only=False)["game"]["translator"]
    wanted = state["D_Y.model.0.weight" if direction == "a2b" else "D_X.model.0.weight"]
    assert torch.equal(dict(run.critic.named_parameters())["model.0.weight"], wanted)


def test_a_teacher_answers_once_in_a_step(
    teacher: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"teacher": str(teacher), "a": str(photos / "a"), **TINY, **SMALL}
    run = Run.open("distill", tmp_path / "run", {name: value for name, value in given.items() if name != "quiet"})
    describe_data(run, open_data(run.settings))
    game, answer, asked = TrainState(run, World()), Teacher.__call__, []
    monkeypatch.setattr(Teacher, "__call__", lambda self, x: (asked.append(1), answer(self, x))[1])
    game.step(game.moved({"x": torch.zeros(1, 3, 32, 32)}), 0, 1.0)  # as the loop does on a GPU
    assert len(asked) == 1


def test_what_a_student_learns_within_its_teacher_by_hand(teacher: Path, photos: Path, tmp_path: Path) -> None:
    given = {"teacher": str(teacher), "a": str(photos / "a"), **TINY, "generator": "mobile_resnet_2", "ngf": 2}
    given |= {"lambda_critic": 2.0, "lambda_statistics": 3.0}
    run = Run.open("distill", tmp_path / "run", {name: value for name, value in given.items() if name != "quiet"})
    describe_data(run, open_data(run.settings))
    game = TrainState(run, World())
    student: Any = game.translator
    maps: dict[Any, list[torch.Tensor]] = {}

    def keep(module: Any, _given: Any, result: torch.Tensor) -> None:
        maps.setdefault(module, []).append(result.detach().clone())

    nets = student.G, student.teacher.generator
    tapped = [[net.down[0][0], net.down[1][0], net.blocks[0], net.blocks[1]] for net in nets]
    critic = [module for module in student.teacher.critic.modules() if isinstance(module, torch.nn.LeakyReLU)]
    for module in (*tapped[0], *tapped[1], *critic):
        module.register_forward_hook(keep)
    terms = student.loss(student(game.here({"x": torch.rand(2, 3, 32, 32) * 2 - 1})))

    far = [(one - other).abs().mean().item() for one, other in (maps[module] for module in critic)]
    assert len(far) == 2
    assert terms["critic"].item() == pytest.approx(2 * sum(far), rel=1e-5)

    def both(map: torch.Tensor) -> torch.Tensor:
        deviations = (map.square().mean((2, 3)) - map.mean((2, 3)).square() + 1e-6).sqrt()
        return torch.cat([map.mean((2, 3)), deviations], 1)

    squares = [
        (W(both(maps[ours][0])) - both(maps[theirs][0])).square().mean().item()
        for W, ours, theirs in zip(student.W, *tapped, strict=True)
    ]
    assert terms["statistics"].item() == pytest.approx(3 * sum(squares), rel=1e-5)
    assert min(*far, *squares) > 0


@pytest.mark.parametrize("generator", ["unet_32", "mobile_resnet_1", "resnet_1", "drunet_1"])
def test_a_student_drops_nothing_out(generator: str) -> None:
    """pix2pix's noise is no part of what a teacher, whose results are fixed, can teach."""
    net = translator_class("distill")(generator=generator, ngf=2, norm="none").exports()["a2b"]
    assert not [module for module in net.modules() if isinstance(module, torch.nn.Dropout)]


def test_the_student_comes_to_its_teacher(teacher: Path, photos: Path, tmp_path: Path) -> None:
    """From the teacher's own weights there is nothing to learn; from random ones, the loss falls."""
    run = student(teacher, photos, tmp_path / "same", 1, from_=teacher, log_every=1, ema=0.0, upsample="deconv")
    assert all(losses(run)[0][f"G/{term}"] < 1e-4 for term in ("l1", "ssim", "critic"))
    run = student(teacher, photos, tmp_path / "new", steps=60, log_every=10, lr=2e-3)
    assert losses(run)[-1]["G/l1"] < 0.8 * losses(run)[0]["G/l1"]


def test_a_student_of_a_third_party_model_of_floats_has_the_bits_of_its_images(photos: Path, tmp_path: Path) -> None:
    file, source = tmp_path / "negative.onnx", models.mirror(tmp_path / "plain.onnx", 1)
    annotate.write(source, file, i2i.load(source, "cpu", range="0..1", order="rgb").spec)
    run = student(file, photos, tmp_path / "s", 20, log_every=10, residual=True, norm="none", lambda_ssim=0.0)
    spec = load_generators(run)["a2b"][1]
    assert (spec.source.bits, spec.target.bits, spec.dtype) == (8, 8, "uint8")
    assert losses(run)[-1]["G/l1"] < losses(run)[0]["G/l1"]  # the scale of both is the same


def test_it_resumes_with_the_same_teacher_only(teacher: Path, photos: Path, tmp_path: Path) -> None:
    run = student(teacher, photos, tmp_path / "s", steps=4, save_every=2)
    wanted = load_generators(run)["a2b"][0].state_dict()

    def back_to_step_2(**changes: Any) -> None:
        (run / "state" / "000000004.pt").unlink(missing_ok=True)
        facts = json.loads((run / "run.json").read_text()) | {"status": "running", "step": 2}
        facts["teacher"] |= changes
        (run / "run.json").write_text(json.dumps(facts))

    back_to_step_2()
    student(teacher, photos, run, steps=4)
    again = load_generators(run)["a2b"][0].state_dict()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)
    back_to_step_2(critic=False)
    with pytest.raises(ValueError, match=r"started without the discriminator of the states in .*, which are there now"):
        student(teacher, photos, run, steps=4)
    back_to_step_2(sha256="0")
    with pytest.raises(ValueError, match=r"started with another teacher than .* is now"):
        student(teacher, photos, run, steps=4)


def test_costs_are_counted_alike_in_pytorch_and_in_the_file(teacher: Path) -> None:
    net = load_generators(teacher)["a2b"][0]
    file = teacher / "onnx" / "a2b.onnx"
    spec = read_spec(file)
    assert spec is not None
    assert macs.count(file, spec, cost.SIDE) == cost.macs(net, 3)
    assert cost.parameters(net) == sum(p.numel() for p in net.parameters())
    assert 0 <= macs.parameters(file) - cost.parameters(net) < 300  # constants of the pixel graph
    # by hand: 7 x 7 from 3 to 8 filters at 256 pixels, and the block at a quarter of that
    wide, slim = (make(3, 3, blocks=1, ngf=8) for make in (ResNet, MobileResNet))
    block = 64 * 64 * 2 * (32 * 32 * 9 - 32 * 9 - 32 * 32)
    assert cost.macs(wide, 3) - cost.macs(slim, 3) == block


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": "nowhere"}, "teacher is .*nowhere: no such file or folder"),
        ({"method": "cyclegan"}, "cyclegan does not learn from pairs, which a teacher makes"),
        ({"b": "b"}, "a teacher makes the second domain itself"),
        (
            {"derive": "jpeg:20"},
            "--derive says how folders make data, and a teacher makes the pairs here",
        ),
        ({"mask": "masks"}, "--mask says how folders make data"),
        ({"teacher_to": "zebra"}, "does not translate to 'zebra'"),
        ({"channels": "1"}, "the teacher takes 8-bit RGB; leave out"),
        ({"teacher": None, "teacher_to": "b"}, "there is no teacher; give --teacher as well"),
        ({"lambda_statistics": -1.0}, "cannot be negative"),
    ],
)
def test_what_does_not_go_with_a_teacher(
    teacher: Path, photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given: Any = {"method": "distill", "teacher": teacher, "a": photos / "a"} | options
    given |= {"b": photos / "b"} if "b" in options else {}
    if given["teacher"] == "nowhere":
        given["teacher"] = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=message):
        i2i.train(given.pop("method"), out=tmp_path / "s", steps=1, **given, **TINY)


def test_the_command(i2i_inside: Any, teacher: Path, photos: Path, tmp_path: Path) -> None:
    options = ["--size", 32, "--steps", 1, "--sample-every", 0, "--cache", "off", "--quiet"]
    command = ["distill", teacher, "--a", photos / "b", "--to", "b2a", "--width", 3, "--full", "--blocks", 1, *options]
    done = i2i_inside(*command, "--out", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    spec = load_generators(tmp_path / "s")["a2b"][1]
    assert (spec.source.name, spec.target.name) == ("b", "a")
    assert spec.recipe["hyperparameters"].items() >= {"generator": "resnet_1", "ngf": 3, "teacher_ngf": 4}.items()


@pytest.mark.parametrize(
    "command",
    [
        ["distill", "painting", "--width", 2, "--blocks", 1],
        ["train", "distill", "--teacher", "painting", "--set", "ngf=2", "--set", "generator=mobile_resnet_1"],
    ],
)
def test_a_model_that_comes_with_i2i_teaches(i2i_inside: Any, photos: Path, tmp_path: Path, command: list[Any]) -> None:
    options = ["--size", 32, "--steps", 1, "--sample-every", 0, "--cache", "off"]
    done = i2i_inside(*command, "--a", photos / "a", *options, "--out", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert load_generators(tmp_path / "s")["a2b"][1].recipe["teacher"]["name"] == "painting.onnx"
