"""Dataset layouts: where the two domains are, and which files form pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from i2i.errors import DataError
from i2i.images import Image, ImageError, name_images
from i2i.text import as_given

Folder = str | os.PathLike[str]

_EXPECTED = """one of
  DIR/train/*.jpg            pairs side by side in one file, A | B
  DIR/trainA  DIR/trainB     two folders (also DIR/train/A DIR/train/B, DIR/A/train DIR/B/train, DIR/A DIR/B)
  --a DIR --b DIR            any two folders"""


SPLITS = {"train", "val", "test"}
"""Names of folders that are parts of a dataset."""


@dataclass(frozen=True)
class Layout:
    """Two folders, or one folder of files with both halves (then ``a == b`` and ``aligned``)."""

    a: Path
    b: Path
    names: tuple[str, str] = ("a", "b")
    aligned: bool = False
    derive: str = ""
    """How the images of ``a`` are made of those of ``b``, which is the same folder; empty for two domains."""


@dataclass(frozen=True)
class Source:
    """One image of a domain: a file, a half of one, or what is made of one."""

    path: Path
    name: str  # relative to its folder, for messages and for the fingerprint
    half: int | None = None  # 0 left, 1 right
    derive: str = ""  # how it is made of the file; see i2i.images.derive


def find_layout(
    split: str, data: Folder | None = None, a: Folder | None = None, b: Folder | None = None, derive: str | None = None
) -> Layout:
    """Find the two domains' folders, or with ``derive`` the one that both are of.

    Raises DataError where they do not exist or have no known layout.
    """
    if derive:
        return _derived(split, data, a, b, derive)
    if data is not None and (a is not None or b is not None):
        raise DataError("give either --data DIR, or --a DIR and --b DIR")
    if data is not None:
        return _one_folder(existing(data), split)
    if a is None or b is None:
        raise DataError("no data: give --data DIR, or both --a DIR and --b DIR")
    return _two_folders(existing(a), existing(b), split)


def existing(path: Folder) -> Path:
    """Return ``path`` as a Path. Raises DataError unless it is an existing folder."""
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: " + ("a file; a folder is needed" if folder.exists() else "there is no such folder")
        )
    return folder


def _derived(split: str, data: Folder | None, a: Folder | None, b: Folder | None, derive: str) -> Layout:
    given = b if data is None else data
    if a is not None or given is None or (data is not None and b is not None):
        raise DataError("with --derive the source is made of the target: give one folder of images, --b DIR")
    root = existing(given)
    folders = subfolders(root)
    if split not in folders and (split != "train" or folders.keys() & SPLITS):
        raise DataError(f"{root}: no '{split}' folder here; it has {_listing(root)}")
    folder = folders.get(split, root)
    return Layout(folder, folder, (derive, domain_name(root)), derive=derive)


def _one_folder(root: Path, split: str) -> Layout:
    folders = subfolders(root)
    two = _sides(folders, f"{split}a", f"{split}b")
    if two is None and split in folders:
        two = _sides(subfolders(folders[split]), "a", "b")
    if two is None and (sides := _sides(folders, "a", "b")) is not None:
        inner = [subfolders(side) for side in sides]
        if all(split in names for names in inner):
            two = (inner[0][split], inner[1][split])
        elif split == "train" and not any(names.keys() & SPLITS for names in inner):
            two = sides
    if two is not None:
        return Layout(*two)
    if split in folders:
        _refuse_classes(folders[split])
        return Layout(folders[split], folders[split], aligned=True)
    if split == "train" and not folders and _any_image(root):
        return Layout(root, root, aligned=True)
    raise DataError(f"{root}: no '{split}' data here; it has {_listing(root)}. Expected {_EXPECTED}")


def _two_folders(a: Path, b: Path, split: str) -> Layout:
    if a.resolve() == b.resolve():
        raise DataError(f"--a and --b are the same folder, {a}: a translator needs two domains")
    for one, other in ((a, b), (b, a)):
        if one.resolve() in other.resolve().parents:
            raise DataError(
                f"{other} lies inside {one}, so the images of one would be in both; give two separate folders"
            )
    names = (domain_name(a), domain_name(b))
    if names[0] == names[1]:
        names = ("a", "b")
    inside = subfolders(a), subfolders(b)
    if all(split in folders for folders in inside):
        return Layout(inside[0][split], inside[1][split], names)
    if split != "train":
        raise DataError(f"{a} and {b} have no '{split}' folder each")
    for folder, there in zip((a, b), inside, strict=True):
        if splits := sorted(there.keys() & SPLITS):
            raise DataError(
                f"{folder} has {' and '.join(splits)} inside, and not both folders have train; name the two folders of "
                "training images themselves"
            )
    return Layout(a, b, names)


def domain_name(folder: Path) -> str:
    """Return the domain's name: the folder's as it was given, or its parent's if the folder is a split."""
    folder = as_given(folder)
    return folder.parent.name if folder.name.lower() in SPLITS else folder.name


def subfolders(root: Path) -> dict[str, Path]:
    """Return the folders in a folder, by lower-case name."""
    return {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."}


def domain_folders(root: Path, split: str) -> tuple[dict[str, Path], Path]:
    """Return the folders of a split's domains, by name, and the folder that contains them; none if it has none.

    ``trainA``, ``trainB`` and so on are domains as well, named by their letters in lower case.
    """
    folders = subfolders(root)
    if "traina" in folders and "trainb" in folders:
        sides = sorted(name[-1] for name in folders if name[:-1] == "train" and name[-1].isalpha())
        return {side: folders[split + side] for side in sides if split + side in folders}, root
    if folders.keys() & SPLITS:
        root = folders.get(split, root / split)
    elif split != "train":
        return {}, root
    inside = sorted(root.iterdir()) if root.is_dir() else []
    return {path.name: path for path in inside if path.is_dir() and path.name[0] != "."}, root


def _sides(folders: dict[str, Path], a: str, b: str) -> tuple[Path, Path] | None:
    a, b = a.lower(), b.lower()
    return (folders[a], folders[b]) if a in folders and b in folders else None


def _any_image(root: Path) -> bool:
    return bool(name_images(root, on_error=lambda error: None))


def _refuse_classes(folder: Path) -> None:
    """Raise DataError for a folder that contains only folders: domains, of which two must be chosen."""
    classes = subfolders(folder)
    if len(classes) >= 2 and not any(path.is_file() for path in folder.iterdir()):
        first, second = list(classes.values())[:2]
        raise DataError(
            f"{folder} contains the folders {', '.join(path.name for path in classes.values())}; "
            f"choose two, such as --a '{first}' --b '{second}', or a method for many domains, such as stargan"
        )


def _listing(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir())
    return (", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "nothing"


def list_sources(layout: Layout, kind: str) -> tuple[list[Source], list[Source], list[str]]:
    """Return the images of both domains and the problems found; pairs have equal positions."""
    problems: list[str] = []
    if layout.aligned:
        names = _named(layout.a, problems)
        if not names and not problems:
            problems.append(f"{layout.a}: no images in this folder")
        halves = [[Source(path, name, half) for name, path in names.items()] for half in (0, 1)]
        return halves[0], halves[1], problems
    if layout.derive:
        files = _named(layout.b, problems)
        if not files and not problems:
            problems.append(f"{layout.b}: no images in this folder")
        target = [Source(path, name) for name, path in files.items()]
        return [replace(source, derive=layout.derive) for source in target], target, problems
    sides = [_named(layout.a, problems), _named(layout.b, problems)]
    for folder, names in zip((layout.a, layout.b), sides, strict=True):
        if not names and not problems:
            problems.append(f"{folder}: no images in this folder")
    if kind == "pairs" and not problems:
        sides = _match(layout, sides, problems)
    a, b = ([Source(path, name) for name, path in names.items()] for names in sides)
    return a, b, problems


def _named(folder: Path, problems: list[str]) -> dict[str, Path]:
    def broken(error: ImageError) -> None:
        problems.append(str(error))

    return {name: folder / name for name in name_images(folder, broken)}


def _match(layout: Layout, sides: Sequence[dict[str, Path]], problems: list[str]) -> list[dict[str, Path]]:
    """Match pairs: files with the same relative path apart from the suffix."""
    keyed: list[dict[str, str]] = []
    for folder, names in zip((layout.a, layout.b), sides, strict=True):
        keys: dict[str, str] = {}
        for name in names:
            key = os.path.splitext(name)[0]
            if key in keys:
                problems.append(f"{folder}: {keys[key]} and {name} differ by suffix alone, so their pair is ambiguous")
            keys[key] = name
        keyed.append(keys)
    both = keyed[0].keys() & keyed[1].keys()
    if not both:
        problems.append(
            f"{layout.a} and {layout.b} share no file name (suffixes apart), and pairs are matched by name; "
            "if these are not pairs, choose an unpaired method such as cyclegan"
        )
    else:
        for mine, other, folder in ((0, 1, layout.b), (1, 0, layout.a)):
            here = (layout.a, layout.b)[mine]
            for key in sorted(keyed[mine].keys() - keyed[other].keys()):
                problems.append(f"{here / keyed[mine][key]}: no image of this name in {folder}")
    return [{keyed[side][key]: sides[side][keyed[side][key]] for key in sorted(both)} for side in (0, 1)]


def half_of(image: Image, half: int | None) -> Image:
    """Return the left (0) or the right (1) half of an image, or the whole (None)."""
    if half is None:
        return image
    middle = image.width // 2
    columns = slice(half * middle, (half + 1) * middle)
    alpha = None if image.alpha is None else image.alpha[:, columns]
    whole = None if image.whole is None else (image.whole[0], image.whole[1] // 2)
    return Image(image.pixels[:, columns], alpha, reduction=image.reduction, whole=whole)
