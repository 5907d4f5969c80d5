"""A generator as a function of seeds and of z: pixels by hand, classes, codes, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.runtime import Generator, Model, ModelError, NonFiniteError
from i2i.runtime.errors import TooLargeError
from i2i.runtime.model import drawing
from i2i.sampling import latent
from i2i.spec import Domain, Mean, Prior
from tests import tiny

LABELS = ("cat", "dog", "owl")
KINDS = replace(tiny.SHAPES, domains=LABELS)
TRAITS = replace(tiny.SHAPES, domains=LABELS, attributes=True)


def close(got: np.ndarray, want: np.ndarray) -> bool:
    return got.shape == want.shape and bool(np.abs(got.astype(float) - want).max() <= 0.51)


@pytest.fixture
def shapes(tmp_path: Path) -> Generator:
    found = i2i.load(tiny.draws(tmp_path / "shapes.onnx"), "cpu")
    assert isinstance(found, Generator)
    return found


def test_the_images_of_seeds(shapes: Generator) -> None:
    images = shapes.sample(4, seed=3)
    assert (images.dtype, images.shape) == (np.uint8, (4, 6, 5, 3))
    for image, z in zip(images, latent(tiny.PRIOR, range(3, 7)), strict=True):
        assert close(image, tiny.drawn(z))
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4
    assert (shapes.provider, shapes.on_cpu, shapes.name, shapes.to) == ("cpu", True, "shapes", None)
    assert repr(shapes) == "<i2i generator shapes.onnx: noise -> shapes on cpu>"


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_does_not_depend_on_the_others(tmp_path: Path, threads: int) -> None:
    generator = Generator(tiny.draws(tmp_path / "m.onnx"), "cpu", threads)
    many = generator.sample(20)
    assert np.array_equal(generator.sample(20), many)
    for seed in (0, 5, 19):
        assert np.array_equal(generator.sample(1, seed=seed)[0], many[seed])


def test_on_a_card_all_batches_have_one_size(shapes: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its kernels, and with them the last bit, are the same for any number of images."""
    want, seen, run = shapes.sample(20), [], shapes._drawing._session.run
    monkeypatch.setattr(shapes._drawing, "batch", 16)
    monkeypatch.setattr(shapes._drawing, "on_cpu", False)
    monkeypatch.setattr(
        shapes._drawing._session, "run", lambda feeds, output: seen.append(len(feeds["z"])) or run(feeds, output)
    )
    assert np.array_equal(shapes.sample(20), want)
    assert np.array_equal(shapes.sample(1, seed=19)[0], want[19])
    assert seen == [16, 16, 16]


