"""The videos of a folder: names, what a second run does, failures, and what a killed job leaves."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

import i2i
from i2i.images import Image, write_image
from i2i.runtime import Model, Options
from i2i.runtime.api import SomeFailedError
from i2i.runtime.jobs.folder import MixedError, Outcome, StoppedError, Summary, translate_folder
from i2i.runtime.video import VideoError, VideoOptions, VideoSummary, folder
from i2i.runtime.video.folder import result_name, translate_videos
from tests.conftest import Command
from tests.runtime.video.clips import make, pattern
from tests.runtime.video.facts import facts

RECORD = ".i2i-videos.jsonl"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three videos in two folders, a picture, and a text file."""
    root = tmp_path / "clips"
    (root / "more").mkdir(parents=True)
    make(root / "a.mp4", sound=0.4)
    make(root / "more" / "b.MKV", times=(0, 512, 1152), container="matroska")
    make(root / "more" / "c.avi", codec="ffv1", times=range(0, 2048, 512), container="avi")
    write_image(root / "d.png", Image(pattern(0, 32, 24)))
    (root / "e.txt").write_text("text")
    return root


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def run(model: Model, source: Path, target: Path, **options: object) -> tuple[Summary, dict[str, Outcome]]:
    outcomes: dict[str, Outcome] = {}

    def report(outcome: Outcome, _: Summary) -> None:
        outcomes[outcome.source.name] = outcome

    found = {name: options.pop(name) for name in ("video", "frames") if name in options}
    return translate_videos(model, source, target, Options(**options), report=report, **found), outcomes  # type: ignore[arg-type]


