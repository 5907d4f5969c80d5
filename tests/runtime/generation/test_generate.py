"""``i2i.generate``: files by seed, a contact sheet, a walk; where they go, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import i2i
from i2i.images import ImageError, read_image
from i2i.runtime.generation import outputs
from i2i.runtime.generation.walk import positions
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.model.generator import Generator
from i2i.sampling import latent
from i2i.spec import Domain
from tests import tiny

KINDS = replace(tiny.SHAPES, domains=("cat", "dog"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.draws(tmp_path / "shapes.onnx")


def frames(path: Path) -> tuple[list[np.ndarray], Fraction]:
    """Return the frames of a video as RGB, and its rate."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def test_files_are_named_by_their_seeds(model: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = i2i.generate(model, n=3, seed=999_998, progress=lambda done, total: seen.append((done, total)))
    assert out == model.parent / "generated"
    assert sorted(path.name for path in out.iterdir()) == ["1000000.png", "999998.png", "999999.png"]
    want = i2i.load(model).sample(3, seed=999_998)
    assert np.array_equal(read_image(out / "999999.png").pixels, want[1])
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert i2i.generate(model, model.parent / "new" / "folder", 1) == model.parent / "new" / "folder"
    assert (model.parent / "new" / "folder" / "000000.png").is_file()


def test_the_same_bytes_again_and_with_other_images(model: Path, tmp_path: Path) -> None:
    many, again, one = (i2i.generate(model, tmp_path / name, n) for name, n in (("a", 8), ("b", 8), ("c", 1)))
    i2i.generate(model, one, 1, seed=5)
    for path in many.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    assert (one / "000005.png").read_bytes() == (many / "000005.png").read_bytes()
    assert (one / "000000.png").read_bytes() == (many / "000000.png").read_bytes()


def test_the_default_place_is_beside_the_model_or_in_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "pets"
    tiny.draws(run / "onnx" / "generate.onnx", KINDS)
    (run / "run.json").write_text('{"method": "dcgan", "status": "finished", "step": 7}')
    monkeypatch.chdir(tmp_path)
    for given in (run, "pets", None, run / "onnx" / "generate.onnx"):
        out = i2i.generate(given, n=1, to="cat", overwrite=True)
        assert out.resolve() == run / "generated-cat"
    assert i2i.generate("pets", n=2, to="dog", grid=True).resolve() == run / "pets-dog.png"
    assert i2i.generate("pets", n=2, to="dog", walk=True, seconds=0.1).resolve() == run / "pets-dog.mp4"
    assert i2i.generate("pets", "sheets/", n=2, to="dog", grid=True) == Path("sheets/pets-dog.png")


def test_names_of_attributes_are_names_of_folders(tmp_path: Path) -> None:
    path = tiny.draws(tmp_path / "m.onnx", replace(tiny.SHAPES, domains=("wet/dry", "big hat"), attributes=True))
    for to, name in ((["wet/dry"], "wet-dry"), (["wet/dry", "big hat"], "wet-dry-big-hat"), ([], "none")):
        assert i2i.generate(path, n=1, to=to) == tmp_path / f"generated-{name}"


def test_existing_files_are_kept(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    i2i.generate(model, out, 1, seed=2)
    before = (out / "000002.png").read_bytes()
    with pytest.raises(ValueError, match=r"out/000002.png is there already; choose another name with --out, or --over"):
        i2i.generate(model, out, 4)
    assert [path.name for path in out.iterdir()] == ["000002.png"]  # refused before the first is written
    i2i.generate(model, out, 4, overwrite=True, codes={"digit": 1, "slant": 3})
    assert len(list(out.iterdir())) == 4
    assert (out / "000002.png").read_bytes() != before
    for form, name in (("grid", "sheet.png"), ("walk", "walk.mp4")):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ValueError, match=f"{name} is there already"):
            i2i.generate(model, tmp_path / name, 2, **{form: True})
        assert (tmp_path / name).read_text() == "mine"
        i2i.generate(model, tmp_path / name, 2, overwrite=True, **{form: True})
        assert (tmp_path / name).read_bytes()[:4] != b"mine"


