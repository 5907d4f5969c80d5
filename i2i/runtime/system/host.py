"""Facts about this machine: memory, processors, graphics cards."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

# Control groups, version 2 and version 1: the folder, the files of its limit and of what is taken, and the name that
# memory.stat there has for the part of it that is file contents which nobody has used for a while.
GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cores() -> int:
    """Processors that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count


def available_memory() -> int | None:
    """Bytes that can be taken without pushing others out, a container's limit included; None where unknown."""
    found = None
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
    for group in GROUPS:
        left = _left_in_group(*group)
        if left is not None:
            found = left if found is None else min(found, left)
    return found


def _left_in_group(folder: Path, limit: str, taken: str, cache: str) -> int | None:
    """Bytes up to the limit of a control group, or None if it has none."""
    try:
        most, now = int((folder / limit).read_text()), int((folder / taken).read_text())
    except (OSError, ValueError):  # no such group, or a limit of "max"
        return None
    # The kernel gives cached files up before anybody is refused; without this, reading many files fills the group.
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(cache + " "):
                now -= int(line.split()[1])
    return max(0, most - max(0, now))


class PeakMemory:
    """``grown``: by how many bytes this process grew at most between ``__init__`` and the call; None where unknown."""

    def __init__(self) -> None:
        self.start: int | None = None
        with suppress(AttributeError, OSError, TypeError):  # not every C library has it
            ctypes.CDLL(None).malloc_trim(0)  # or memory that was freed and kept would be taken again unnoticed
        with suppress(OSError, ValueError, StopIteration):
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
            self.start = _status("VmRSS")

    def grown(self) -> int | None:
        if self.start is None:
            return None
        return max(0, _status("VmHWM") - self.start)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def cuda_devices() -> list[str]:
    """Names of the NVIDIA cards that the driver shows, without any CUDA library; empty if there is no driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(0), ctypes.create_string_buffer(128)
        if driver.cuDeviceGet(ctypes.byref(device), index) == 0:
            driver.cuDeviceGetName(name, 128, device)
            names.append(name.value.decode(errors="replace"))
    return names
