"""The Open Inference Protocol, with a client of other authors and with bodies by hand."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from i2i.runtime import Model
from i2i.runtime.memory.memory_limit import MemoryLimit
from i2i.serving.problems import ProblemError
from tests.serving.conftest import Running, picture, running, wait_for

IMAGES = np.stack([picture(seed=seed) // 2 for seed in range(3)])


def request(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": list(range(12))}
    return {"inputs": [tensor | changes]}


def test_json(service: Running) -> None:
    answer = service.post("/v2/models/tiny/infer", json.dumps(request() | {"id": "a"}))
    assert answer.status == 200, answer.body
    version = service.get("/v2/models/tiny").json["versions"][0]
    output = {"name": "translation", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [255 - i for i in range(12)]}
    assert answer.json == {"model_name": "tiny", "model_version": version, "id": "a", "outputs": [output]}
    nested = np.arange(12).reshape(1, 2, 2, 3).tolist()
    versioned = service.post(f"/v2/models/tiny/versions/{version}/infer", json.dumps(request(data=nested)))
    assert versioned.json["outputs"] == [output]


BAD: list[tuple[Any, int, str]] = [
    ([], 400, "not a request of the Open Inference Protocol"),
    ({}, 400, "the member 'inputs' is missing"),
    (request(datatype="BYTES"), 400, "the datatype of image is BYTES"),
    (request(shape=[1, 2, 2, 4]), 400, "image has 12 values; [1, 2, 2, 4] has 16"),
    (request(shape=[1, 2, -2, 3]), 400, "expected sides from 1"),
    (request(shape=[1, 1e308, 2, 3]), 400, "expected sides from 1 to 2,147,483,648"),
    (request(shape=[1e308] * 10_000), 400, "the shape of image has 10000 sides; expected 8 at most"),
    (request(data=[256] * 12), 400, "the values of image are beyond UINT8"),
    (request(data=[0.5] * 12), 400, "no numbers of UINT8"),
    (request(data=["a"] * 12), 400, "no numbers of UINT8"),
    (request(name="picture"), 400, "inputs are picture; expected image"),
    (request(datatype="FP32"), 400, "image is FP32 [1, 2, 2, 3]; expected UINT8 [n, height, width, 3]"),
    (request(parameters={"binary_data_size": 12}), 400, "image has 0 bytes"),
    (request() | {"outputs": [{"name": "other"}]}, 400, "the only one is translation"),
    (request() | {"parameters": {"priority": 1}}, 400, "no parameter 'priority'"),
    (request() | {"parameters": {"to": "rain"}}, 400, "does not translate to 'rain'"),
    (request(shape=[5, 1, 1, 3], data=[0] * 15), 413, "5 images at once; the limit is 4"),
]


@pytest.mark.parametrize(("document", "status", "error"), BAD)
def test_errors_have_the_member_of_the_protocol(service: Running, document: Any, status: int, error: str) -> None:
    answer = service.post("/v2/models/tiny/infer", json.dumps(document))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert error in answer.json["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1000"])
def test_a_wrong_length_of_the_json(service: Running, length: str) -> None:
    answer = service.post("/v2/models/tiny/infer", b"{}", headers={"Inference-Header-Content-Length": length})
    assert answer.status == 400


def test_unknown_models_and_versions(service: Running) -> None:
    for path in ("/v2/models/none", "/v2/models/none/ready", "/v2/models/tiny/versions/1"):
        assert service.get(path).status == 404
    assert service.post("/v2/models/none/infer", b"{}").status == 404


def test_a_result_that_is_not_finite(service: Running) -> None:
    white = request(shape=[1, 4, 4, 3], data=[255] * 48)
    answer = service.post("/v2/models/board/infer", json.dumps(white))
    assert (answer.status, "non-finite output" in answer.json["error"]) == (422, True)


def test_tritonclient(service: Running) -> None:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(f"127.0.0.1:{service.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "i2i"
    metadata = client.get_model_metadata("weather")
    assert metadata["platform"] == "onnx_onnxv1"
    assert metadata["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        {"name": "target", "datatype": "INT64", "shape": [-1]},
    ]

    def infer(model: str, tensors: dict[str, np.ndarray], binary: bool = True, **more: Any) -> np.ndarray:
        inputs = []
        for name, value in tensors.items():
            kind = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}[value.dtype.name]
            inputs.append(http.InferInput(name, list(value.shape), kind))
            inputs[-1].set_data_from_numpy(value, binary_data=binary)
        outputs = [http.InferRequestedOutput("translation", binary_data=binary)]
        return client.infer(model, inputs, outputs=outputs, **more).as_numpy("translation")

    for binary in (True, False):
        assert (infer("tiny", {"image": IMAGES}, binary) == 255 - IMAGES).all()
        steps = np.array([30, 10, 20], np.uint8)[:, None, None, None]
        domains = {"image": IMAGES, "target": np.array([2, 0, 1])}
        assert (infer("weather", domains, binary) == IMAGES + steps).all()
    assert (infer("weather", {"image": IMAGES}, parameters={"to": "rain"}) == IMAGES + 20).all()
    attributes = {"image": IMAGES[:2], "target": np.array([[0, 0, 0], [1, 1, 0]], np.float32)}
    assert (infer("faces", attributes) == IMAGES[:2] + np.array([0, 3], np.uint8)[:, None, None, None]).all()
    styles = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    expected = IMAGES[:2] + 10 * styles[:, None, None].astype(np.uint8)
    assert (infer("styled", {"image": IMAGES[:2], "style": styles}) == expected).all()
    deep = picture(dtype=np.uint16)[None].astype(np.float32)
    assert (infer("deep", {"image": deep}) == 65535 - deep).all()
    with pytest.raises(http.InferenceServerException if hasattr(http, "InferenceServerException") else Exception) as e:
        infer("weather", {"image": IMAGES, "target": np.array([0, 1, 9])})
    assert "expected an index from 0 to 2" in str(e.value)
    client.close()


def test_much_json_is_not_written(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.serving.web.tensors.MOST_JSON", 4 * 107)

    def infer(binary: bool) -> Any:
        document = request(shape=[1, 6, 6, 3], parameters={"binary_data_size": 108})
        del document["inputs"][0]["data"]
        head = json.dumps(document | {"parameters": {"binary_data_output": binary}}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        return service.post("/v2/models/tiny/infer", head + bytes(108), headers=headers)

    answer = infer(False)
    assert answer.status == 413
    assert "the output has more values (108) than are written as JSON (107)" in answer.json["error"]
    answer = infer(True)
    assert (answer.status, answer.body[-108:]) == (200, b"\xff" * 108)


def test_the_rest_of_a_refused_batch_is_not_computed(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    started, answered = [], threading.Event()

    def fail(*_: object) -> np.ndarray:
        started.append(None)
        if len(started) > 1:
            answered.wait(60)
        raise ProblemError(422, "the first fails")

    monkeypatch.setattr("i2i.serving.web.inference._infer", fail)
    monkeypatch.setattr(service.service.pool, "workers", 1)
    answer = service.post("/v2/models/tiny/infer", json.dumps(request(shape=[4, 1, 1, 3])))
    assert (answer.status, answer.json["error"]) == (422, "the first fails")
    answered.set()
    time.sleep(0.3)
    assert len(started) <= 2  # the second may have begun meanwhile


def test_much_json_is_refused(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.serving.web.tensors.MOST_JSON", 50)
    answer = service.post("/v2/models/tiny/infer", json.dumps(request()))
    assert (answer.status, "send binary tensors" in answer.json["error"]) == (413, True)


def test_tensors_wait_for_the_memory_of_decoded_images(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, started, run = threading.Event(), list[None](), Model.run

    def slow(self: Model, batch: np.ndarray) -> np.ndarray:
        started.append(None)
        assert opened.wait(30)
        return run(self, batch)

    with running(models / "tiny.onnx", workers=2) as here, ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(here.service.store.parallel, "decoded", MemoryLimit(1))
        monkeypatch.setattr(Model, "run", slow)
        body = json.dumps(request())
        answers = [threads.submit(here.post, "/v2/models/tiny/infer", body) for _ in range(2)]
        wait_for(lambda: here.service.pool.running == 2 and started)
        time.sleep(0.3)
        assert len(started) == 1
        opened.set()
        assert [each.result().status for each in answers] == [200, 200]


def test_images_of_a_request_that_fails_have_a_reason_of_their_own(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered = threading.Event(), threading.Event()

    def infer(_served: object, _ticket: object, _decoded: object, image: np.ndarray, _bound: object) -> np.ndarray:
        if image.any():
            begun.wait(30)
            raise ProblemError(422, "the first fails")
        begun.set()
        answered.wait(30)
        return image

    monkeypatch.setattr("i2i.serving.web.inference._infer", infer)
    with running(models / "tiny.onnx", workers=2) as here:
        answer = here.post("/v2/models/tiny/infer", json.dumps(request(shape=[2, 1, 1, 3], data=[1] * 3 + [0] * 3)))
        answered.set()
        assert (answer.status, answer.json["error"]) == (422, "the first fails")
        assert here.metric('i2i_abandoned_total{reason="request failed"}') == 1
        assert here.metric('i2i_abandoned_total{reason="client gone"}') == 0
