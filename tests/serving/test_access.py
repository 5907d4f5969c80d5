"""Who may ask, and what is written down about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from i2i.serving.settings import Settings
from i2i.serving.web.guard import _hosts
from tests.serving.conftest import Running, encoded, picture, running, wait_for

DATA = encoded(picture())
TOKEN = "correct-horse-battery"


def test_a_token_is_needed_for_everything_but_health_and_the_page(models: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    with running(models / "tiny.onnx", token_file=tmp_path / "token") as here:
        for given in ({}, {"Authorization": "Bearer wrong-horse-battery"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = here.translate(DATA, headers=given)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="i2i"')
            assert here.get("/metrics", headers=given).status == 401
            assert here.get("/v2/models/tiny", headers=given).status == 401
        assert here.translate(DATA, headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        assert [here.get(path).status for path in ("/v2/health/live", "/v2/health/ready", "/")] == [200] * 3
    assert TOKEN not in str(here.logged) + str(here.said)


@pytest.mark.parametrize("text", ["", "short", "two words of a token", "schlüssel-schlüssel"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="expected one token of at least 16"):
        Settings(token_file=tmp_path / "token").token()


def test_names_of_the_host() -> None:
    assert _hosts(Settings()) == {"localhost", "127.0.0.1", "[::1]"}
    assert _hosts(Settings(allowed_hosts=("Images.example",))) == {"localhost", "127.0.0.1", "[::1]", "images.example"}
    assert _hosts(Settings(host="0.0.0.0")) is None
    assert _hosts(Settings(host="0.0.0.0", allowed_hosts=("images.example",))) == {"images.example"}


def test_health_is_asked_for_under_any_name(models: Path) -> None:
    with running(models / "tiny.onnx", host="0.0.0.0", allowed_hosts=("images.example",)) as here:
        paths = ("/v2/health/live", "/v2/health/ready", "/v1/models")
        assert [here.get(path).status for path in paths] == [200, 200, 403]
        assert here.get("/v1/models", headers={"Host": "images.example"}).status == 200


def test_each_request_is_a_line_of_the_log(service: Running) -> None:
    answer = service.translate(DATA, query="?format=jpeg")
    identity = answer.headers["x-request-id"]
    wait_for(lambda: any(line["id"] == identity for line in service.logged))
    (line,) = [line for line in service.logged if line["id"] == identity]
    assert line["sent"] == len(answer.body)
    assert line["received"] == len(DATA)
    assert {"time", "client", "ms", "queue_ms", "decode_ms", "infer_ms", "encode_ms"} <= set(line)
    assert (line["method"], line["path"], line["status"], line["model"]) == (
        "POST", "/v1/translate/tiny", 200, "tiny",
    )  # fmt: skip


def test_hostile_names_stay_one_line_and_no_label(service: Running) -> None:
    answer = service.post("/v1/translate/a%0Ab%22%7D", DATA)
    assert answer.status == 404
    assert "a\nb" not in service.get("/metrics").body.decode()
    assert service.metric('i2i_requests_total{endpoint="translate",model="",status="404"}') >= 1


def test_metrics(service: Running) -> None:
    service.translate(DATA)
    before = service.metric('i2i_requests_total{endpoint="translate",model="tiny",status="200"}')
    service.translate(DATA)
    assert service.metric('i2i_requests_total{endpoint="translate",model="tiny",status="200"}') == before + 1
    text = service.get("/metrics").body.decode()
    version = service.get("/v2/models/tiny").json["versions"][0]
    assert f'i2i_model_info{{model="tiny",provider="cpu",version="{version}"}} 1.0' in text
    for name in ("process_resident_memory_bytes", "i2i_queue_waiting", "i2i_stage_seconds_count", "i2i_ready"):
        assert name in text


def test_the_openapi_document_lists_every_address(service: Running) -> None:
    document = service.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    operation = document["paths"]["/v1/translate/{model}"]["post"]
    assert set(operation["responses"]) >= {"200", "429", "503", "504"}
    assert operation["parameters"][0]["schema"]["enum"] == ["board", "deep", "faces", "styled", "tiny", "weather"]
    answer = service.get("/v1/models").json["models"]
    assert [each["name"] for each in answer] == ["board", "deep", "faces", "styled", "tiny", "weather"]
    assert next(each for each in answer if each["name"] == "weather")["domains"] == ["cloudy", "rain", "shine"]
