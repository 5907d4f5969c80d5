"""Imports between packages, checked in the source of every file and, for PyTorch, by removing it."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import i2i

ROOT = Path(i2i.__file__).parent
_SPEC = importlib.util.spec_from_file_location("architecture", ROOT.parent / "tools" / "architecture.py")
architecture = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(architecture)

# Part of i2i -> level, and what it may import from outside the standard library. Imports point down.
LEVELS: dict[str, tuple[int, set[str]]] = {
    "cli": (9, {"click", "rich", "numpy", "onnxruntime", "cv2", "torch"}),
    "demo": (8, {"numpy", "cv2"}),
    "serving": (7, {"numpy", "onnx", "prometheus_client", "starlette", "uvicorn"}),
    "engine": (7, {"torch", "numpy", "safetensors", "tensorboard"}),
    "exporter": (7, {"torch", "onnx", "onnxruntime", "numpy"}),
    "importer": (7, {"torch", "safetensors"}),
    "reporting": (6, {"jinja2", "markupsafe", "numpy", "PIL"}),
    "evaluation": (5, {"numpy", "onnx", "PIL"}),
    "metrics": (4, {"numpy", "cv2"}),
    "translators": (4, {"torch"}),
    "data": (4, {"torch", "numpy", "cv2"}),
    "networks": (3, {"torch"}),
    "gan": (3, {"torch"}),
    "image_pool": (3, {"torch"}),
    "losses": (3, {"torch"}),
    "diffaugment": (2, {"torch"}),
    "runtime": (3, {"numpy", "onnxruntime", "openvino", "onnx", "cv2", "av", "PIL", "fsspec", "ray"}),
    "sheets": (2, {"numpy", "cv2", "PIL"}),
    "images": (2, {"numpy", "cv2", "PIL", "pi_heif", "pyvips", "tifffile"}),
    "sampling": (2, {"numpy"}),
    "words": (2, {"numpy"}),
    "spec": (1, set()),
    "atomic": (0, set()),
    "cache": (0, set()),
    "errors": (0, set()),
    "text": (0, set()),
    "lost": (1, set()),
    "progress": (2, {"rich"}),
}
# The exporter reads the weights of a run where no generators are given, and the importer writes them; nothing of the
# engine knows either.
SIDEWAYS = {("exporter", "engine"), ("importer", "engine")}
# Imports upwards, within a function. A run that the user named and that was never exported is exported on the way: the
# one place where the running half imports the training half. A third-party checkpoint that a run starts from is
# recognised on the way, without making a run of it.
BRIDGES = {("runtime/model/catalog.py", "i2i.exporter"), ("engine/finetune.py", "i2i.importer")}
# What the package itself imports when it is imported; its public names are found on first use.
ROOT_FILES = {"__init__.py": set(), "__main__.py": {"i2i.cli"}}

PUBLIC = {
    "DataError", "Domain", "ExportError", "Generator", "I2IError", "ImageError", "Model", "ModelError", "ProviderError",
    "Spec", "VideoError", "__version__", "batches", "check", "evaluate", "export", "generate", "import_checkpoint",
    "load", "report", "train", "translate",
}  # fmt: skip


class Import(NamedTuple):
    """One import of one file: the module's full name, and True if it is made when the file is imported."""

    file: str
    line: int
    module: str
    at_once: bool


def _imports() -> Iterator[Import]:
    for path in sorted(ROOT.rglob("*.py")):
        for line, module, at_once, typing in architecture.imports(path):
            if not typing:
                yield Import(path.relative_to(ROOT).as_posix(), line, module, at_once)


IMPORTS = list(_imports())


def _part(file: str) -> str:
    """Return the part of the package that a file belongs to: images/decode.py -> images, spec.py -> spec."""
    return file.split("/")[0].removesuffix(".py")


def _own(module: str) -> str | None:
    """Return the part that a module belongs to; None for other packages, "" for the names of ``i2i`` itself."""
    names = module.split(".")
    return None if names[0] != "i2i" else names[1] if len(names) > 1 and names[1] in LEVELS else ""


