"""The code of docs/comfyui.md, docs/spandrel.md and docs/huggingface.md, run as far as their packages allow."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

import i2i
from i2i.spec import METADATA_KEY, Domain, Spec
from tests import tiny
from tests.conftest import ROOT
from tests.reporting.conftest import data, run  # noqa: F401 (fixtures)

MakeRun = Callable[..., Path]


def blocks(page: str, kind: str = "python") -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.S)


def module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module that a file of this code would be."""
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(code, f"{name}.py", "exec"), made.__dict__)
    return made


class TestComfyUI:
    """A node class as ComfyUI calls it: inputs by name, images float32 [b, h, w, c] in 0..1, a tuple of results."""

    @pytest.fixture
    def node(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        pytest.importorskip("torch")
        (code,) = blocks("comfyui")
        made = module("i2i_node", code, monkeypatch)
        assert made.NODE_CLASS_MAPPINGS.keys() == made.NODE_DISPLAY_NAME_MAPPINGS.keys()
        (found,) = made.NODE_CLASS_MAPPINGS.values()
        return found

    def test_its_declarations_fit_its_function(self, node: Any) -> None:
        kinds = node.INPUT_TYPES()
        assert set(kinds) <= {"required", "optional", "hidden"}
        inputs = {name: kind for group in kinds.values() for name, kind in group.items()}
        assert all(isinstance(kind, tuple) and isinstance(kind[0], str) for kind in inputs.values())
        assert isinstance(node.CATEGORY, str)
        parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
        assert set(parameters) == {"self", *inputs}
        needed = {name for name, one in parameters.items() if one.default is one.empty} - {"self"}
        assert needed == set(kinds["required"])

    def call(self, node: Any, image: Any, model: str, **options: Any) -> Any:
        results = getattr(node(), node.FUNCTION)(image=image, model=str(model), **options)
        assert isinstance(results, tuple)
        assert len(results) == len(node.RETURN_TYPES) == 1
        (found,) = results
        assert str(found.dtype) == "torch.float32"
        assert found.is_contiguous()
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        return found

    def test_a_batch_comes_back_in_its_size(self, node: Any) -> None:
        import torch

        image = torch.rand(2, 37, 50, 3, generator=torch.Generator().manual_seed(0))
        found = self.call(node, image, "day2night")
        assert found.shape == image.shape
        pixels = np.rint(image.numpy() * 255).astype(np.uint8)
        expected = i2i.load("day2night")(pixels).astype(np.float32) / 255
        assert np.abs(found.numpy() - expected).max() < 4 / 255  # whose input was rounded elsewhere

    def test_sixteen_bits_are_kept(self, node: Any, tmp_path: Path) -> None:
        import torch

        image = torch.rand(1, 8, 9, 3, generator=torch.Generator().manual_seed(0))
        found = self.call(node, image, str(tiny.inverter(tmp_path / "deep.onnx", tiny.DEEP)))
        assert float((found + image - 1).abs().max()) < 1e-5

    def test_a_grey_result_has_three_channels(self, node: Any, tmp_path: Path) -> None:
        import torch

        found = self.call(node, torch.full((1, 8, 9, 3), 0.25), str(tiny.inverter(tmp_path / "grey.onnx", tiny.GREY)))
        assert found.shape == (1, 8, 9, 3)
        assert float((found - 0.75).abs().max()) < 1 / 255

    def test_domains_and_holes(self, node: Any, tmp_path: Path) -> None:
        import torch
        from onnx import helper

        from tests.runtime.adapters.test_inputs import GIVEN, filler

        image = torch.full((2, 10, 14, 3), 0.6)
        mask = torch.zeros(2, 10, 14)
        mask[:, 2:5, 3:9] = 1
        path = filler(tmp_path / "fill.onnx", ("n", 1, "h", "w"))
        from i2i.runtime.adapters import annotate
        from i2i.runtime.adapters.options import ModelOptions

        options = ModelOptions.of({**GIVEN, "input": {"hole": "mask"}})
        annotate.write(path, tmp_path / "copy.onnx", annotate.describe(path, options)[0])
        found = self.call(node, image, str(tmp_path / "copy.onnx"), mask=mask)
        assert float((found[mask == 1] - 0.2).abs().max()) < 1e-4
        assert float((found[mask == 0] - 0.6).abs().max()) < 1e-4

        nodes = [
            helper.make_node("Cast", ["domain"], ["d"], to=2),
            helper.make_node("Reshape", ["d", "shape"], ["e"]),
            helper.make_node("Add", ["x", "e"], ["y"]),
        ]
        inputs = [("x", "uint8", ["n", "h", "w", 3]), ("domain", "int64", ["n"])]
        weather = tiny.write(tmp_path / "w.onnx", nodes, tiny.WEATHER, {"shape": np.array([-1, 1, 1, 1])}, inputs)
        results = [self.call(node, image, str(weather), to=name) for name in ("cloudy", "shine")]
        assert float((results[1] - results[0] - 2 / 255).abs().max()) < 1e-4


class TestSpandrel:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        """A pix2pix of untrained weights, as a run has it."""
        torch = pytest.importorskip("torch")
        pytest.importorskip("spandrel")
        from i2i.engine.weights import save_network
        from i2i.translators import translator_class

        torch.manual_seed(0)
        hyperparameters = {"generator": "resnet_1", "ngf": 4, "ndf": 2, "norm": "batch"}
        (net,) = translator_class("pix2pix")(3, 3, **hyperparameters).exports().values()
        recipe = {"channels": [3, 3], "hyperparameters": hyperparameters, "step": 1}
        spec = Spec("pix2pix", "a2b", Domain("edges"), Domain("shoes"), recipe=recipe, multiple=4, minimum=8)
        save_network(tmp_path, net, spec, "a2b")
        return tmp_path / "weights" / "a2b.safetensors"

    @pytest.fixture
    def page(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        spandrel = pytest.importorskip("spandrel")
        before = spandrel.MAIN_REGISTRY.copy()
        code, _ = blocks("spandrel")
        made = module("i2i_spandrel", code, monkeypatch)
        module("i2i_spandrel_again", code, monkeypatch)  # a program may import it twice
        yield made
        spandrel.MAIN_REGISTRY.__dict__.update(before.__dict__)

    def test_its_loader_loads_a_runs_weights(
        self, weights: Path, page: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import spandrel
        import torch

        from i2i.engine import load_generators
        from i2i.networks import per_image

        (tmp_path / "runs" / "pix2pix-edges2shoes").mkdir(parents=True)
        weights.parent.rename(tmp_path / "runs" / "pix2pix-edges2shoes" / "weights")
        monkeypatch.chdir(tmp_path)
        image = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(1))
        space = {"image": image.clone()}
        exec(blocks("spandrel")[1], space)
        found, model = space["result"], space["model"]
        assert isinstance(model, spandrel.ImageModelDescriptor)
        assert (model.architecture.id, model.scale, model.input_channels) == ("i2i", 1, 3)
        ((net, spec),) = load_generators("runs/pix2pix-edges2shoes").values()
        with torch.no_grad():
            expected = (per_image(net)(2 * image - 1) + 1) / 2
        assert torch.equal(found, expected.clamp(0, 1))
        assert (model.size_requirements.multiple_of, model.size_requirements.minimum) == (spec.multiple, spec.minimum)
        assert model(torch.rand(1, 3, 21, 30)).shape == (1, 3, 21, 30)
        assert model.tiling is spandrel.ModelTiling.DISCOURAGED

    def test_other_weights_are_loaded_as_before(self, page: ModuleType) -> None:
        import spandrel

        ids = [each.architecture.id for each in spandrel.MAIN_REGISTRY.architectures("detection")]
        assert ids[0] == "i2i"
        with pytest.raises(spandrel.UnsupportedModelError):
            spandrel.ModelLoader().load_from_state_dict({"some.weight": np.zeros(3)})

    def test_a_model_with_a_second_input_is_refused(self, weights: Path, page: ModuleType, tmp_path: Path) -> None:
        from dataclasses import replace

        import spandrel
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file

        with safe_open(weights, "pt") as file:
            header = file.metadata()
        spec = replace(Spec.from_json(header[METADATA_KEY]), domains=("a", "b"))
        save_file(load_file(weights), weights, header | {METADATA_KEY: spec.to_json()})
        page.save(weights, tmp_path / "copy.safetensors")
        with pytest.raises(ValueError, match="this one needs a domain, a style or bands"):
            spandrel.ModelLoader().load_from_file(tmp_path / "copy.safetensors")


class FakeApi:
    """Records what would go over the network; with the package installed, its calls must fit the real class."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.made: dict[str, Any] = {}
        try:
            from huggingface_hub import HfApi
        except ImportError:
            self.real: Any = None
        else:
            self.real = HfApi

    def _fits(self, name: str, *args: Any, **options: Any) -> None:
        if self.real is not None:
            inspect.signature(getattr(self.real, name)).bind(None, *args, **options)

    def create_repo(self, repo: str, **options: Any) -> str:
        self._fits("create_repo", repo, **options)
        self.made = options
        return f"hub/{repo}"

    def upload_folder(self, **options: Any) -> None:
        self._fits("upload_folder", **options)
        assert options["repo_id"] == "me/inverter"
        self.files = {path.name: path.read_bytes() for path in Path(options["folder_path"]).iterdir()}


class TestHuggingFace:
    def test_push_uploads_the_card_and_the_exports(
        self,
        run: MakeRun,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pytest.importorskip("jinja2")
        page, api, path = module("push", blocks("huggingface")[0], monkeypatch), FakeApi(), run()
        i2i.evaluate(path, metrics="L1,SSIM").save(path / "metrics.json")
        assert page.push("me/inverter", path, "apache-2.0", api) == "hub/me/inverter"
        assert api.made["private"] is True
        assert api.files.keys() == {"README.md", "a2b.onnx"}
        assert api.files["a2b.onnx"] == (path / "onnx" / "a2b.onnx").read_bytes()
        card = yaml.safe_load(api.files["README.md"].decode().split("---\n", 2)[1])
        assert (card["library_name"], card["license"]) == ("i2i", "apache-2.0")
        assert {each["name"] for each in card["model-index"][0]["results"][0]["metrics"]} == {"L1", "SSIM"}

    def test_the_real_package_accepts_the_card(self, run: MakeRun, tmp_path: Path) -> None:  # noqa: F811
        hub = pytest.importorskip("huggingface_hub")
        text = i2i.report(run(), out=tmp_path / "README.md", license="apache-2.0").read_text(encoding="utf-8")
        card = hub.ModelCard(text)
        assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
            "apache-2.0",
            "i2i",
            "image-to-image",
        )

    def test_a_download_is_loaded(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        hub = pytest.importorskip("huggingface_hub")
        path = tiny.inverter(tmp_path / "a2b.onnx")
        monkeypatch.setattr(hub, "hf_hub_download", lambda repo, name: str(path))
        space: dict[str, Any] = {}
        exec(blocks("huggingface")[1], space)
        assert space["translate"](np.full((4, 5, 3), 9, np.uint8)).min() == 246
