"""Every family of generators, exported, in the library of browsers; minutes, so not in the fast suite."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from i2i.images import read_image
from i2i.spec import Domain, Spec
from tests.production.conftest import ROOT

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

PHOTO, DEEP = Domain("photo"), Domain("scan", 1, 16)
TO = Spec("pix2pix", "a2b", PHOTO, PHOTO)
NAMES = ("cloudy", "rain", "shine")
# A name, options and a Spec; the family is the name without its number.
CASES = {
    "resnet": ("resnet_2", {"ngf": 4}, TO),
    "resnet, separable": ("mobile_resnet_2", {"ngf": 4}, TO),
    "resnet, resize": ("resnet_2", {"ngf": 4, "upsample": "resize"}, TO),
    "resnet, 16 bits": ("resnet_2", {"ngf": 4}, Spec("pix2pix", "a2b", DEEP, DEEP)),
    "unet": ("unet_32", {"ngf": 4}, TO),
    "global": ("global_2", {"ngf": 4}, TO),
    "csc321": ("csc321", {}, TO),
    "stargan": ("stargan_2", {"ngf": 4, "domains": 3}, Spec("stargan", "any", PHOTO, PHOTO, domains=NAMES)),
    "stargan, attributes": (
        *("stargan_2", {"ngf": 4, "domains": 3}),
        Spec("stargan", "any", PHOTO, PHOTO, domains=NAMES, attributes=True),
    ),
}
# None of one colour, 1 x 1 included: see the page's last section.
SIZES = ((5, 7), (57, 101), (90, 300))


def test_no_family_is_left_out() -> None:
    from i2i.networks import GENERATORS

    assert {re.sub(r"_\d+$", "", name) for name, _, _ in CASES.values()} == set(GENERATORS)


@pytest.mark.parametrize("name", CASES)
def test_same_pixels_in_the_library_of_browsers(name: str, tmp_path: Path, node: str, node_modules: Path) -> None:
    from i2i.exporter import export_network
    from i2i.networks import generator

    torch.manual_seed(0)
    network, options, spec = CASES[name]
    net = generator(network, spec.source.channels, spec.target.channels, **options)
    path = export_network(net, spec, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole, cases, wanted = read_image(ROOT / "docs" / "demo.jpg").pixels, [], []
    for number, (h, w) in enumerate(SIZES):
        rows, columns = np.linspace(20, 150, h).astype(int), np.linspace(20, 150, w).astype(int)
        pixels = whole[rows][None, :, columns]
        feeds = {"image": pixels if spec.dtype == "uint8" else pixels[..., :1] * np.float32(257)}
        if spec.domains:
            feeds["target"] = np.float32([[0, 1, 1]]) if spec.attributes else np.array([2])
        wanted.append(session.run(None, feeds)[0])
        stored = []
        for key, value in feeds.items():
            np.ascontiguousarray(value).tofile(tmp_path / f"{number}.{key}")
            facts = {
                "name": key,
                "type": str(value.dtype),
                "dims": value.shape,
                "file": str(tmp_path / f"{number}.{key}"),
            }
            stored.append(facts)
        cases.append({"model": str(path), "feeds": stored, "result": str(tmp_path / f"{number}.result")})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "run.mjs").write_text(Path(__file__).with_name("run.mjs").read_text())
    (tmp_path / "node_modules").symlink_to(node_modules)
    done = subprocess.run([node, "run.mjs", "cases.json"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for case, want in zip(cases, wanted, strict=True):
        got = np.fromfile(str(case["result"]), want.dtype).reshape(want.shape)
        limit = 1 if want.dtype == np.uint8 else 1e-4 * spec.target.peak  # what an export itself is held to
        assert np.abs(got.astype(float) - want).max() <= limit
        assert want.std() > 5