def test_a_batch_beyond_the_memory_is_drawn_one_by_one(shapes: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    want, run = shapes.sample(5), shapes._drawing._session.run

    def only_one(feeds, output):  # type: ignore[no-untyped-def]
        if len(feeds["z"]) > 1:
            raise TooLargeError("out of memory")
        return run(feeds, output)

    monkeypatch.setattr(shapes._drawing, "batch", 16)
    monkeypatch.setattr(shapes._drawing._session, "run", only_one)
    assert np.array_equal(shapes.sample(5), want)


def test_z_itself(shapes: Generator) -> None:
    z = np.linspace(-2, 2, 2 * tiny.PRIOR.length).reshape(2, -1)
    images = shapes(z)
    assert close(images[0], tiny.drawn(z[0]))
    assert close(images[1], tiny.drawn(z[1]))
    assert np.array_equal(shapes(z[1]), images[1])
    assert np.array_equal(shapes(z[1].tolist()), images[1])
    assert np.array_equal(shapes(shapes.latent(3, 7)), shapes.sample(3, seed=7))
    assert np.array_equal(np.stack(list(shapes.draw(z))), images)


@pytest.mark.parametrize(
    "z",
    [
        np.zeros((2, 7), np.float32), np.zeros((0, 8), np.float32), np.zeros((28, 28, 3), np.uint8),
        np.zeros((1, 2, 8), np.float32), np.zeros(9), ["z"] * 8,
    ],
    ids=["short", "none", "image", "deep", "long", "text"],
)  # fmt: skip
def test_a_z_of_another_form_is_refused(shapes: Generator, z: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"^shapes.onnx is a generator: it takes no image but z, float32 \[n, 8\], "):
        shapes(z)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 0}, "^n is 0; expected at least 1 image$"),
        ({"seed": -1}, "^seed is -1; expected 0 to 4294967295$"),
        ({"n": 2, "seed": 2**32 - 1}, "^seed is 4294967295 to 4294967296; expected 0 to 4294967295$"),
        ({"codes": {"size": 1}}, r"^no code 'size'; this model has digit \(0 to 2\), slant \(-1 to 1\)$"),
        ({"mean": "cat"}, "^this generator has no means of labels"),
        ({"truncate": 0}, "^truncate is 0; expected"),
        ({"to": "cat"}, r"shapes.onnx does not generate 'cat'; it generates shapes \(generate\)$"),
    ],
)
def test_wrong_arguments(shapes: Generator, given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        shapes.sample(**given)  # type: ignore[arg-type]


def test_codes_and_truncation(shapes: Generator) -> None:
    z = latent(tiny.PRIOR, range(6), 0.5)
    z[:, 4:] = [0, 1, 0, -1]
    images = shapes.sample(6, codes={"digit": 1, "slant": -1}, truncate=0.5)
    assert all(close(image, tiny.drawn(row)) for image, row in zip(images, z, strict=True))


def test_around_a_sum_of_means(tmp_path: Path) -> None:
    means = tuple(Mean(name, tuple(0.5 * np.eye(8)[at])) for at, name in enumerate(("smiling-woman", "calm-woman")))
    spec = replace(tiny.SHAPES, prior=replace(tiny.PRIOR, codes=(), noise=8, means=means))
    generator = Generator(tiny.draws(tmp_path / "m.onnx", spec), "cpu")
    centre = np.array([0.5, -0.5, *[0] * 6])
    (image,) = generator.sample(1, mean="smiling-woman - calm-woman", spread=0)
    assert close(image, tiny.drawn(centre, spec))
    (image,) = generator.sample(1, seed=4, mean="smiling-woman - calm-woman", spread=0.25)
    assert close(image, tiny.drawn(centre + 0.25 * latent(spec.prior, [4])[0], spec))
    with pytest.raises(ValueError, match=r"^spread is -1; expected a number from 0 on"):
        generator.sample(1, mean="calm-woman", spread=-1)


def test_what_a_sentence_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prior = replace(tiny.PRIOR, vocabulary=("house", "red"), words=3)
    generator = Generator(tiny.draws(tmp_path / "m.onnx", replace(tiny.SHAPES, prior=prior)), "cpu")
    z = generator.latent(1, 2)
    (image,) = generator.sample(1, seed=2, text="A red castle!")
    assert close(image, tiny.drawn(z[0], step=1 + 3 + 1))  # the sum of the ids: red is 3, other words 1
    assert "unknown to this generator, which learned 2 words: a, castle" in caplog.text
    bound = pickle.loads(pickle.dumps(generator.saying("red house")))
    assert bound.text == "red house"
    assert close(bound(z)[0], tiny.drawn(z[0], step=3 + 2))
    with pytest.raises(ModelError, match="draws what a sentence says; give a text"):
        generator(z)
    with pytest.raises(ValueError, match="takes no text"):
        Generator(tiny.draws(tmp_path / "plain.onnx"), "cpu").saying("red")


def test_each_class_by_its_name(tmp_path: Path) -> None:
    generator = Generator(tiny.draws(tmp_path / "m.onnx", KINDS), "cpu")
    z = latent(tiny.PRIOR, [2])[0]
    for index, name in enumerate(LABELS):
        want = tiny.drawn(z, KINDS, 10 * (1 + index))
        assert close(generator.sample(1, seed=2, to=name)[0], want)
        assert close(generator.toward(name).sample(3)[2], want)
        assert close(generator(z, to=name), want)
        assert generator.toward(name).name == f"m-{name}"
    assert "noise -> dog on cpu" in repr(generator.toward("dog"))
    with pytest.raises(ModelError, match=r"m.onnx: a domain is missing: choose one of cat, dog, owl"):
        generator.sample()
    with pytest.raises(ModelError, match=r"m.onnx does not generate 'cow'; it generates cat, dog, owl$"):
        generator.sample(to="cow")


def test_attributes_together(tmp_path: Path) -> None:
    generator = i2i.load(tiny.draws(tmp_path / "m.onnx", TRAITS), "cpu", to="owl,cat")
    z = latent(tiny.PRIOR, [0])[0]
    assert close(generator.sample()[0], tiny.drawn(z, TRAITS, 1 + 4))
    assert close(generator.sample(to=[])[0], tiny.drawn(z, TRAITS))
    assert close(generator.sample(to=["dog"])[0], tiny.drawn(z, TRAITS, 2))


@pytest.mark.parametrize("domain", [Domain("scan", 1, 16), Domain("photo", 4)], ids=["16 bits", "alpha"])
def test_other_forms_of_images(tmp_path: Path, domain: Domain) -> None:
    spec = replace(tiny.SHAPES, source=domain, target=domain)
    image = Generator(tiny.draws(tmp_path / "m.onnx", spec), "cpu").sample()[0]
    assert image.dtype == (np.uint16 if domain.bits == 16 else np.uint8)
    assert close(image, tiny.drawn(latent(tiny.PRIOR, [0])[0], spec))


def test_a_bare_network(tmp_path: Path) -> None:
    generator = Generator(tiny.draws(tmp_path / "m.onnx", replace(tiny.SHAPES, io="tensor")), "cpu")
    images = generator.sample(3)
    assert images.dtype == np.uint8
    assert all(close(image, tiny.drawn(z)) for image, z in zip(images, latent(tiny.PRIOR, range(3)), strict=True))


def test_an_image_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    board = (255 * ((np.arange(6)[:, None] + np.arange(5)) % 2)).astype(np.float32)
    spec = replace(tiny.SHAPES, prior=Prior(1, (6, 5)), source=Domain("x", 1), target=Domain("x", 1))
    nodes = [
        tiny.helper.make_node("Unsqueeze", ["z", "axes"], ["wide"]),
        tiny.helper.make_node("Mul", ["wide", "zero"], ["nothing"]),
        tiny.helper.make_node("Add", ["nothing", "board"], ["sum"]),
        tiny.helper.make_node("Cast", ["sum"], ["y"], to=tiny.NUMBERS["uint8"]),
    ]
    constants = {"axes": np.array([2, 3]), "zero": np.zeros((), np.float32), "board": board[None, ..., None]}
    ends = [("z", "float32", ["n", 1])], [("y", "uint8", ["n", 6, 5, 1])]
    generator = Generator(tiny.write(tmp_path / "m.onnx", nodes, spec, constants, *ends), "cpu")
    with pytest.raises(NonFiniteError):
        generator.sample()


def test_copies_and_pickles_draw_the_same(shapes: Generator) -> None:
    for other in (copy.copy(shapes), copy.deepcopy(shapes), pickle.loads(pickle.dumps(shapes))):
        assert np.array_equal(other.sample(2), shapes.sample(2))
    assert copy.copy(shapes)._drawing is shapes._drawing


def test_a_bound_generator_stays_bound_in_a_pickle(tmp_path: Path) -> None:
    dogs = Generator(tiny.draws(tmp_path / "m.onnx", KINDS), "cpu").toward("dog")
    other = pickle.loads(pickle.dumps(dogs))
    assert other.to == ("dog",)
    assert np.array_equal(other.sample(), dogs.sample())


def test_each_kind_of_model_says_what_to_use_for_the_other(tmp_path: Path) -> None:
    shapes, negative = tiny.draws(tmp_path / "shapes.onnx"), tiny.inverter(tmp_path / "negative.onnx")
    image = np.zeros((8, 8, 3), np.uint8)
    generator, model = i2i.load(shapes, "cpu"), i2i.load(negative, "cpu")
    assert (type(generator), type(model)) == (Generator, Model)
    words = "shapes.onnx is a generator, which takes no image: use `i2i generate .*shapes.onnx` "
    for call in (
        lambda: Model(shapes), lambda: i2i.translate(image, model=shapes),
        lambda: i2i.translate(image, model=generator), lambda: i2i.translate(image, model=generator, to="x"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=words):
            call()
    with pytest.raises(ModelError, match=r"shapes.onnx is a generator: it takes no image but z"):
        generator(image)
    words = "negative.onnx is a translator, which takes images: use `i2i translate IMAGES -m .*negative.onnx` "
    for call in (
        lambda: model.sample(4),
        lambda: Generator(negative),
        lambda: i2i.generate(negative),
        lambda: i2i.generate(model),
    ):
        with pytest.raises(ModelError, match=words):
            call()
    for given in (shapes, generator):
        with pytest.raises(i2i.DataError, match=r"is a generator, .* then `i2i evaluate --real REAL --fake DIR`$"):
            i2i.evaluate(given, data=tmp_path)
    with pytest.raises(ValueError, match="options of a third-party model"):
        i2i.load(shapes, order="bgr")
    with pytest.raises(ValueError, match="threads is 0; expected at least 1"):
        Generator(shapes, threads=0)


def test_a_file_that_is_not_as_it_says_is_refused(tmp_path: Path) -> None:
    path = tiny.draws(tmp_path / "m.onnx")
    wrong = replace(tiny.SHAPES, prior=Prior(9, (6, 5)))
    model = tiny.onnx.load(path)
    tiny.helper.set_model_props(model, {tiny.METADATA_KEY: wrong.to_json()})
    tiny.onnx.save(model, path)
    with pytest.raises(ModelError, match=r"promises float32 \[N, 9\] to uint8 \[N, 6, 5, 3\] .* the model expects 'z'"):
        Generator(path)


def test_results_keep_their_order_and_few_wait(shapes: Generator) -> None:
    """A long walk must not be drawn into memory as a whole."""
    begun: list[int] = []

    def work(part: np.ndarray) -> np.ndarray:
        begun.append(int(part[0, 0]))
        return part

    parts = [np.full((1, 1), number, np.float32) for number in range(200)]
    results = drawing.in_order(work, parts, 4)
    assert next(results)[0, 0] == 0
    assert len(begun) <= 9
    assert [int(result[0, 0]) for result in results] == list(range(1, 200))


def test_the_names_of_results(tmp_path: Path) -> None:
    run = tmp_path / "dcgan faces"
    tiny.draws(run / "onnx" / "generate.onnx", KINDS)
    assert Generator(run / "onnx" / "generate.onnx", "cpu").name == "generate"  # a folder like any other
    (run / "run.json").write_text("{}")
    assert Generator(run / "onnx" / "generate.onnx", "cpu").toward("owl").name == "dcgan-faces-owl"
    half = tiny.draws(tmp_path / "m.fp16.onnx", replace(TRAITS, precision="fp16"))
    assert Generator(half, "cpu").toward([]).name == "m-none"
