"""Generators with a second input: a sentence as token ids, or a label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from i2i.exporter import ExportError, export_network, parity
from i2i.exporter.pixel_graph import Drawn, WithText
from i2i.exporter.ports import sentences
from i2i.networks import per_image
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs import spec_check
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.providers.table import open_session
from i2i.sampling import latent
from i2i.spec import Domain, Prior, Spec
from i2i.translators import Translator
from i2i.words import text_input
from tests.translators.cases import make

pytestmark = pytest.mark.usefixtures("one_thread")

HOUSES = Domain("houses")


def spec(prior: Prior, **more: object) -> Spec:
    return Spec("stackgan", "generate", HOUSES, HOUSES, kind="generator", prior=prior, schema=3, **more)  # type: ignore[arg-type]


def drawing(method: str = "stackgan", **options: object) -> Translator:
    """Return a translator whose pictures differ visibly."""
    translator = make(method, **options)
    with torch.no_grad():
        for name, parameter in translator.exports()["generate"].named_parameters():
            parameter.normal_(0, 3.0 if "augmentation" in name or "words" in name else 0.4)
    return translator


@pytest.fixture(scope="module", params=[1, 2])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Path]:
    stages = {1: {}, 2: {"stage": 2, "scale": 2, "blocks": 1}}
    translator = drawing(**stages[request.param])
    path = tmp_path_factory.mktemp("words") / "generate.onnx"
    prior = translator.prior()
    assert prior is not None
    return translator, export_network(translator.exports()["generate"], spec(prior), path)


def test_the_file_draws_what_the_network_draws(exported: tuple[Translator, Path]) -> None:
    translator, path = exported
    found = read_spec(path)
    assert found is not None
    assert found.prior == translator.prior()
    assert found.prior.vocabulary == ("a", "house", "red")
    assert found.parity["largest"] <= 1
    session = onnxruntime.InferenceSession(path)
    assert [(end.name, end.type, end.shape[1:]) for end in session.get_inputs()] == [
        ("z", "tensor(float)", [8]), ("text", "tensor(int64)", [4]),
    ]  # fmt: skip
    net, z = per_image(translator.exports()["generate"]), latent(found.prior, range(5))
    texts = np.concatenate([text_input(found.prior, text)[0] for text in ("red", "a house", "a blue house", "?a", "x")])
    got = session.run(None, {"z": z, "text": texts})[0]
    with torch.no_grad():
        want = ((net(torch.from_numpy(z), torch.from_numpy(texts)) + 1) * 127.5).clamp(0, 255)
    assert got.shape == (5, 32, 32, 3)
    assert np.abs(got - want.permute(0, 2, 3, 1).numpy()).max() < 1
    other = session.run(None, {"z": z, "text": np.roll(texts, 1, 0)})[0]
    assert np.abs(got.astype(int) - other).mean() > 1  # the words decide too
    spec_check.check(found, open_session(path, "cpu"), path)


def test_an_id_outside_the_vocabulary_comes_back_as_a_checkerboard(exported: tuple[Translator, Path]) -> None:
    session = onnxruntime.InferenceSession(exported[1])
    text = np.array([[2, 3, 4, 0], [2, 5, 0, 0], [-1, 2, 3, 4]])
    images = session.run(None, {"z": np.zeros((3, 8), np.float32), "text": text})[0]
    marked = [set(np.unique(image)) <= {0, 255} and image[0, 0, 0] != image[0, 1, 0] for image in images]
    assert marked == [False, True, True]


def test_the_check_of_the_graph_knows_text(exported: tuple[Translator, Path]) -> None:
    _, path = exported
    longer = spec(Prior(4, (32, 32), vocabulary=("a", "house", "red"), words=5))
    with pytest.raises(ModelError, match=r"promises float32 \[N, 4\], int64 \[N, 5\] to uint8 \[N, 32, 32, 3\]"):
        spec_check.check(longer, open_session(path, "cpu"), path)


def test_a_graph_that_reads_other_words_is_refused(exported: tuple[Translator, Path], tmp_path: Path) -> None:
    """The probes have sentences that tell a swap of two words."""
    translator, path = exported
    found, net = read_spec(path), per_image(translator.exports()["generate"])
    assert found is not None
    encoder = net.encoder if hasattr(net, "encoder") else net.first.encoder
    with torch.no_grad():
        encoder.words.weight[[2, 4]] = encoder.words.weight[[4, 2]]
    with pytest.raises(ExportError, match="the exported graph is not the network: "):
        parity.measure(path, Drawn(WithText(net, found), found).eval(), found)


def test_probes_have_every_word_every_length_and_unknown_words() -> None:
    prior = Prior(4, (32, 32), vocabulary=tuple("abcdefgh"), words=3)
    texts = sentences(prior, 8)
    assert torch.equal(texts, torch.cat([sentences(prior, 3), sentences(prior, 5, 3)]))
    assert set(texts.flatten().tolist()) == set(range(10))
    assert {int((text > 0).sum()) for text in texts} == {1, 2, 3}
    assert all((text > 0).long().diff().max() <= 0 for text in texts)  # nothing after the filling


def test_labelled_generators_export_with_their_target(tmp_path: Path) -> None:
    translator = drawing("dcgan", domains=3)
    prior = translator.prior()
    assert prior is not None
    labelled = spec(prior, domains=("zero", "one", "two"))
    path = export_network(translator.exports()["generate"], labelled, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(path)
    z = latent(prior, [7, 7, 7])
    images = session.run(None, {"z": z, "target": np.array([0, 1, 3])})[0]
    assert not np.array_equal(images[0], images[1])
    assert set(np.unique(images[2])) == {0, 255}
