"""Videos as jobs."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

import i2i
from i2i.runtime import Model
from i2i.serving.metrics import Metrics
from i2i.serving.settings import Settings
from i2i.serving.work.video_job import Job
from i2i.serving.work.videos import Videos
from tests import tiny
from tests.serving.conftest import Answer, Running, encoded, picture, running, wait_for


def clip(path: Path, frames: int = 12) -> bytes:
    """Write a lossless video, and return its bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 10 * number, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("video") / "clip.mkv")


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(models / "tiny.onnx", models / "weather.onnx", video_queue=2) as service:
        yield service
    assert list(tmp_path.glob("i2i-serve-*")) == []  # nothing is left


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    opened, run = threading.Event(), Model.run

    def slow(self: Model, batch: np.ndarray) -> np.ndarray:
        assert opened.wait(30)
        return run(self, batch)

    opened.set()
    monkeypatch.setattr(Model, "run", slow)
    yield opened
    opened.set()


def finished(here: Running, job: str) -> Answer:
    wait_for(lambda: here.get(f"/v1/jobs/{job}").json["state"] in ("done", "failed"))
    return here.get(f"/v1/jobs/{job}")


def test_a_video_is_translated_as_translate_does(here: Running, video: bytes, models: Path, tmp_path: Path) -> None:
    answer = here.post("/v1/video?model=tiny", video)
    job = answer.json["id"]
    assert (answer.status, answer.headers["location"]) == (202, f"/v1/jobs/{job}")
    done = finished(here, job).json
    assert (done["state"], done["frames"], done["progress"]) == ("done", 12, 1.0)
    result = here.get(done["result"])
    assert (result.status, result.headers["content-type"], len(result.body)) == (200, "video/x-matroska", done["bytes"])
    (tmp_path / "in.mkv").write_bytes(video)
    i2i.translate(tmp_path / "in.mkv", tmp_path / "out.mkv", models / "tiny.onnx", provider="cpu")
    (tmp_path / "served.mkv").write_bytes(result.body)
    frames = [
        [frame.to_ndarray(format="rgb24") for frame in av.open(str(tmp_path / name)).decode(video=0)]
        for name in ("out.mkv", "served.mkv")
    ]
    assert len(frames[0]) == 12
    assert np.array_equal(*frames)
    refused = here.post(f"/v1/jobs/{job}", b"")
    assert (refused.status, sorted(refused.headers["allow"].split(", "))) == (405, ["DELETE", "GET", "HEAD"])
    assert here.service.videos.get(job).reserved == done["bytes"]
    assert not here.service.videos.get(job).upload.exists()


def test_jobs_wait_and_are_cancelled(here: Running, video: bytes, gate: threading.Event) -> None:
    gate.clear()
    first, second = (here.post("/v1/video?model=tiny", video).json["id"] for _ in range(2))
    wait_for(lambda: here.get(f"/v1/jobs/{first}").json["state"] == "running")
    assert here.get(f"/v1/jobs/{second}").json["state"] == "queued"
    refused = here.post("/v1/video?model=tiny", video)
    assert (refused.status, refused.headers["retry-after"]) == (429, "30")
    early = here.get(f"/v1/jobs/{first}/result")
    assert (early.status, early.detail) == (409, "the video is running")
    folder = here.service.videos.get(first).folder.parent
    for job in (second, first):
        assert here.service.videos.get(job)
        import http.client

        client = http.client.HTTPConnection("127.0.0.1", here.port)
        client.request("DELETE", f"/v1/jobs/{job}")
        assert client.getresponse().status == 204
        client.close()
    gate.set()
    wait_for(lambda: [path.name for path in folder.iterdir()] == ["lock"])
    assert here.get(f"/v1/jobs/{first}").status == 404


def test_parameters_of_a_model_with_domains(here: Running, video: bytes) -> None:
    assert here.post("/v1/video?model=weather", video).detail.endswith("(in Python, to=)")
    job = here.post("/v1/video?model=weather&to=rain", video).json["id"]
    assert finished(here, job).json["state"] == "done"


def test_an_upload_is_looked_at_beside_the_event_loop(here: Running, video: bytes, monkeypatch) -> None:
    found = []
    monkeypatch.setattr("i2i.serving.web.jobs.suffix_of", lambda _: (found.append(asyncio._get_running_loop()), "")[1])
    assert here.post("/v1/video?model=tiny", video).status == 415
    assert found == [None]


