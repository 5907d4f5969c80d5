"""``i2i translate`` of images: several models, pipes, parts of a folder, and results of different settings."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

import i2i
from i2i.images import Image, decode_image, encode_image, read_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.jobs import workers
from i2i.runtime.jobs.folder import Summary, translate_folders
from tests import tiny
from tests.conftest import ROOT, Command
from tests.images.test_metadata import exif as with_place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two models, an inverter and one that gives 255 - x / 2, and photos of level 100."""
    tiny.inverter(tmp_path / "a.onnx")
    tiny.inverter(tmp_path / "b.onnx", weights=-0.5)
    for name in ("x.png", "sub/y.jpg", "z.bmp"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "photos" / name, Image(np.full((6, 5, 3), 100, np.uint8)))
    return tmp_path


def tree(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def level(path: Path) -> int:
    return int(read_image(path).pixels.mean())


MODELS = ("-m", "a.onnx", "-m", "b.onnx")
Piped = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_several_models_each_have_a_folder(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos", "out", *MODELS, cwd=place)
    assert (done.returncode, done.stderr.count("model ")) == (0, 2), done.stderr
    assert done.stdout.startswith("out/a, out/b: 6 translated, 0 done before, 0 failed")
    names = ["sub/y.jpg", "x.png", "z.bmp"]
    assert tree(place / "out") == [f"{model}/{name}" for model in "ab" for name in names]
    assert (level(place / "out/a/x.png"), level(place / "out/b/x.png")) == (155, 205)
    (place / "out/b/x.png").unlink()
    done = i2i_inside("translate", "photos", "out", *MODELS, cwd=place)
    assert "1 translated, 5 done before" in done.stdout
    done = i2i_inside("translate", "photos", *MODELS, cwd=place)
    assert tree(place / "photos-b") == names
    done = i2i_inside("translate", "photos", "photos/out", *MODELS, cwd=place)
    assert "6 translated" in done.stdout
    assert tree(place / "photos/out") == tree(place / "out")


def test_several_models_on_one_image(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/x.png", *MODELS, cwd=place)
    assert done.stdout == "photos/x-a.png\nphotos/x-b.png\n"
    done = i2i_inside("translate", "photos/x.png", "new", *MODELS, "--suffix", "_t", "--format", "webp", cwd=place)
    assert done.stdout == "new/x-a_t.webp\nnew/x-b_t.webp\n"
    assert (level(place / "photos/x-a.png"), level(place / "photos/x-b.png")) == (155, 205)
    done = i2i_inside("translate", "photos/x.png", "one.png", *MODELS, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "one.png is one image, and 2 models make as many: give a folder" in done.stderr


def test_models_of_one_name_are_refused(place: Path, i2i_inside: Command) -> None:
    tiny.inverter(place / "other" / "a.onnx")
    done = i2i_inside("translate", "photos", "out", "-m", "a.onnx", "-m", "other/a.onnx", cwd=place)
    assert done.returncode == 2
    assert "two models are called a" in done.stderr
    assert not (place / "out").exists()


def test_an_image_is_decoded_once_for_all_models(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = workers.read_image

    def counting(path: Path, *rest: int) -> Image:
        read.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(workers, "read_image", counting)
    (place / "photos" / "bad.png").write_bytes(b"")
    notes = []
    pairs = [(Model(place / f"{name}.onnx", "cpu", 1), place / "out" / name) for name in "ab"]
    summary = translate_folders(pairs, place / "photos", report=lambda outcome, _: notes.append(outcome.note))
    assert summary == Summary(total=8, done=6, failed=2)
    assert sorted(read) == ["x.png", "y.jpg", "z.bmp"]  # the header of the other was enough
    assert len([note for note in notes if note]) == 1  # and its problem is reported once


def test_a_suffix(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos", "out", "-m", "a.onnx", "--suffix", "_neg", cwd=place)
    assert done.returncode == 0, done.stderr
    assert tree(place / "out") == ["sub/y_neg.jpg", "x_neg.png", "z_neg.bmp"]
    done = i2i_inside("translate", "photos/x.png", "-m", "a.onnx", "--suffix", "_neg", cwd=place)
    assert done.stdout == "photos/x_neg.png\n"
    done = i2i_inside("translate", "photos", "new", "-m", "a.onnx", "--suffix", "/../x", cwd=place)
    assert (done.returncode, (place / "new").exists()) == (2, False)
    assert "expected text for a file's name, without slashes" in done.stderr


def test_workers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(place / "a.onnx", "cpu", 1)
    for asked in (1, 3):
        jobs: list[workers.WorkerPool] = []
        real = workers.WorkerPool.__init__

        def watched(
            self: workers.WorkerPool, *rest: object, jobs: list[workers.WorkerPool] = jobs, real: object = real
        ) -> None:
            jobs.append(self)
            real(self, *rest)  # type: ignore[operator]

        with monkeypatch.context() as patched:
            patched.setattr(workers.WorkerPool, "__init__", watched)
            translate_folder(model, place / "photos", place / f"out{asked}", Options(workers=asked))
        assert len(jobs[0]._threads) == asked
    with pytest.raises(ValueError, match="workers is 0"):
        Options(workers=0)


def piped(place: Path, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "i2i", "translate", *arguments, "-m", "a.onnx"]
    return subprocess.run(words, input=data, capture_output=True, cwd=place, env=env, check=False, timeout=60)


@pytest.fixture
def piped_inside(place: Path, i2i_inside: Command) -> Piped:
    """Run the same in this process; the pipes themselves have another test."""
    return lambda data, *words: i2i_inside("translate", *words, "-m", "a.onnx", data=data, cwd=place, text=False)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_image_through_a_pipe_keeps_its_format(piped_inside: Piped, form: str) -> None:
    data = encode_image(Image(np.full((6, 5, 3), 100, np.uint8)), form)
    for arguments in (("-",), ("-", "-")):
        done = piped_inside(data, *arguments)
        assert done.returncode == 0, done.stderr
        result = decode_image(done.stdout)
        assert result.format == form
        assert abs(int(result.pixels.mean()) - 155) <= 1
        assert b"photo -> negative, on c" in done.stderr  # and nothing but the image on stdout


def test_pipes_at_one_end(place: Path) -> None:
    data = encode_image(Image(np.full((6, 5, 3), 100, np.uint8)), "BMP")
    assert decode_image(piped(place, data, "-", "--format", "png").stdout).format == "PNG"
    assert decode_image(piped(place, b"", "photos/sub/y.jpg", "-").stdout).format == "JPEG"
    killed = "import os; from i2i.atomic import *; atomically(Path('new/x.webp'), lambda path: os._exit(9))"
    (place / "new").mkdir()
    subprocess.run([sys.executable, "-c", killed], cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert len(os.listdir(place / "new")) == 1
    done = piped(place, data, "-", "new/x.webp")
    assert done.stdout == b"new/x.webp\n"
    assert os.listdir(place / "new") == ["x.webp"]
    assert read_image(place / "new" / "x.webp").format == "WEBP"
    done = piped(place, data, "-", "new/x.webp")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"is there already" in done.stderr


def test_a_note_says_that_only_the_first_frame_of_a_pipe_is_translated(piped_inside: Piped) -> None:
    frames = [PIL.Image.new("RGB", (6, 5), (level, 0, 0)) for level in (10, 200)]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    for arguments in (("-",), ("-", "x.png")):
        done = piped_inside(data.getvalue(), *arguments)
        assert done.returncode == 0, done.stderr
        assert b"frames or pages after the first" in done.stderr


@pytest.mark.parametrize(
    ("data", "arguments", "status", "said"),
    [
        (b"", ("-",), 1, b"failed: <stdin>: the file is empty"),
        (b"<html>", ("-",), 1, b"failed: <stdin>: this is HTML"),
        (b"", ("-", "x.xyz"), 2, b"x.xyz: cannot write a '.xyz' file; choose one of .png"),
        (b"", ("photos/x.png", "x.xyz"), 2, b"x.xyz: cannot write a '.xyz' file; choose one of .png"),
        (b"", ("photos/x.png", "x"), 2, b"x: no suffix says in which format to write it; choose one of .png"),
        (b"", ("-", "y.jpg", "--format", "png"), 2, b"y.jpg is the name of a JPEG file, and PNG is asked for"),
        (b"", ("photos/x.png", "y.jpg", "--format", "png"), 2, b"y.jpg is the name of a JPEG file, and PNG is asked"),
        (b"", ("-", "photos"), 2, b"an image on standard input has no name"),
        (b"", ("photos", "-"), 2, b"- is one image for one model"),
        (b"", ("-", "-m", "b.onnx"), 2, b"- is one image for one model"),
        (b"", ("photos/x.png", "y.png", "--shard", "1/2"), 2, b"--shard is for folders"),
        (b"", ("photos/x.png", "y.png", "--suffix", "_n"), 2, b"y.png is the full name of the result"),
        (b"", ("-", "y.png", "--suffix", "_n"), 2, b"--suffix: an image on a standard stream has no name"),
    ],
)
def test_empty_pipes_are_errors(
    piped_inside: Piped, data: bytes, arguments: tuple[str, ...], status: int, said: bytes
) -> None:
    done = piped_inside(data, *arguments)
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_destination_is_checked_before_the_image_is_decoded(place: Path, piped_inside: Piped) -> None:
    """Else the work of a slow model would be lost."""
    cut = place / "photos" / "sub" / "y.jpg"
    cut.write_bytes(cut.read_bytes()[:-2])  # the end marker
    for source, data in ((str(cut), b""), ("-", cut.read_bytes())):
        done = piped_inside(data, source, "x.xyz")
        assert (done.returncode, b"cannot write a '.xyz' file" in done.stderr) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
@pytest.mark.parametrize("target", ["-", "out.png"])
def test_a_named_pipe_is_no_image(place: Path, piped_inside: Piped, target: str) -> None:
    """Reading it could wait for ever, since nothing writes to it here."""
    os.mkfifo(place / "pipe")
    done = piped_inside(b"", "pipe", target)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"failed: pipe: not a regular file" in done.stderr


def test_a_schedulers_shard_is_used_and_printed(place: Path, i2i_inside: Command) -> None:
    counts = []
    for task in range(3):
        env = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "3"}
        done = i2i_inside("translate", "photos", "out", "-m", "a.onnx", cwd=place, env=env)
        assert f"shard {task + 1}/3, from SLURM_ARRAY_TASK_ID (--shard 1/1: the whole folder)" in done.stderr
        counts.append(int(done.stdout.split(": ")[1].split()[0]))
    assert sum(counts) == 3
    assert tree(place / "out") == tree(place / "photos")
    done = i2i_inside("translate", "photos", "all", "-m", "a.onnx", "--shard", "1/1", cwd=place, env=env)
    assert "3 translated" in done.stdout
    assert "shard" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_asks_before_results_are_replaced(place: Path, answer: str) -> None:
    import pty

    i2i.translate(place / "photos", place / "out", model=place / "a.onnx")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "i2i", "translate", "photos", "out", "-m", "b.onnx"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, cwd=place, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, answer.encode() + b"\n")
    while True:  # a terminal that nobody reads from holds its writers up
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    text = " ".join(shown.decode().split())
    assert "model was a.onnx and is b.onnx" in text
    assert (process.returncode, b"3 translated" in out) == ((0, True) if answer == "y" else (2, False))
    assert level(place / "out" / "x.png") == (205 if answer == "y" else 155)
    lines = (place / "out" / ".i2i-job.jsonl").read_text().splitlines()
    assert [json.loads(line)["model"] for line in lines if "model" in line] == (
        ["a.onnx", "b.onnx"] if answer == "y" else ["a.onnx"]
    )


def test_a_profile_that_a_format_cannot_keep_is_named(place: Path, piped_inside: Piped) -> None:
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.new("RGB", (6, 5)).save(place / "photos" / "p.png", icc_profile=profile)
    profile = profile[:16] + b"GRAY" + profile[20:]
    grey = Image(np.full((5, 6, 1), 9, np.uint8), np.full((5, 6), 99, np.uint8), profile)
    write_image(place / "photos" / "g.png", grey)  # of colours in TIFF, where alpha is, and in WebP
    for words in (
        ("photos/p.png", "p.bmp"),
        ("photos/p.png", "-", "--format", "pnm"),
        ("photos/g.png", "-", "--format", "tiff"),
        ("photos/g.png", "g.webp"),
    ):
        done = piped_inside(b"", *words)
        assert done.returncode == 0, done.stderr
        assert b": colour profile\n" in done.stderr
    assert b"note" not in piped_inside(b"", "photos/p.png", "-").stderr


def test_metadata_is_kept_on_request_and_its_loss_is_named(
    place: Path, i2i_inside: Command, piped_inside: Piped
) -> None:
    source = place / "photos" / "x.jpg"
    PIL.Image.new("RGB", (6, 5)).save(source, exif=b"Exif\0\0" + with_place())
    assert i2i_inside("translate", "photos", "plain", "-m", "a.onnx", cwd=place).returncode == 0
    done = i2i_inside("translate", "photos", "out", "-m", "a.onnx", "--keep-metadata", cwd=place)
    assert done.returncode == 0, done.stderr
    assert b"A maker" not in (place / "plain" / "x.jpg").read_bytes()
    with PIL.Image.open(place / "out" / "x.jpg") as result:
        assert (result.getexif()[274], result.getexif().get_ifd(34853)) == (1, {1: "N"})
        assert result.size == (5, 6)
    assert "note" not in done.stderr
    for words in (("photos/x.jpg", "x.bmp"), ("photos/x.jpg", "-", "--format", "bmp")):
        piece = piped_inside(b"", *words, "--keep-metadata")
        assert piece.returncode == 0, piece.stderr
        assert b"not carried over to BMP: EXIF\n" in piece.stderr
    for path in ("x.png", "z.bmp", "sub/y.jpg"):
        (place / "photos" / path).unlink()
    done = i2i_inside("translate", "photos", "b", "-m", "a.onnx", "--keep-metadata", "--format", "bmp", cwd=place)
    note = f"note: not carried over to BMP: EXIF (1 result: {Path('photos/x.jpg')})"
    assert note in done.stderr.splitlines()


def test_losses_of_pixels_are_named_once_a_job(place: Path, i2i_inside: Command, piped_inside: Piped) -> None:
    deep, alpha = np.full((5, 6, 3), 30000, np.uint16), np.full((5, 6), 30000, np.uint16)
    for path in (place / "photos").rglob("*.*"):
        path.unlink()
    for name in ("a.png", "b.png"):
        write_image(place / "photos" / name, Image(deep, alpha))
    write_image(place / "photos" / "opaque.png", Image(np.zeros((5, 6, 3), np.uint8), np.full((5, 6), 255, np.uint8)))
    bits = "more than 8 bits"  # the model's depth, whatever the format holds
    lost = {"jpeg": [bits, "alpha"], "bmp": [bits], "webp": [bits], "pnm": ["alpha", bits], "tiff": [bits]}
    for format, what in lost.items():
        done = i2i_inside("translate", "photos", format, "-m", "a.onnx", "--format", format, cwd=place)
        assert done.returncode == 0, done.stderr
        notes = [line for line in done.stderr.splitlines() if line.startswith("note")]
        assert [re.sub(r"photos.[ab]\.png", "NAME", note) for note in notes] == [
            f"note: not carried over to {format.upper()}: {each} (2 results: NAME, NAME)" for each in what
        ]
        piece = piped_inside(b"", "photos/a.png", "-", "--format", format)
        assert f"not carried over to {format.upper()}: {', '.join(what)}\n".encode() in piece.stderr
    assert "note" not in i2i_inside("translate", "photos/opaque.png", "o.jpg", "-m", "a.onnx", cwd=place).stderr


def test_a_folder_is_translated_once(place: Path, i2i_inside: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime.jobs import folder

    overwrites = []

    def counted(pairs: list, source: Path, options: Options, *rest: object) -> Summary:
        overwrites.append(options.overwrite)
        return translate_folders(pairs, source, options, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "translate_folders", counted)
    done = i2i_inside("translate", "photos", "out", "-m", "a.onnx", cwd=place)
    assert (done.returncode, overwrites) == (0, [False])
