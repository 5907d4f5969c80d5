"""Tell videos and animations from images, and name their results."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from i2i.images import IMAGE_SUFFIXES, MAX_PIXELS, Header, ImageError, name_files, read_header
from i2i.images.header import open_regular

PathLike = str | os.PathLike[str]

# Suffix -> FFmpeg's name of the containers that are written. Others (AVI, MPEG-TS ...) lose times or tags.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
CONTAINERS |= {".gif": "gif", ".webp": "webp", ".apng": "apng"}
_ANIMATED = ("GIF", "WEBP", "PNG")  # formats of images that may be animations

_SUFFIXES = "mp4 m4v mov mkv webm avi mpg mpeg m2v vob ts m2ts mts flv wmv asf ogv 3gp 3g2 mxf y4m h264 hevc ivf nut"
VIDEO_SUFFIXES = frozenset("." + suffix for suffix in _SUFFIXES.split())
WRITTEN = CONTAINERS.keys() & VIDEO_SUFFIXES
"""The suffixes of the videos that are written."""

# Offsets and signatures: EBML (Matroska, WebM), AVI, YUV4MPEG2, FLV, ASF, Ogg, MPEG programme stream.
_SIGNS = {
    b"\x1a\x45\xdf\xa3": 0,
    b"AVI ": 8,
    b"YUV4MPEG2 ": 0,
    b"FLV\x01": 0,
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": 0,
    b"OggS": 0,
    b"\x00\x00\x01\xba": 0,
}
HEAD = 512  # bytes that identify a file
_PACKETS = ((0, 188), (4, 192))  # where those of MPEG-TS and of M2TS begin, and how long they are
_STILL = re.compile(rb"avif|avis|heic|heix|mif1|msf1|crx ")  # brands of images in the container of MP4


def is_video(source: PathLike, dst: PathLike | None = None) -> bool:
    """True if the source goes through the model as a video: a camera, a video file, or an animation.

    A file that is called like an image, or like nothing, is a video if its first bytes say so. An animation (GIF, WebP
    or APNG of several frames) is a video unless ``dst`` is named like an image of one frame, or is "-": then its first
    frame is translated.
    """
    if camera(source) is not None:
        return True
    path = Path(source)
    if path.is_dir():
        return False
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    if animation(path) is not None:
        suffix = Path(dst).suffix.lower() if dst is not None else ""
        still = suffix in IMAGE_SUFFIXES and suffix not in CONTAINERS and suffix != ".png"
        return not still and str(dst) != "-"
    try:
        with open_regular(path) as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return begins_like_video(head, packets=path.suffix.lower() not in IMAGE_SUFFIXES)


def animation(source: PathLike, max_pixels: int = MAX_PIXELS) -> Header | None:
    """Return the header of an animated GIF, WebP or PNG of at most ``max_pixels`` a frame, None for anything else."""
    if Path(source).suffix.lower() in VIDEO_SUFFIXES:
        return None
    try:
        header = read_header(source, max_pixels)
    except ImageError:
        return None
    return header if header.format in _ANIMATED and header.frames > 1 else None


def begins_like_video(head: bytes, packets: bool = True) -> bool:
    """True if a file that begins with these bytes is a video.

    MPEG-TS has no signature but the same byte in each of its ``packets``, which images may have by chance.
    """
    if head[4:8] == b"ftyp":
        return not _STILL.search(head[8:64])
    if packets and any(head[at : at + 2 * size + 1 : size] == b"GGG" for at, size in _PACKETS):
        return not head.startswith(b"GIF8")
    return any(head[at : at + len(sign)] == sign for sign, at in _SIGNS.items())


def camera(source: PathLike) -> int | None:
    """Return the number of "camera:0", or None for another source."""
    found = re.fullmatch(r"camera:(\d{1,3})", os.fspath(source))
    return int(found.group(1)) if found else None


def name_videos(folder: PathLike, on_error: Callable[[ImageError], None] | None = None) -> list[str]:
    """Return the relative name of every file under the folder with the suffix of a video; see ``name_files``."""
    return name_files(folder, VIDEO_SUFFIXES, on_error)


def video_target(source: PathLike, dst: PathLike | None, name: str, format: str | None) -> Path:
    """Return the file to write, or the folder where ``format`` asks for frames: ``dst``, or beside the source.

    A ``dst`` with a slash at its end is a folder that gets the file; a suffix that cannot be written becomes .mkv, and
    an animation keeps its format. Raises ValueError for a source without a name, such as a camera.
    """
    path = Path(source)
    animated = animation(path)
    if animated is not None:
        names = {"GIF": (".gif",), "WEBP": (".webp",), "PNG": (".png", ".apng")}[animated.format]
        suffix = path.suffix if path.suffix.lower() in names else names[0]
    else:
        suffix = path.suffix if path.suffix.lower() in WRITTEN else ".mkv"
    if dst is None:
        if camera(source) is not None or str(source) == "-":
            raise ValueError(f"{source} is no file, so the result has no name: give a DST")
        return path.with_name(f"{path.stem}-{name}{'' if format else suffix}")
    target = Path(dst)
    into = os.fspath(dst).endswith(("/", os.sep)) or (target.is_dir() and not format)
    if not into or format:
        return target
    if camera(source) is not None or str(source) == "-":
        raise ValueError(f"{dst} is a folder, and {source} has no name: give the result one")
    return target / f"{path.stem}{suffix}"
