"""One process for each device behind one port: health, metrics, videos and signals of all, and processes that die."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import psutil
import pytest
from starlette.requests import Request

from i2i.serving import supervisor
from i2i.serving.settings import Settings
from i2i.serving.web.siblings import Siblings, labelled, merged
from tests import tiny
from tests.serving.conftest import ask, encoded, picture, wait_for
from tests.serving.test_process import Command, Load

DATA = encoded(picture(64, 64))
DEVICES = ("--devices", "cpu,cpu")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.inverter(tmp_path / "tiny.onnx")


@pytest.fixture
def command(model: Path) -> Iterator[Command]:
    others = set(psutil.Process().children(recursive=True))  # of tests before, such as a server of multiprocessing
    command = Command(model, *DEVICES)
    try:
        yield command
    finally:
        assert command.end(signal.SIGTERM) == 0
        assert set(psutil.Process().children(recursive=True)) <= others


def processes(command: Command) -> list[psutil.Process]:
    """Return the two processes that serve; Python starts one more to release what they share."""
    children = psutil.Process(command.process.pid).children()
    return [each for each in children if "resource_tracker" not in " ".join(each.cmdline())]


def metric(port: int, name: str) -> dict[str, float]:
    """Return the values of a metric by process."""
    text = ask(port, "GET", "/metrics").body.decode()
    found: Counter[str] = Counter()
    for number, value in re.findall(rf'^{name}{{process="(\d)",device="cpu".*}} (\S+)$', text, re.M):
        found[number] += float(value)
    return dict(found)


def test_the_processes_share_the_port_and_report_together(command: Command) -> None:
    assert command.lines[-1] == "ready: tiny (cpu), in processes 0 (cpu), 1 (cpu)"
    assert ask(command.port, "GET", "/v2/health/ready").status == 200

    def shared() -> bool:
        """True once each has a tenth of the work: where cores are scarce the system may prefer one for long."""
        served = metric(command.port, "i2i_images_total")
        return len(served) == 2 and min(served.values()) > 0.1 * sum(served.values())

    with Load(command.port, 8) as load:
        wait_for(lambda: load.statuses[200] > 200 and shared())
    assert load.failed == []
    served = metric(command.port, "i2i_images_total")
    assert served.keys() == {"0", "1"}
    assert sum(served.values()) == load.statuses[200]
    text = ask(command.port, "GET", "/metrics").body.decode()
    helps = re.findall(r"^# HELP (\S+)", text, re.M)
    assert len(helps) == len(set(helps))  # the values of a name stand together


def test_a_process_that_is_killed_is_started_again(command: Command) -> None:
    victim = processes(command)[0]
    with Load(command.port, 4) as load:
        wait_for(lambda: load.statuses[200] > 40)
        victim.kill()
        wait_for(lambda: any("ended with status -9; it is started again in 1 s" in line for line in command.lines))
        assert ask(command.port, "GET", "/v2/health/ready").status == 200  # the other one
        assert ask(command.port, "POST", "/v1/translate/tiny", DATA).status == 200
        wait_for(lambda: any(re.match(r"process \d \(cpu\): ready: tiny", line) for line in command.lines))
    assert set(load.statuses) == {200}  # never 503 of one that is not ready
    with Load(command.port, 4) as again:  # of the first, those whose requests were in the killed process have ended
        wait_for(lambda: again.failed or again.statuses[200] > 40)
    assert (again.failed, set(again.statuses)) == ([], {200})
    assert len(processes(command)) == 2
    assert metric(command.port, "i2i_ready") == {"0": 1.0, "1": 1.0}


def test_sigterm_under_load_drains_all(model: Path) -> None:
    with Command(model, *DEVICES) as command, Load(command.port) as load:
        wait_for(lambda: load.statuses[200] > 40)
        status = command.end(signal.SIGTERM)
    assert status == 0
    assert set(load.statuses) <= {200, 503}
    assert set(load.failed) <= {"ConnectionRefusedError", "ConnectionResetError"}
    assert command.lines.count("stopping: finishing what was accepted") == 1


def test_sigterm_to_all_processes_drains_them(model: Path) -> None:
    """A service manager sends it to all, and the parent passes it on: for the others it comes twice."""
    with Command(model, *DEVICES) as command:
        client = http.client.HTTPConnection("127.0.0.1", command.port, timeout=30)
        client.putrequest("POST", "/v1/translate/tiny")
        client.putheader("Content-Length", str(len(DATA)))
        client.endheaders(DATA[:100])
        wait_for(lambda: sum(metric(command.port, "i2i_body_bytes").values()) == 100)
        for each in processes(command):
            each.send_signal(signal.SIGTERM)
        command.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping: finishing what was accepted" in command.lines)
        time.sleep(0.5)  # until it has reached the others
        client.send(DATA[100:])
        assert client.getresponse().status == 200
        client.close()
        assert command.end() == 0


def test_a_second_signal_ends_the_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, sent = supervisor._Worker(0, Settings(devices=("cpu",))), list[int]()
    monkeypatch.setattr(worker, "send", sent.append)
    parent = supervisor._Supervisor([worker], (), lambda _: None)
    parent._pass_on(signal.SIGTERM)
    parent._pass_on(signal.SIGTERM)
    assert sent == [signal.SIGTERM, signal.SIGINT]


def test_ctrl_c_from_a_terminal_drains_all(command: Command) -> None:
    """It goes to the group of the parent; the processes are in groups of their own."""
    groups = {os.getpgid(each.pid) for each in processes(command)}
    assert len(groups) == 2
    assert os.getpgid(command.process.pid) not in groups


def test_sighup_loads_a_changed_model_everywhere(command: Command, model: Path) -> None:
    os.replace(tiny.inverter(model.with_suffix(".new"), weights=-2), model)
    command.process.send_signal(signal.SIGHUP)
    for number in range(2):
        wait_for(
            lambda number=number: any(f"note: process {number}: model tiny: loaded" in line for line in command.lines)
        )


def test_a_video_is_found_whichever_process_is_asked(command: Command, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("h264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(48, 64), "rgb24")))
        container.mux(stream.encode(None))
    jobs = [ask(command.port, "POST", "/v1/video?model=tiny", (tmp_path / "clip.mp4").read_bytes()) for _ in range(3)]
    for job in jobs:
        path = job.headers["location"]
        wait_for(lambda path=path: ask(command.port, "GET", path).json["state"] == "done")
        results = {ask(command.port, "GET", f"{path}/result").body for _ in range(6)}
        assert len(results) == 1
        assert results.pop()[4:8] == b"ftyp"
        assert ask(command.port, "DELETE", path).status == 204
        assert {ask(command.port, "GET", path).status for _ in range(6)} == {404}
    assert ask(command.port, "GET", "/v1/jobs/7-none").status == 404


def test_the_processes_end_with_a_parent_that_is_killed(model: Path) -> None:
    with Command(model, *DEVICES) as command:
        children = processes(command)
        assert command.end(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.onnx", "--devices", "cpu,cpu"], 2, "error: none.onnx: no such model file"),
        (
            ["{model}", "--devices", "0;1"],
            2,
            "devices has '0;1'; expected numbers of GPUs, names of nvidia-smi -L, or cpu",
        ),
        (["{model}", "--devices", "0", "--provider", "cpu"], 2, "the provider cpu does not run on device 0"),
        (["{model}", "--devices", "cpu", "--provider", "cuda"], 2, "the provider cuda does not run on device cpu"),
        (["{model}", "--devices", "cpu,63"], 4, "provider cuda was asked for"),
    ],
)
def test_what_stops_the_start(
    model: Path, arguments: list[str], status: int, message: str, i2i_command: Callable
) -> None:
    done = i2i_command("serve", *(each.format(model=model) for each in arguments), "--port", "0")
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr


def test_a_gpu_is_chosen_among_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for before in (None, "4,5", ""):
        monkeypatch.setenv(supervisor.VISIBLE, before) if before is not None else monkeypatch.delenv(
            supervisor.VISIBLE, raising=False
        )
        for device in ("1", "GPU-0a", "cpu"):
            with supervisor._visible(device):
                found.append(os.environ.get(supervisor.VISIBLE))
        assert os.environ.get(supervisor.VISIBLE) == before
    assert found == ["1", "GPU-0a", None, "5", "GPU-0a", "4,5", "1", "GPU-0a", ""]


def test_the_limits_of_the_machine_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.serving.supervisor.cores", lambda: 5)
    settings = Settings(devices=("cpu", "0", "cpu"), max_disk=300)
    found = [supervisor._of_device(settings, device) for device in settings.devices]
    assert [(each.provider, each.workers, each.processes, each.max_disk) for each in found] == [
        ("cpu", 2, 3, 100), ("cuda", None, 3, 100), ("cpu", 2, 3, 100),
    ]  # fmt: skip


def test_siblings_are_asked_under_the_name_that_the_client_used(tmp_path: Path) -> None:
    heads = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as private:
        private.bind(str(tmp_path / "1.sock"))
        private.listen()

        def answer() -> None:
            client, _ = private.accept()
            with client:
                heads.append(client.recv(4096))
                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        request = Request({"type": "http", "method": "GET", "headers": [(b"host", b"images.example")]})
        assert asyncio.run(Siblings(tmp_path, 0, ("cpu", "cpu")).ready(request))
        thread.join()
    assert re.findall(rb"^Host: (.*)\r$", heads[0], re.M) == [b"images.example"]


def test_a_sighup_during_loading_is_passed_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, sent = supervisor._Worker(0, Settings(devices=("cpu",))), list[int]()
    monkeypatch.setattr(worker, "send", sent.append)
    monkeypatch.setattr(worker, "hear", lambda: "ready: tiny (cpu)")
    parent = supervisor._Supervisor([worker], (), lambda _: None)
    parent._pass_on(signal.SIGHUP)
    assert sent == []
    parent._watch(worker)
    assert sent == [signal.SIGHUP]
    parent._pass_on(signal.SIGHUP)
    assert sent == [signal.SIGHUP] * 2


def test_metrics_of_several_processes() -> None:
    text = b'# HELP a A.\n# TYPE a gauge\na 1.0\n# HELP b B.\n# TYPE b counter\nb{c="d e"} 2.0\nb_more 3.0\n'
    one, two = (labelled(text, {"process": number}) for number in "01")
    assert merged([one, two]).decode().splitlines() == [
        "# HELP a A.", "# TYPE a gauge", 'a{process="0"} 1.0', 'a{process="1"} 1.0',
        "# HELP b B.", "# TYPE b counter", 'b{process="0",c="d e"} 2.0', 'b_more{process="0"} 3.0',
        'b{process="1",c="d e"} 2.0', 'b_more{process="1"} 3.0',
    ]  # fmt: skip
