"""The command as a process: imports, errors and unusual environments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from i2i.cli import NAMES
from i2i.images import Image, write_image
from i2i.runtime.system.host import cores
from tests import tiny
from tests.conftest import ROOT, Command


@pytest.fixture(scope="module")
def negative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.inverter(tmp_path_factory.mktemp("model") / "negative.onnx")


def draw(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        write_image(folder / f"{number:04}.png", Image(pixels))
    return folder


def python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize("code", ["import i2i", "from i2i.cli import main; main(['--help'])"])
def test_the_help_page_loads_only_click(code: str) -> None:
    """The package and its help page load only the standard library and click."""
    report = "import sys; names = {name.partition('.')[0] for name in sys.modules}; print('#', *names, file=sys.stderr)"
    done = python(f"import atexit\natexit.register(lambda: exec({report!r}))\n{code}")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.rpartition("#")[2].split())
    site = {name for name in loaded if name.startswith(("_virtualenv", "distutils", "_distutils", "_editable"))}
    bare = python(report)
    extra = loaded - sys.stdlib_module_names - set(bare.stderr.rpartition("#")[2].split()) - site
    assert extra <= {"i2i", "click"} | ({"colorama"} if sys.platform == "win32" else set())


def test_help_takes_less_than_0_3_seconds(i2i_command: Command) -> None:
    def spent(run: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            before = os.times()
            run()
            after = os.times()  # of the processor, which another's work does not lengthen as it does the wall's
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        return min(times)

    done = i2i_command("--help")
    assert done.returncode == 0
    for verb in NAMES:
        assert f"\n  {verb} " in done.stdout
    slow = 2 * spent(lambda: python("import click"))  # more than 0.3 s where processors are
    assert spent(lambda: i2i_command("--help")) < max(0.3, slow)


STARTED = """
import atexit, gc, os, sys
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.pop(name, None)
def report():
    loaded = sys.modules.keys() & set(sys.argv[1].split())
    print('#', sum(each['collections'] for each in gc.get_stats()), len(os.listdir('/proc/self/task')), *loaded)
atexit.register(report)
from i2i.cli import main
main(sys.argv[2:])
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_translating_one_image_loads_nothing_superfluous(tmp_path: Path, negative: Path) -> None:
    """Other libraries, idle threads, garbage collection without garbage: each takes longer than an image."""
    image = next(draw(tmp_path / "in").iterdir())
    others = "torch onnx av PIL pyvips rich logging importlib.metadata fractions i2i.runtime.adapters.infer_spec"
    done = python(STARTED, others, "translate", image, tmp_path / "out.png", "-m", negative, "--provider", "cpu")
    assert done.returncode == 0, done.stderr
    collections, threads, *loaded = done.stdout.rpartition("#")[2].split()
    assert loaded == []
    assert int(collections) < 40
    assert int(threads) <= 1 + cores()  # ONNX Runtime's are one less than the cores


HOSTED = """
import gc, sys
from click.testing import CliRunner
from i2i.cli import group
if sys.argv[1] == "False":
    gc.disable()
assert CliRunner().invoke(group, ["models"]).exit_code == 0
print(gc.isenabled(), gc.get_freeze_count())
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_a_command_called_from_python_leaves_garbage_collection_on(tmp_path: Path, enabled: bool) -> None:
    done = python(HOSTED, enabled, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"{enabled} 0\n", "")


def test_the_command_freezes_imported_objects_for_garbage_collection(tmp_path: Path) -> None:
    code = "import gc\nfrom i2i.cli import main\ntry: main(['models'])\nfinally: print(gc.get_freeze_count() > 0)"
    assert python(code, cwd=tmp_path).stdout.endswith("True\n")


LEFT = """
import atexit, gc, sys, types
before = 0
atexit.register(lambda: print(gc.get_freeze_count() > before))  # the first to be registered, the last to be called
if sys.argv[1] == "True":
    sys.modules["torch"] = types.ModuleType("torch")
from i2i.cli import main
try:
    main(["models"])
finally:
    before = gc.get_freeze_count()