@pytest.mark.parametrize(
    ("query", "body", "status", "detail"),
    [
        ("", b"x", 404, "no model ''"),
        ("?model=tiny", b"", 415, "not a video"),
        ("?model=tiny", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 415, "not a video"),
        ("?model=tiny", b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "not a video"),
        (
            "?model=tiny",
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 1 RTP/AVP 96\r\n",
            415,
            "not a",
        ),
        ("?model=tiny", encoded(picture()), 415, "not a video"),
        ("?model=tiny&format=png", b"x", 400, "a video has no format"),
        ("?model=tiny&speed=2", b"x", 400, "no parameter 'speed'"),
    ],
)
def test_what_is_no_video(here: Running, query: str, body: bytes, status: int, detail: str) -> None:
    answer = here.post(f"/v1/video{query}", body)
    assert (answer.status, detail in answer.detail) == (status, True), answer.body
    assert here.service.videos._jobs == {}


def test_a_damaged_video_fails_with_the_reason_and_without_paths(here: Running, video: bytes) -> None:
    job = here.post("/v1/video?model=tiny", video[:300]).json["id"]
    done = finished(here, job).json
    assert done["state"] == "failed"
    assert done["detail"].startswith("the video: ")
    assert "/tmp" not in done["detail"]
    assert here.get(f"/v1/jobs/{job}/result").status == 409


def test_limits_of_size_and_disk_and_time(models: Path, video: bytes) -> None:
    with running(models / "tiny.onnx", max_video=len(video) - 1) as here:
        assert here.post("/v1/video?model=tiny", video).status == 413
    with running(models / "tiny.onnx", max_disk=len(video) - 1) as here:
        answer = here.post("/v1/video?model=tiny", video)
        assert (answer.status, answer.headers["content-type"]) == (507, "application/problem+json")
        assert here.service.videos._jobs == {}
    with running(models / "tiny.onnx") as here:
        job = here.post("/v1/video?model=tiny", video).json["id"]
        finished(here, job)
        here.service.videos._jobs[job].changed -= here.service.settings.keep + 1
        assert here.get(f"/v1/jobs/{job}").status == 404


def test_frames_of_more_pixels_than_the_limit_are_refused(models: Path, video: bytes) -> None:
    gif, (first, *more) = io.BytesIO(), [PIL.Image.new("L", (48, 32), grey) for grey in (0, 99)]
    first.save(gif, "GIF", save_all=True, append_images=more)
    with running(models / "tiny.onnx", max_pixels=1000) as here:
        for data in (video, gif.getvalue()):
            done = finished(here, here.post("/v1/video?model=tiny", data).json["id"]).json
            assert done["state"] == "failed"
            assert done["detail"] == ("the video: its frames of 48 x 32 are 1,536 pixels, more than the limit of 1,000")


def test_results_are_deleted_in_time_without_a_request(models: Path, video: bytes) -> None:
    with running(models / "tiny.onnx", keep=1) as here:
        folder = here.service.videos._jobs[here.post("/v1/video?model=tiny", video).json["id"]].folder
        wait_for(lambda: not here.service.videos._jobs)
        assert not folder.exists()


def test_a_job_that_is_cancelled_after_its_last_frame_is_deleted() -> None:
    videos = Videos(Settings(), Metrics())

    def run(job: Job) -> None:
        job.result.write_bytes(b"x")
        videos.cancel(job)

    try:
        job = videos.accept("tiny")
        job.upload.write_bytes(b"x")
        videos.start(job, run)
        wait_for(lambda: job.state != "queued" and job.state != "running")
        assert (job.state, videos._jobs, job.folder.exists()) == ("cancelled", {}, False)
    finally:
        videos.close()


def test_a_result_that_grows_beyond_the_disk_limit_ends_the_job(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("i2i.serving.work.video_job._LOOK", 1)
    noise = tmp_path / "noise.mkv"
    with av.open(str(noise), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 240, 160, "bgr0"
        for number in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(160, 240, seed=number), "rgb24")))
        container.mux(stream.encode(None))
    model = tiny.inverter(tmp_path / "tiny.onnx")
    with running(model, max_disk=noise.stat().st_size + 100_000) as here:
        job = here.post("/v1/video?model=tiny", noise.read_bytes()).json["id"]
        done = finished(here, job).json
        assert (done["state"], "more than the limit" in done["detail"]) == ("failed", True)
        assert here.service.videos.get(job).reserved == 0


def test_folders_of_killed_services_are_deleted_and_those_of_others_stay(
    models: Path, video: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, alien = tmp_path / "i2i-serve-left", tmp_path / "i2i-serve-without-a-lock"
    for folder in (left, alien):
        (folder / "job").mkdir(parents=True)
        (folder / "job" / "upload").write_bytes(b"x")
    (left / "lock").touch()
    with running(models / "tiny.onnx") as first, running(models / "tiny.onnx") as second:
        job = first.post("/v1/video?model=tiny", video).json["id"]
        assert not left.exists()
        assert alien.exists()
        other = second.post("/v1/video?model=tiny", video).json["id"]
        assert finished(first, job).json["state"] == finished(second, other).json["state"] == "done"
    assert [path.name for path in tmp_path.glob("i2i-serve-*")] == [alien.name]