def test_every_part_of_the_package_has_its_level() -> None:
    parts = {
        _part(p.relative_to(ROOT).as_posix())
        for p in ROOT.rglob("*.py")
        if p.name not in ROOT_FILES or p.parent != ROOT
    }
    assert parts == set(LEVELS)
    assert len(IMPORTS) > 100  # the walk sees them


def test_imports_point_down() -> None:
    wrong = []
    for file, line, module, at_once in IMPORTS:
        to = _own(module)
        if file in ROOT_FILES or not to or to == _part(file) or (_part(file), to) in SIDEWAYS:
            continue
        if (file, module.rpartition(".")[0]) in BRIDGES and not at_once:
            continue
        if LEVELS[to][0] >= LEVELS[_part(file)][0]:
            wrong.append(f"{file}:{line}: {_part(file)} imports {module}")
    assert not wrong, "\n".join(wrong)


# Rooms of a package from the ground up: those of one floor do not import each other, and imports point down.
FLOORS = {
    "i2i.runtime": [
        ["errors", "log", "session"], ["system"], ["graphs"], ["processing"], ["memory", "providers"], ["tiles"],
        ["adapters"], ["model"], ["jobs", "selftest"], ["video"], ["generation"], ["api"],
    ],
    "i2i.runtime.video": [
        ["errors", "options", "detect", "interrupt"], ["frame", "workspace"], ["source", "temporal", "pipeline"],
        ["sink"], ["translate"], ["folder"],
    ],
    "i2i.runtime.jobs": [
        ["sharding", "places"], ["options", "journal"], ["planning", "masks"], ["image_file"],
        ["strips", "remote"], ["oversized", "opening", "buckets"], ["parallel"], ["single", "workers"],
        ["watcher", "ray", "gpus"], ["folder"], ["derived"],
    ],
    "i2i.images": [
        ["tags", "libvips"], ["resolution"], ["exif", "image"], ["alpha", "codecs"], ["formats", "domains", "derive"],
        ["header", "listing"], ["metadata"], ["decode", "encode"], ["large"],
    ],
    "i2i.evaluation": [
        ["network_graph", "state_dict", "pictures", "sources"], ["inception", "lite0", "label_maps", "protocol"],
        ["networks", "results"], ["instruments", "labelling"], ["measure", "arguments"], ["candidates"],
        ["clips", "tables"], ["api"],
    ],
    "i2i.serving": [
        ["problems", "settings", "metrics", "triton", "ort_web"], ["work"], ["web", "static"], ["server"],
        ["supervisor"],
    ],
    "i2i.serving.work": [
        ["ticket", "video_job", "sources"], ["pool", "served", "translation"], ["store", "videos"], ["service"],
    ],
    "i2i.serving.web": [
        ["bodies", "connection", "guard", "parameters", "siblings", "tensors", "waiting"],
        ["inference", "jobs", "openapi", "translate"],
        ["app"],
    ],
    "i2i.reporting": [
        ["records", "embed", "markdown"], ["charts", "figures", "shipped"], ["gallery"], ["neighbours"], ["page"],
        ["card"], ["api"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("package", FLOORS)
def test_imports_within_a_package_point_down(package: str) -> None:
    """Type-checking imports are counted."""
    floors = {room: floor for floor, rooms in enumerate(FLOORS[package]) for room in rooms}
    found = architecture.arrows(ROOT.parent, package)
    assert found.keys() == floors.keys()
    wrong = [f"{here} imports {there}" for here in found for there in found[here] if floors[there] >= floors[here]]
    assert not wrong, f"{package}: {', '.join(wrong)}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_import_goes_in_a_circle(package: str) -> None:
    """Neither between the rooms of a package nor between its files; type-checking imports are counted."""
    rooms = architecture.arrows(ROOT.parent, package)
    assert not architecture.circles(rooms)
    files = architecture.arrows(ROOT.parent, package, files=True)
    assert not architecture.circles(files)
    assert max(architecture.floors(rooms).values()) <= len(FLOORS[package])


def test_circles_and_floors_are_found(tmp_path: Path) -> None:
    files = {
        "a.py": "",
        "b.py": "from p import a\n",
        "c.py": "if TYPE_CHECKING:\n    from p.d import X\nimport p.b\n",
        "d.py": "def f():\n    import p.c.name\n",
        "e/__init__.py": "",
        "e/f.py": "from p.c import g\n",
    }
    for name, text in files.items():
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_text(text)
    found = architecture.arrows(tmp_path, "p")
    assert found == {"a": set(), "b": {"a"}, "c": {"b", "d"}, "d": {"c"}, "e": {"c"}}
    assert architecture.circles(found) == [["c", "d"]]
    assert architecture.floors(found) == {"a": 1, "b": 2, "c": 3, "d": 3, "e": 4}


def test_only_what_a_part_may_use_from_outside() -> None:
    """This includes imports within functions: above all, the running half has no torch, not even a late one."""
    wrong = []
    for file, line, module, _ in IMPORTS:
        name = module.split(".")[0]
        allowed = set() if file in ROOT_FILES else LEVELS[_part(file)][1]
        if name not in sys.stdlib_module_names | allowed | {"i2i"}:
            wrong.append(f"{file}:{line}: {module}")
    assert not wrong, "\n".join(wrong)


def test_no_part_bypasses_the_levels_through_the_package() -> None:
    """``i2i.train`` and ``from i2i import train`` reach every level: only the version may be imported so."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        file = path.relative_to(ROOT).as_posix()
        if _part(file) in ("cli", "demo", "__init__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "i2i":
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "i2i":
                names = {node.attr}
            else:
                continue
            wrong += [f"{file}:{node.lineno}: i2i.{name}" for name in names & (PUBLIC - {"__version__"})]
    assert not wrong, "\n".join(wrong)


LIGHT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"torch", "onnxruntime", "onnx", "numpy", "cv2", "PIL", "safetensors"} & set(sys.modules)
    assert not heavy, f"{name} imports {heavy}"
"""


def test_the_package_and_every_command_are_light_until_they_are_used() -> None:
    """So ``--help`` is quick everywhere, and a command's usage error does not wait for PyTorch."""
    _python(LIGHT, "i2i", "i2i.spec", *(f"i2i.cli.{path.stem}" for path in (ROOT / "cli").glob("[a-z]*.py")))


def test_the_public_surface() -> None:
    assert set(i2i.__all__) == PUBLIC
    assert set(dir(i2i)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(i2i, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'translator'"):
        _ = i2i.translator


def test_no_module_bears_the_name_of_a_public_function() -> None:
    """Importing it would put the module in the function's place."""
    modules = {path.stem for path in ROOT.iterdir()}
    assert not modules & PUBLIC
    rooms = (
        "data",
        "engine",
        "evaluation",
        "exporter",
        "importer",
        "runtime",
        "networks",
        "images",
        "metrics",
        "reporting",
    )
    for part in (*rooms, "translators"):
        package = __import__(f"i2i.{part}", fromlist=["__all__"])
        assert not {path.stem for path in (ROOT / part).iterdir()} & set(package.__all__), part


WITHOUT_TORCH = """
import importlib, sys
for name in ("torch", "torchvision", "onnxscript", "safetensors", "kornia"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
for name in sys.argv[1:]:
    importlib.import_module(name)
import i2i
for name in ("load", "translate", "generate", "evaluate", "report", "Spec", "Domain"):
    getattr(i2i, name)
"""


def test_the_running_half_works_where_torch_is_not_installed() -> None:
    parts = (
        *("runtime", "images", "spec", "files", "metrics", "evaluation", "reporting", "serving", "sheets", "cli"),
        "__init__",
    )
    names = [
        ".".join(("i2i", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
        if _part(path.relative_to(ROOT).as_posix()) in parts
    ]
    assert len(names) > 20
    _python(WITHOUT_TORCH, *names)


def _python(program: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