def test_a_failure_leaves_no_half_file(model: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise StopError

    for form in ({"grid": True}, {"walk": True}):
        with pytest.raises(StopError):
            i2i.generate(model, tmp_path / "one.webm", 4, progress=stop, walk=True)
        with pytest.raises(StopError):
            i2i.generate(model, tmp_path / ("one.png" if "grid" in form else "one.mp4"), 4, progress=stop, **form)
    with pytest.raises(StopError):
        i2i.generate(model, tmp_path / "out", 4, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shapes.onnx"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.png", "000001.png"]


def test_a_full_disk_stops_it(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object) -> None:
        raise ImageError(path, "No space left on device") from OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_image", full)
    with pytest.raises(StoppedError, match="No space left on device: stopped here"):
        i2i.generate(model, tmp_path / "out", 4)


def test_what_a_killed_job_left_is_cleared_away(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / ".i2i-00000000-0123456789abcdef.part"
    left.write_bytes(b"half")
    i2i.generate(model, tmp_path / "out", 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000.png"]


def test_sixteen_bits_and_alpha_are_kept_in_files(tmp_path: Path) -> None:
    for domain in (Domain("scan", 1, 16), Domain("photo", 4)):
        path = tiny.draws(tmp_path / domain.name / "m.onnx", replace(tiny.SHAPES, source=domain, target=domain))
        image = read_image(i2i.generate(path, n=1) / "000000.png")
        (want,) = i2i.load(path).sample()
        assert image.bits == domain.bits
        assert np.array_equal(image.pixels, want[..., : 3 if domain.channels == 4 else 1])
        assert image.alpha is None or np.array_equal(image.alpha, want[..., 3])
        assert i2i.generate(path, n=2, grid=True).is_file()
        assert i2i.generate(path, n=2, walk=True, seconds=0.1).is_file()


def test_a_sheet_shows_every_seed_in_rows(model: Path, tmp_path: Path) -> None:
    page = read_image(i2i.generate(model, tmp_path / "sheet.png", 7, seed=3, grid=True)).pixels
    images = i2i.load(model).sample(7, seed=3)
    factor, gap = 32, 8  # 192 pixels of 6
    assert page.shape == (28 + 3 * (6 * factor + gap), 3 * 5 * factor + 4 * gap, 3)
    for number, image in enumerate(images):
        top, left = 28 + number // 3 * (6 * factor + gap), gap + number % 3 * (5 * factor + gap)
        assert np.array_equal(page[top : top + 6 * factor : factor, left : left + 5 * factor : factor], image)
    assert (page[-6 * factor :, 2 * (5 * factor + gap) :] == 255).all()  # two places are empty


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_a_walk_goes_from_seed_to_seed(model: Path, tmp_path: Path, suffix: str) -> None:
    path = i2i.generate(model, tmp_path / f"walk{suffix}", 3, walk=True, seconds=0.4, fps=10)
    shown, rate = frames(path)
    assert (len(shown), rate) == (9, 10)  # 4 frames from each seed to the next, and the last seed
    way = np.stack(list(positions(tiny.PRIOR, latent(tiny.PRIOR, range(3)), 4)))
    assert np.array_equal(way[[0, 4, 8]], latent(tiny.PRIOR, range(3)))
    for frame, image in zip(shown, i2i.load(model)(way), strict=True):
        assert frame.shape == (6 * 43, 5 * 43, 3)  # the least whole factor that makes 6 pixels 256
        seen = frame.reshape(6, 43, 5, 43, 3)[:, 8:-8, :, 8:-8].mean((1, 3))
        assert np.abs(seen - image).mean() < 12  # codecs are lossy, most of all in colour


def test_a_loaded_generator_and_what_it_is_bound_to(tmp_path: Path) -> None:
    dogs = Generator(tiny.draws(tmp_path / "m.onnx", KINDS), "cpu").toward("dog")
    assert i2i.generate(dogs, n=1) == tmp_path / "generated-dog"
    assert i2i.generate(dogs, n=1, to="cat") == tmp_path / "generated-cat"
    assert np.array_equal(read_image(tmp_path / "generated-dog" / "000000.png").pixels, dogs.sample()[0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 0}, "n is 0; expected at least 1"),
        ({"seed": 2**32}, "seed is 4294967296 to 4294967359; expected 0 to 4294967295"),
        ({"grid": True, "walk": True}, "grid and walk are two forms"),
        ({"walk": True, "n": 1}, "a walk needs at least 2 seeds; give -n 2 or more"),
        ({"walk": True, "seconds": 0}, "seconds is 0; expected more than 0"),
        ({"walk": True, "fps": 0}, "fps is 0; expected more than 0"),
        ({"walk": True, "fps": float("inf")}, "fps is inf; expected a number"),
        ({"walk": True, "fps": "fast"}, "fps is 'fast'; expected a number"),
        ({"walk": True, "out": "walk.avi"}, r"walk.avi: videos are written as .apng, .*\.mp4"),
        ({"grid": True, "n": 10_001}, "n is 10001; expected at most 10000 for a contact sheet"),
        ({"grid": True, "out": "sheet.tiff"}, r"sheet.tiff: a contact sheet is written as .png, .jpg"),
        ({"walk": True, "out": "folder.mp4"}, r"folder.mp4/shapes.mp4 is a folder; give the name of a file"),
        ({"codes": {"digit": 9}}, "digit is 9; expected 0 to 2"),
        ({"to": "cat"}, "does not generate 'cat'"),
        ({"truncate": -1}, "truncate is -1; expected a number above 0"),
        ({"model": "nothing"}, "no model 'nothing'"),
        ({"model": None}, "no generator: no finished run of one under runs/; train one"),
    ],
)
def test_wrong_use_is_one_sentence(
    model: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], words: str
) -> None:
    monkeypatch.chdir(model.parent)
    (model.parent / "folder.mp4" / "shapes.mp4").mkdir(parents=True)
    before = sorted(model.parent.rglob("*"))
    with pytest.raises(ValueError, match=words) as error:
        i2i.generate(**({"model": model} | given))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert sorted(model.parent.rglob("*")) == before


def test_a_misspelt_keyword_is_named(model: Path) -> None:
    with pytest.raises(TypeError, match=r"generate\(\) has no argument 'seeds' \(did you mean seed\?\)"):
        i2i.generate(model, seeds=3)  # type: ignore[call-arg]
