"""Memory, processors and graphics cards of this machine."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Control groups, version 2 and version 1: the folder, the files of its limit and its use, and the entry of memory.stat
# for cached file contents that are not in use.
GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


CPU = Path("/sys/fs/cgroup/cpu")
"""Control groups of processors in version 1; in version 2 a group is one of memory and of processors."""
OWN = Path("/proc/self/cgroup")


def groups(own: Path = OWN) -> list[tuple[Path, str, str, str]]:
    """Return the control groups of memory that this process is in, as ``GROUPS``, with all that contain them.

    A container sees its own group as the root; a job of SLURM or a unit of systemd is in one below it.
    """
    found = list(GROUPS)
    for number, kinds, below in _memberships(own):
        if number == "0" or "memory" in kinds:
            root, limit, taken, cache = GROUPS[number != "0"]
            found += [(root / each, limit, taken, cache) for each in below]
    return found


def cpu_groups(own: Path = OWN) -> list[Path]:
    """Return the folders of the control groups of processors in version 1 that this process is in."""
    return [CPU, *(CPU / each for _, kinds, below in _memberships(own) if "cpu" in kinds for each in below)]


def _memberships(own: Path) -> Iterator[tuple[str, list[str], list[Path]]]:
    """Yield the number, the kinds and the group of each hierarchy, with the groups that contain it but the root."""
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            number, kinds, path = line.split(":", 2)
            below = Path(path.lstrip("/"))
            yield number, kinds.split(","), [each for each in (below, *below.parents) if each != Path()]


_M_ARENA_MAX = -8  # of malloc.h
_processes = 1


def share(processes: int) -> None:
    """Let this process count a share of the processors and of the memory as its own: so many work side by side."""
    global _processes
    _processes = processes


def cores() -> int:
    """Return the number of processors that this process may use, within the quota of its container and its share."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder, *_ in groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            if quota != "max":
                count = min(count, max(1, int(quota) // int(period)))
    for folder in cpu_groups():
        with suppress(OSError, ValueError):
            allowed, within = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if allowed > 0:  # else there is no quota
                count = min(count, max(1, allowed // within))
    return max(1, count // _processes)


@contextmanager
def same_priority() -> Iterator[None]:
    """Keep the scheduling of this thread, and give it to all threads that start within the block.

    As root, as in most containers, SVT-AV1 takes the highest real-time priority for its threads and, for good, for the
    one that opens it. What that one starts later inherits it, and all else on the machine waits for them.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before, policy, parameters = _threads(), os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in {0, *_threads()} - before:
            with suppress(OSError):  # it has ended
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    """Return the threads of this process, where the system tells them."""
    with suppress(OSError):
        return {int(name) for name in os.listdir("/proc/self/task")}
    return set()


def processor() -> str:
    """Return the name of the processor, or its architecture where the system does not tell the name."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def computes_in_bf16() -> bool:
    """True if the processor has instructions for bfloat16 (AMX, AVX-512 BF16), without which it is slower than float32.

    Read from Linux's description of the processor; False elsewhere.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith("flags")).split()
        return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags)
    return False


def available_memory(within: Iterable[tuple[Path, str, str, str]] | None = None) -> int | None:
    """Return the memory in bytes that is available without swapping, within the limits of control groups and the share
    of this process; None if unknown. ``within`` are the control groups, by default those of this process.
    """
    found = None
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
    for group in groups() if within is None else within:
        left = _left_in_group(*group)
        if left is not None:
            found = left if found is None else min(found, left)
    return None if found is None else found // _processes


def _left_in_group(folder: Path, limit: str, taken: str, cache: str) -> int | None:
    """Return the bytes left below the limit of a control group, or None if it has no limit."""
    try:
        most, now = int((folder / limit).read_text()), int((folder / taken).read_text())
    except (OSError, ValueError):  # no such group, or a limit of "max"
        return None
    # The kernel drops cached files before it refuses memory, so they do not count as used.
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(cache + " "):
                now -= int(line.split()[1])
    return max(0, most - max(0, now))


def resident_memory() -> int:
    """Return the bytes of memory that this process uses; 0 where the system does not tell."""
    with suppress(OSError, ValueError, StopIteration):
        return _status("VmRSS")
    return 0


def release_memory() -> None:
    """Return memory that is free within this process to the system, where the C library keeps it (glibc)."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def limit_arenas(count: int) -> None:
    """Let the C library (glibc) allocate from at most so many heaps; those that its threads have already stay.

    By default there are eight for each core, and each keeps memory that the others cannot use.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count)


class PeakMemory:
    """Peak growth of this process since the object was made."""

    def __init__(self) -> None:
        self.start: int | None = None
        release_memory()  # else freed memory that is reused would not count
        with suppress(OSError, ValueError, StopIteration):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            self.start = _status("VmRSS")

    def grown(self) -> int | None:
        """Return the peak growth in bytes, or None if it is unknown."""
        if self.start is None:
            return None
        return max(0, _status("VmHWM") - self.start)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def cuda_devices() -> list[str]:
    """Return the names of the NVIDIA cards that the driver reports, without CUDA libraries; empty without a driver."""
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