"""


@pytest.mark.parametrize("torch", [True, False])
def test_the_final_garbage_collection_is_skipped_only_without_pytorch(tmp_path: Path, torch: bool) -> None:
    """Without it, libraries of PyTorch print dozens of lines about supposed leaks."""
    assert python(LEFT, torch, cwd=tmp_path).stdout.endswith(f"{not torch}\n")


WITHOUT_TRAINING = """
import sys
GONE = ('torch', 'torchvision', 'kornia', 'onnxscript', 'safetensors', 'tensorboard', 'av')
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in GONE:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
from i2i.cli import main
main(sys.argv[1:])
"""


def test_the_base_install_runs_models(tmp_path: Path, negative: Path) -> None:
    draw(tmp_path / "in")
    done = python(WITHOUT_TRAINING, "translate", tmp_path / "in", tmp_path / "out", "-m", negative)
    assert done.returncode == 0, done.stderr
    assert "3 translated, 0 done before, 0 failed" in done.stdout
    assert "photo -> negative, on c" in done.stderr
    done = python(WITHOUT_TRAINING, "doctor", "--provider", "cpu")
    assert "passed in" in done.stdout
    assert python(WITHOUT_TRAINING, "models", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("verb", ["train", "export", "demo"])
def test_a_missing_extra_is_one_sentence(tmp_path: Path, verb: str) -> None:
    draw(tmp_path / "a"), draw(tmp_path / "b")
    arguments = {"train": ["cyclegan", "--a", "a", "--b", "b"], "export": ["a"], "demo": []}[verb]
    done = python(WITHOUT_TRAINING, verb, *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert 'pip install "i2i[train]"' in done.stderr


def test_errors_of_the_user_are_one_line(tmp_path: Path, i2i_command: Command, negative: Path) -> None:
    (tmp_path / "page.onnx").write_bytes(b"<html>")
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_command("translate", tmp_path / "a.png", "-m", tmp_path / "page.onnx")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert "page.onnx: not an ONNX model: it is a web page" in done.stderr
    done = i2i_command("translate", tmp_path / "a.png", "-m", negative, "--provider", "cuda")
    assert (done.returncode, done.stdout) == (4, "") or "on cuda" in done.stderr
    (tmp_path / "bad.png").write_bytes(b"no image")
    done = i2i_command("translate", tmp_path / "bad.png", "-m", negative)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"failed: {tmp_path / 'bad.png'}: not an image")
    done = i2i_command("translate", tmp_path / "nowhere", "-m", negative)
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'nowhere'}: no such file or folder\n")
    assert i2i_command("translate").returncode == 2


URL = "URLs are not read here: download it first; `i2i translate` takes folders at URLs"


@pytest.mark.parametrize(
    "words",
    [
        ("translate", "http://h/x.png"),
        ("translate", "https://h/clip.mp4"),
        ("translate", "in", "s3://bucket/out.png"),
        ("translate", "in", "-m", "https://h/m.onnx"),
        ("describe", "https://h/m.onnx"),
        ("import", "https://h/m.pth"),
        ("export", "https://h/run"),
        ("check", "--data", "https://h/data"),
        ("train", "cyclegan", "--a", "https://h/a", "--b", "in"),
        ("models", "--runs", "https://h/runs"),
    ],
)
def test_a_url_is_no_file(tmp_path: Path, i2i_inside: Command, words: tuple[str, ...]) -> None:
    (tmp_path / "in").mkdir()
    done = i2i_inside(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.rstrip().endswith(URL)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("source", "target"),
    [("in", "f/out"), ("in/0000.png", "f/0.png"), ("in/0000.png", "f/a/0.png"), ("-", "f/0.png")],
)
def test_a_file_where_a_folder_is_needed(
    tmp_path: Path, i2i_inside: Command, negative: Path, source: str, target: str
) -> None:
    draw(tmp_path / "in")
    (tmp_path / "f").write_bytes(b"")
    data = (tmp_path / "in" / "0000.png").read_bytes()
    done = i2i_inside("translate", source, target, "-m", negative, cwd=tmp_path, data=data)
    assert (done.returncode, done.stdout) == (2, "")
    reason = "f: a file, where a folder is needed; remove it, or choose another destination"
    assert done.stderr.splitlines()[-1] == f"error: {reason}"


def test_a_file_where_a_folder_is_needed_within_the_results(
    tmp_path: Path, i2i_inside: Command, negative: Path
) -> None:
    draw(tmp_path / "in" / "sub", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_bytes(b"")
    done = i2i_inside("translate", "in", "out", "-m", negative, cwd=tmp_path)
    assert done.returncode == 1
    assert "failed: in/sub/0000.png: out/sub: a file, where a folder is needed" in done.stderr


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 99999999999999999999])
def test_a_seed_out_of_range_is_refused(tmp_path: Path, i2i_inside: Command, seed: int) -> None:
    draw(tmp_path / "a"), draw(tmp_path / "b")
    done = i2i_inside("train", "cyclegan", "--a", "a", "--b", "b", f"--seed={seed}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: seed is {seed}; expected a whole number from -2^63 to 2^64 - 1\n",
    )
    done = i2i_inside("demo", f"--seed={seed}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{seed} is not in the range 0<=x<={2**64 - 1}" in done.stderr


def test_unusual_environments(tmp_path: Path, i2i_command: Command, negative: Path) -> None:
    """No home, no locale, no terminal, warnings as errors, and names that are no text."""
    source = draw(tmp_path / "in")
    odd = os.fsencode(source) + b"/caf\xe9 \n.png"
    os.rename(source / "0000.png", odd)
    with open(os.fsencode(source) + b"/bad\xff.png", "wb"):
        pass
    env = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/nonexistent", "XDG_CONFIG_HOME": "/proc/nonexistent"}
    env |= {"LC_ALL": "C", "LANG": "C", "TERM": "dumb", "PYTHONWARNINGS": "error", "HF_HUB_OFFLINE": "1"}
    env |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "PYTHONUTF8": "0"}
    env |= {"PYTHONCOERCECLOCALE": "0"}
    done = i2i_command("translate", source, tmp_path / "out", "-m", negative, env=env)
    assert done.returncode == 1, done.stderr
    assert "3 translated, 0 done before, 1 failed" in done.stdout
    assert "Traceback" not in done.stderr
    assert "bad\\xff.png: " in done.stderr
    assert os.path.exists(os.fsencode(tmp_path) + b"/out/caf\xe9 \n.png")
    for verb in (["--help"], ["models"], ["doctor", "--provider", "cpu"], ["translate", "--help"]):
        done = i2i_command(*verb, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if verb == ["models"]:  # how it has measured
            assert done.stderr.startswith("ms: for one image")
            assert len(done.stderr.splitlines()) == 1
        else:
            assert done.stderr == ""


def test_ctrl_c_while_a_library_is_imported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """pybind11 turns the KeyboardInterrupt into an ImportError."""
    from i2i import cli

    def interrupted(**_: object) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(cli.group, "main", interrupted)
    monkeypatch.setattr(cli.atexit, "register", lambda _: None)
    monkeypatch.setattr(cli, "_own_process", False)
    with pytest.raises(SystemExit) as exit:
        cli.main([])
    assert (exit.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_the_end_of_a_file_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i import cli

    def truncated() -> None:
        raise EOFError("marshal data too short")

    monkeypatch.setattr(cli.atexit, "register", lambda _: None)
    monkeypatch.setattr(cli, "_own_process", False)
    monkeypatch.setitem(cli.group.commands, "models", click.Command("models", callback=truncated))
    monkeypatch.setattr(cli.Group, "get_command", click.Group.get_command)
    with pytest.raises(EOFError, match="too short"):
        cli.main(["models"])


def test_a_job_killed_at_any_moment_can_be_continued(tmp_path: Path, i2i_command: Command, negative: Path) -> None:
    source = draw(tmp_path / "in", 400)
    i2i_command("translate", source, tmp_path / "whole", "-m", negative)
    command = [sys.executable, "-m", "i2i", "translate", str(source), str(tmp_path / "out"), "-m", str(negative)]
    # A shell that starts something in the background has it ignore SIGINT.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    for least, number in ((1, signal.SIGINT), (20, signal.SIGKILL), (150, signal.SIGKILL)):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed
        )
        while process.poll() is None and len(list(tmp_path.glob("out/*.png"))) < least:
            time.sleep(0.002)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert errors.splitlines()[-1] == "interrupted"
            assert "Traceback" not in errors
            assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".part"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*.png")}
    assert 0 < len(before) < 400, "the kill came too late to show anything"
    done = i2i_command("translate", source, tmp_path / "out", "-m", negative)
    assert done.returncode == 0
    for folder in ("whole", "out"):
        names = {path.name for path in (tmp_path / folder).iterdir() if not path.name.endswith(".jsonl")}
        assert names == {f"{number:04}.png" for number in range(400)}, folder
    assert all(
        (tmp_path / "whole" / path.name).read_bytes() == path.read_bytes() for path in (tmp_path / "out").glob("*.png")
    )
    again = sum(path.stat().st_mtime_ns != time_before for path, time_before in before.items())
    assert again == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_reported(tmp_path: Path, i2i_command: Command, negative: Path) -> None:
    import resource

    source = draw(tmp_path / "in")
    write_image(source / "large.bmp", Image(np.zeros((300, 300, 3), np.uint8)))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = i2i_command("translate", source, tmp_path / "out", "-m", negative, preexec_fn=limit)
    assert done.returncode == 75
    large = tmp_path / "out" / "large.bmp"
    assert f"error: {large}: File too large: stopped here; run the same command again to go on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "out").iterdir() if path.name == "large.bmp" or path.suffix == ".part"]
    done = i2i_command("translate", source, tmp_path / "out", "-m", negative)
    assert (
        done.returncode,
        len(list((tmp_path / "out").glob("*.??p"))),
        len(list((tmp_path / "out").glob("*.png"))),
    ) == (0, 1, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_progress(tmp_path: Path, negative: Path) -> None:
    import pty

    source = draw(tmp_path / "in")
    (source / "[bold]bad.png").write_bytes(b"")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "i2i", "translate", str(source), str(tmp_path / "out"), "-m", str(negative)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # as Linux says that the other end is closed
            part = b""
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 1
    text = shown.decode().replace("\r\n", "")
    assert "4/4" in text
    assert "images/s" in text
    assert "[bold]bad.png: " in text  # a name is a name, and no markup
    assert "Traceback" not in text


def test_onnxruntime_sends_no_usage_data(tmp_path: Path, negative: Path) -> None:
    """Its packages send data unless a variable is set before their import, and leave an identifier in the cache."""
    code = "import os, sys, i2i; i2i.load(sys.argv[1]); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    env = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "CI": ""}
    done = python(code, negative, env=env)
    assert done.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []
    done = python("import os, i2i; print(os.environ['ORT_DISABLE_TELEMETRY'])", env={"ORT_DISABLE_TELEMETRY": "0"})
    assert done.stdout == "0\n"  # a user's own setting stays


def test_versions_agree() -> None:
    import tomllib

    import i2i

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == i2i.__version__
