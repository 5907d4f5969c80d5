"""Runs on many domains: what the data tells the translator, the sheets and the weights."""

import json

import cv2
import numpy as np
import pytest

from i2i.engine import load_generators, train
from i2i.engine.prepare import held_out, open_data
from i2i.engine.settings import Settings
from tests.engine.conftest import TINY

FACES = {1: (0, 1, 0), 2: (1, 1, 0), 3: (1, 0, 1), 4: (0, 0, 1)}


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (40, 36, 3), dtype=np.uint8))


@pytest.fixture
def faces(tmp_path):
    rows = []
    for number, values in FACES.items():
        draw(tmp_path / "faces" / f"{number}.png", number)
        rows.append(f"{number}.png,{','.join(map(str, values))}")
    (tmp_path / "faces.csv").write_text("\n".join(["file,male,young,bald", *rows]))
    return {"data": str(tmp_path / "faces"), "attributes": str(tmp_path / "faces.csv")}


def test_a_run_on_a_table_of_attributes(faces, tmp_path, one_thread):
    options = TINY["stargan"] | faces | {"select": "bald,male", "n_critic": 1}
    run = train("stargan", **options, steps=2, sample_every=2, out=tmp_path / "run", quiet=True)
    facts = json.loads((run / "run.json").read_text())
    assert facts["domains"] == ["bald", "male"]
    assert {name: facts["hyperparameters"][name] for name in ("domains", "attributes")} == {
        "domains": 2, "attributes": True,
    }  # fmt: skip
    net, spec = load_generators(run)["any"]
    assert (spec.domains, spec.attributes, spec.source.name) == (("bald", "male"), True, "faces")
    assert spec.recipe["settings"]["attributes"] == "faces.csv"  # not where it lay
    assert net.first[0].in_channels == 3 + 2
    assert (run / "samples" / "000000002.png").exists()
    (tmp_path / "faces.csv").write_text((tmp_path / "faces.csv").read_text().replace("4.png,0,0,1", "4.png,0,0,0"))
    with pytest.raises(ValueError, match="was started with other images"):
        train("stargan", **options, steps=4, out=run, quiet=True)


def test_what_the_data_says_cannot_be_set(faces, tmp_path):
    words = r"domains cannot be set: the data and the size say \{'domains': 3, 'attributes': True\}"
    with pytest.raises(ValueError, match=words):
        train("stargan", **TINY["stargan"], **faces, domains=5, steps=2, out=tmp_path / "run", quiet=True)


def test_sheets_show_what_is_held_out_if_it_has_the_same_domains(tmp_path):
    for seed, name in enumerate(("train/rain/1.png", "train/sun/2.png", "test/rain/3.png", "test/sun/4.png")):
        draw(tmp_path / "data" / name, seed)
    settings = Settings("stargan", data=str(tmp_path / "data"))
    training = open_data(settings)
    assert held_out(settings, training).fingerprint == open_data(settings, "test").fingerprint
    (tmp_path / "data/test/sun").rename(tmp_path / "data/test/snow")
    assert held_out(settings, training) is training
