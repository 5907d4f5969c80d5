"""Models with styles: a seed, an example image or numbers, wherever they can be given."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import i2i
from i2i.images import Image, ImageError, read_image, write_image
from i2i.runtime import Model, ModelError, Options, translate_folder
from i2i.runtime.jobs.folder import MixedError, job_key
from i2i.runtime.model import catalog
from i2i.sampling import latent
from i2i.spec import Prior, Spec
from tests import tiny

GREY = np.full((4, 5, 3), 100, np.uint8)
NIGHT = np.zeros((6, 4, 3), np.uint8) + np.array([10, 20, 30], np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return i2i.load(tiny.styled(tmp_path / "m.onnx"), "cpu", threads=1)


def of_seed(seed: int) -> np.ndarray:
    """The result for GREY, by hand."""
    return np.broadcast_to(np.rint(100 + 10 * latent(Prior(3, (0, 0)), [seed])[0]).astype(np.uint8), GREY.shape)


def test_a_seed_draws_the_style_of_every_image_and_without_one_it_is_seed_0(model: Model) -> None:
    assert (model(GREY) == of_seed(0)).all()
    assert (model.styled()(GREY) == of_seed(0)).all()
    for seed in (0, 3, 2**32 - 1):
        bound = model.styled(seed=seed)
        assert (bound(GREY) == of_seed(seed)).all()
        assert (bound(np.stack([GREY, GREY])) == of_seed(seed)).all()
    assert (of_seed(0) != of_seed(3)).any()


def test_an_example_gives_its_style_as_a_file_and_as_an_array(model: Model, tmp_path: Path) -> None:
    write_image(tmp_path / "an example.png", Image(NIGHT))
    wanted = GREY + NIGHT[0, 0]
    assert (model.styled(tmp_path / "an example.png")(GREY) == wanted).all()
    assert (model.styled(NIGHT)(GREY) == wanted).all()
    assert (i2i.translate(GREY, model=model, style=str(tmp_path / "an example.png")) == wanted).all()
    assert (model.styled(np.array([1.0, 2.0, 3.0]))(GREY) == wanted).all()
    assert model.styled(tmp_path / "an example.png").name == "m-like-an-example"


def test_a_large_example_is_reduced_and_has_the_same_mean(model: Model) -> None:
    large = np.tile(NIGHT[:1, :1], (3000, 40, 1))
    assert model.styled(large).style == model.styled(NIGHT).style


def test_names_say_the_style_that_was_chosen(model: Model) -> None:
    assert (model.name, model.styled(seed=3).name) == ("m", "m-seed3")


def test_the_binding_survives_copies_tiles_and_pickling(model: Model) -> None:
    bound = model.styled(seed=3)
    for other in (bound.tiled("off"), bound.toward(None), bound.for_many(), pickle.loads(pickle.dumps(bound))):
        assert (other(GREY) == of_seed(3)).all()
    assert (model(GREY) == of_seed(0)).all()


def test_translate_takes_a_seed(model: Model, tmp_path: Path) -> None:
    assert (i2i.translate(GREY, model=model, seed=3) == of_seed(3)).all()
    write_image(tmp_path / "photo.png", Image(GREY))
    path = i2i.translate(tmp_path / "photo.png", model=model.path, seed=3)
    assert path.name == "photo-m-seed3.png"
    assert (read_image(path).pixels == of_seed(3)).all()


def test_a_folder_has_one_style_and_its_journal_knows_it(model: Model, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        write_image(photos / f"{name}.png", Image(GREY))
    summary = translate_folder(model.styled(seed=3), photos, tmp_path / "out")
    assert summary.done == 2
    assert all((read_image(tmp_path / "out" / f"{name}.png").pixels == of_seed(3)).all() for name in "ab")
    assert translate_folder(model.styled(seed=3), photos, tmp_path / "out").skipped == 2
    with pytest.raises(MixedError, match="style was seed3 and is seed4"):
        translate_folder(model.styled(seed=4), photos, tmp_path / "out")
    options = Options()
    assert job_key(model, options) == job_key(model.styled(seed=0), options) != job_key(model.styled(seed=1), options)


def test_an_older_file_without_its_encoder_says_what_is_missing(model: Model, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "m.onnx"
    other.parent.mkdir()
    shutil.copy(model.path, other)
    alone = i2i.load(other, "cpu")
    assert (alone.styled(seed=3)(GREY) == of_seed(3)).all()
    with pytest.raises(ModelError, match=r"m\.style\.onnx is missing, .* or give a seed instead"):
        alone.styled(NIGHT)
    tiny.styled(tmp_path / "later.onnx", replace(tiny.STYLED, recipe={"step": 8}))
    shutil.copy(tmp_path / "later.style.onnx", other.with_name("m.style.onnx"))
    with pytest.raises(ModelError, match="of another training state: export the run again"):
        alone.styled(NIGHT)


def test_another_precision_uses_the_same_encoder(model: Model, tmp_path: Path) -> None:
    tiny.styled(tmp_path / "half.onnx", replace(tiny.STYLED, precision="fp16"))
    (tmp_path / "half.onnx").rename(tmp_path / "m.fp16.onnx")
    half = i2i.load(tmp_path / "m.fp16.onnx", "cpu")
    assert half.styled(NIGHT).style == model.styled(NIGHT).style
    assert half.name == "m"


def test_wrong_styles_are_refused_in_a_sentence(model: Model, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    wrong: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
        ({"style": NIGHT, "seed": 3}, ValueError, "give one of them"),
        ({"seed": -1}, ValueError, "seed is -1; expected 0 to 4294967295"),
        ({"style": np.zeros(8)}, ModelError, r"is 3 finite numbers, float32 \[3\], and these are float64 \[8\]"),
        ({"style": np.full(3, np.nan)}, ModelError, "finite numbers"),
        ({"style": np.stack([NIGHT, NIGHT])}, ModelError, "from one image, and these are 2"),
        ({"style": tmp_path / "text.jpg"}, ImageError, "text.jpg"),
    )
    for given, error, said in wrong:
        with pytest.raises(error, match=said):
            model.styled(**given)
    plain = i2i.load(tiny.inverter(tmp_path / "plain.onnx"), "cpu")
    for seed, style in ((1, None), (None, NIGHT), (None, None)):
        with pytest.raises(ModelError, match=r"plain\.onnx has no styles"):
            plain.styled(style, seed=seed)
    with pytest.raises(ModelError, match="has no styles"):
        i2i.translate(GREY, model=plain, seed=1)


def test_an_encoder_is_no_translator_and_no_direction_of_a_run(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.style\.onnx is a style encoder, .* -m the translator beside it"):
        i2i.load(tmp_path / "m.style.onnx", "cpu")
    run = tmp_path / "runs" / "night"
    tiny.styled(run / "onnx" / "a2b.onnx")
    (run / "run.json").write_text('{"method": "munit", "status": "finished", "step": 7}')
    found = catalog.read_run(run)
    assert found is not None
    assert found.error is None
    assert list(found.directions) == ["a2b"]


def test_a_file_that_lacks_its_style_input_is_refused(tmp_path: Path) -> None:
    tiny.inverter(tmp_path / "m.onnx", tiny.STYLED)
    with pytest.raises(ModelError, match=r"promises uint8 \[N, H, W, 3\], float32 \[N, 3\] to uint8"):
        i2i.load(tmp_path / "m.onnx", "cpu")


def test_the_spec_of_a_style_survives_json_and_other_kinds_need_a_prior() -> None:
    spec = Spec.from_json(tiny.STYLED.to_json())
    assert spec == tiny.STYLED
    assert spec.style == Prior(3, (0, 0))
    assert not spec.generates
    for kind in ("generator", "style encoder"):
        with pytest.raises(ValueError, match=f"its kind is '{kind}', which needs a prior"):
            Spec.from_json(replace(tiny.RGB, kind=kind).to_json())
        assert Spec.from_json(replace(tiny.STYLED, kind=kind).to_json()).style is None


def test_an_example_is_not_seen_by_the_encoder_of_a_file_that_was_replaced(model: Model) -> None:
    tiny.styled(model.path)
    with pytest.raises(ModelError, match="has changed since it was opened"):
        model.styled(NIGHT)
    assert (model.styled(seed=3)(GREY) == of_seed(3)).all()
