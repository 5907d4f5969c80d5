"""Settings of a service. Standard library only, so that ``--help`` costs nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

MB = 1_000_000
CPU = "cpu"
"""A device that is no GPU."""
_DEVICE = re.compile(r"cpu|\d{1,3}|(GPU|MIG)-[\w/-]+", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """Settings of a service; sizes are in bytes, times in seconds.

    Raises ValueError for a number below its least value.
    """

    host: str = "127.0.0.1"
    port: int = 8080  # 0: any free one
    provider: str = "auto"
    allow_fallback: bool = False
    devices: tuple[str, ...] = ()  # one process for each: a GPU by its number or its name, or cpu; empty: one process
    processes: int = 1  # of the service, which share the memory
    batch: int | None = None  # images of equal size per call of a GPU; None: as many as fit into its memory
    batch_wait: float = 0.005  # that an image waits at most for others of its size, on a GPU
    workers: int | None = None  # images in work at once; None: one a core, and more on a GPU
    queue: int = 64  # requests that may wait for a worker; further ones get 429
    timeout: float = 60.0  # of a request, from the arrival of its body to the result
    drain: float = 30.0  # for accepted requests after SIGTERM
    max_body: int = 64 * MB
    max_pixels: int = 64_000_000
    max_files: int = 32  # of one multipart request
    max_connections: int = 512
    max_video: int = 1000 * MB  # body of a video
    max_disk: int = 4000 * MB  # uploads and results of all videos
    video_queue: int = 8  # videos that wait or run
    keep: float = 3600.0  # that the result of a video is kept
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()  # further names in the header Host
    watch: bool = False  # look for changed model files every two seconds
    access_log: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("port", "queue", "batch_wait", "drain") else 1
            if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
                raise ValueError(f"{field.name} is {value}; expected at least {least}")
        if self.port > 65535:
            raise ValueError(f"port is {self.port}; expected 0 to 65535")
        for device in self.devices:
            if not _DEVICE.fullmatch(device):
                raise ValueError(f"devices has {device!r}; expected numbers of GPUs, names of nvidia-smi -L, or cpu")

    def token(self) -> str | None:
        """Return the bearer token in ``token_file``, None without one. Raises ValueError for a file without a token."""
        if self.token_file is None:
            return None
        text = self.token_file.read_text(encoding="utf-8").strip()
        if len(text) < 16 or not text.isascii() or any(character.isspace() for character in text):
            raise ValueError(f"{self.token_file}: expected one token of at least 16 ASCII characters without spaces")
        return text