def test_names_and_tree_are_kept_and_a_second_run_does_what_is_left(
    identity: Model, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(identity, clips, out)[0] == Summary(total=3, done=3)
    assert files(out) == [RECORD, "a.mp4", "more/b.MKV", "more/c.avi.mkv"]
    for name in ("a.mp4", "more/b.MKV", "more/c.avi"):
        assert facts(out / result_name(name)).times == facts(clips / name).times
    assert any(stream.startswith("audio") or "aac" in stream for stream in map(str, facts(out / "a.mp4").streams))

    before = {name: (out / name).stat().st_mtime_ns for name in files(out)[1:]}
    assert run(identity, clips, out)[0] == Summary(total=3, skipped=3)
    make(clips / "more" / "b.MKV", times=(0, 512, 1152, 1664), container="matroska")  # another one by that name
    make(clips / "f.mov")
    (out / "more" / "c.avi.mkv").unlink()
    summary, outcomes = run(identity, clips, out)
    assert summary == Summary(total=4, done=3, skipped=1)
    assert outcomes["a.mp4"].status == "skipped"
    assert (out / "a.mp4").stat().st_mtime_ns == before["a.mp4"]
    assert len(facts(out / "more" / "b.MKV").times) == 4


def test_a_failed_video_is_named_and_not_there(identity: Model, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = make(tmp_path / "w.mkv", times=range(0, 51200, 512), options={"g": "5"}).read_bytes()
    (clips / "cut.mkv").write_bytes(whole[:-9000])
    (clips / "empty.mp4").touch()
    (clips / "text.mov").write_text("no video")
    (clips / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    summary, outcomes = run(identity, clips, out)
    assert summary == Summary(total=7, done=3, failed=4)
    for name in ("cut.mkv", "empty.mp4", "text.mov", "gone.mp4"):
        assert outcomes[name].note.startswith(f"{clips / name}: "), outcomes[name]
        assert outcomes[name].status == "failed"
    assert "damaged: " in outcomes["cut.mkv"].note
    assert "translated by its own command, it gives the frames that it has" in outcomes["cut.mkv"].note
    assert files(out) == [RECORD, "a.mp4", "more/b.MKV", "more/c.avi.mkv"]
    (clips / "cut.mkv").write_bytes(whole)
    summary, outcomes = run(identity, clips, out)
    assert summary == Summary(total=7, done=1, skipped=3, failed=3)
    assert outcomes["cut.mkv"].status == "done"


def stop_in(number: int, how: object) -> object:
    """Call ``how`` at the third frame of the video of that number."""
    seen: list[Path | None] = []

    def frames(summary: VideoSummary) -> None:
        if summary.path not in seen:
            seen.append(summary.path)
        if len(seen) == number and summary.frames == 3:
            how()  # type: ignore[operator]

    return frames


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_job_keeps_whole_videos_alone(identity: Model, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(identity, clips, out, frames=stop_in(2, interrupt))
    assert files(out) == [RECORD, "a.mp4"]
    assert run(identity, clips, out)[0] == Summary(total=3, done=2, skipped=1)
    assert files(out) == [RECORD, "a.mp4", "more/b.MKV", "more/c.avi.mkv"]


def _killed(path: Path, clips: Path, out: Path, number: int) -> None:
    run(Model(path, "cpu"), clips, out, frames=stop_in(number, lambda: os._exit(9)))


@pytest.mark.parametrize("number", [1, 3])
def test_a_killed_job_is_continued(
    number: int, identity: Model, identity_file: Path, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(identity_file, clips, out, number))
    process.start()
    process.join()
    assert process.exitcode == 9
    names = ["a.mp4", "more/b.MKV", "more/c.avi.mkv"]
    assert [name for name in files(out) if name in names] == names[: number - 1]
    assert run(identity, clips, out)[0] == Summary(total=3, done=4 - number, skipped=number - 1)
    assert files(out) == [RECORD, *names]  # and nothing of the killed one
    assert len(facts(out / names[number - 1]).times) > 2


def test_results_of_other_settings_are_refused(identity: Model, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(identity, clips, out)
    with pytest.raises(MixedError, match=r"crf was None and is 40\. Choose another folder"):
        run(identity, clips, out, video=VideoOptions(crf=40))
    assert run(identity, clips, out, video=VideoOptions(crf=40), overwrite=True)[0] == Summary(total=3, done=3)
    assert run(identity, clips, out, video=VideoOptions(crf=40))[0] == Summary(total=3, skipped=3)


def test_files_that_no_job_wrote_are_kept(identity: Model, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"already contains 1 file that would be replaced .*\(a\.mp4\)"):
        run(identity, clips, tmp_path / "out")
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"mine"
    with pytest.raises(ValueError, match="originals are never overwritten"):
        run(identity, clips, clips)


def test_images_may_go_to_the_same_folder(identity: Model, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(identity, clips, out)
    assert translate_folder(identity, clips, out) == Summary(total=1, done=1)
    assert run(identity, clips, out)[0] == Summary(total=3, skipped=3)
    assert translate_folder(identity, clips, out) == Summary(total=1, skipped=1)


def test_shards_share_the_folder(identity: Model, clips: Path, tmp_path: Path) -> None:
    for number in range(6):
        shutil.copy(clips / "a.mp4", clips / f"{number}.mp4")
    parts = [run(identity, clips, tmp_path / "out", shard=f"{part}/3") for part in (1, 2, 3)]
    assert sum(summary.done for summary, _ in parts) == 9
    assert len(set().union(*(outcomes for _, outcomes in parts))) == 9
    assert run(identity, clips, tmp_path / "out")[0] == Summary(total=9, skipped=9)


def test_a_full_disk_stops_the_job(
    identity: Model, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> VideoSummary:
        raise VideoError("x", "stopped here") from OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(folder, "translate_video", full)
    with pytest.raises(StoppedError, match="run the same command again"):
        run(identity, clips, tmp_path / "out")


def test_options_of_images_are_refused(identity: Model, clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^format, suffix: for images, and this is a folder of videos"):
        run(identity, clips, tmp_path / "out", format="PNG", suffix="-x")


def test_from_python(identity: Model, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert i2i.translate(clips, out, identity, videos=True, end=0.2) == out
    assert len(facts(out / "a.mp4").times) == 5
    (clips / "empty.mp4").touch()
    with pytest.raises(SomeFailedError, match=r"^1 of 4 videos failed:\n.*empty\.mp4: "):
        i2i.translate(clips, out, identity, videos=True, end=0.2)
    with pytest.raises(ValueError, match="videos is for folders"):
        i2i.translate(clips / "a.mp4", out / "x.mp4", identity, videos=True)


def test_the_command_line(clips: Path, tmp_path: Path, identity_file: Path, i2i_inside: Command) -> None:
    (clips / "empty.mp4").touch()
    done = i2i_inside("translate", clips, tmp_path / "out", "--videos", "-m", identity_file, "--crf", "30")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/out: 3 videos translated, 0 done before, 1 failed (")
    assert f"failed: {clips}/empty.mp4: " in done.stderr
    assert f"note: skipped 1 image in {clips}; without --videos it translates those" in done.stderr
    (clips / "empty.mp4").unlink()
    done = i2i_inside("translate", clips, tmp_path / "out", "--videos", "-m", identity_file, "--crf", "30")
    assert (done.returncode, done.stdout.partition(" (")[0]) == (
        0,
        f"{tmp_path}/out: 0 videos translated, 3 done before, 0 failed",
    )
    several = ["-m", identity_file, "-m", "day2night"]
    done = i2i_inside("translate", clips, tmp_path / "two", "--videos", *several)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "two").glob("*/more/c.avi.mkv"))) == 2
    for words, message in (
        ([clips / "a.mp4", "--videos"], "--videos is for folders, and "),
        ([clips, "--videos", "--preview"], "--preview shows one video"),
        ([clips, "--videos", "--format", "png"], f"--format is for images, and {clips} is a folder of videos"),
        ([clips, "--videos", "--watch"], "--watch is for folders of images: leave out --videos"),
        ([clips, "--crf", "3"], f"--crf: only for videos, and {clips} is not a video; --videos translates the videos"),
    ):
        done = i2i_inside("translate", *words, "-m", identity_file)
        assert done.returncode == 2
        assert message in done.stderr


def test_real_videos(identity: Model, tmp_path: Path) -> None:
    shared = Path(os.environ.get("I2I_TEST_DATA", ""), "data", "video")
    if not shared.is_dir():
        pytest.skip("needs the reference data in I2I_TEST_DATA")
    for name in ("realshort.mp4", "corrupted.mp4", "rotated/video_90.mov"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / name, tmp_path / "in" / name)
    summary, outcomes = run(identity, tmp_path / "in", tmp_path / "out", video=VideoOptions(preset="ultrafast"))
    assert summary == Summary(total=3, done=2, failed=1)
    assert outcomes["corrupted.mp4"].note.startswith(f"{tmp_path}/in/corrupted.mp4: ")
    assert files(tmp_path / "out") == [RECORD, "realshort.mp4", "rotated/video_90.mov"]
