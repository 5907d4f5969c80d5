"""Free memory within a container, and heaps of threads."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from i2i.runtime.system import host

MIB = 1 << 20


@pytest.mark.parametrize("version", [1, 2])
def test_cached_files_count_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """A group of 50 MiB, full but for 1 MiB, of which 30 are the contents of files that were read."""
    monkeypatch.chdir(tmp_path)
    (_, limit, taken, cache) = host.GROUPS[2 - version]
    assert (limit, cache) == {2: ("memory.max", "inactive_file"), 1: ("memory.limit_in_bytes", "total_inactive_file")}[
        version
    ]
    groups = [(tmp_path, limit, taken, cache), (tmp_path / "nowhere", "a", "b", "c")]
    (tmp_path / limit).write_text(f"{50 * MIB}\n")
    (tmp_path / taken).write_text(f"{49 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {19 * MIB}\nactive_file 7\n{cache} {30 * MIB}\n{cache}_other 5\n")
    assert host.available_memory(groups) == 31 * MIB
    (tmp_path / "memory.stat").unlink()
    assert host.available_memory(groups) == MIB  # what is cached is unknown, and the limit still holds


def test_a_group_without_a_limit_leaves_what_the_machine_has(tmp_path: Path) -> None:
    free = host.available_memory([])
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    again = host.available_memory([(tmp_path, "memory.max", "memory.current", "inactive_file")])
    assert (free is None) == (again is None)
    assert again is None or again > 50 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
@pytest.mark.parametrize("limited", [True, False])
def test_threads_allocate_from_few_heaps(limited: bool) -> None:
    program = """
import ctypes, sys, threading
from i2i.runtime.system.host import limit_arenas
if sys.argv[1] == "True":
    limit_arenas(2)
barrier = threading.Barrier(8)
def allocate():
    barrier.wait()
    kept = [bytes(5000) for _ in range(100)]
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""
    done = subprocess.run([sys.executable, "-c", program, str(limited)], capture_output=True, text=True, check=True)
    assert (done.stdout.count("<heap nr=") <= 2) is limited


def test_the_control_group_of_a_job_counts_with_those_around_it(tmp_path, monkeypatch):
    own = tmp_path / "cgroup"
    own.write_text("0::/slurm/job_7/step_0\n4:cpu,memory:/slurm/job_7\n3:freezer:/elsewhere\n")
    (v2, *_), (v1, *_) = host.GROUPS
    found = [folder for folder, *_ in host.groups(own)]
    assert found == [
        v2, v1, v2 / "slurm/job_7/step_0", v2 / "slurm/job_7", v2 / "slurm", v1 / "slurm/job_7", v1 / "slurm",
    ]  # fmt: skip
    assert host.groups(tmp_path / "none") == list(host.GROUPS)
    job = tmp_path / "job"
    job.mkdir()
    (job / "cpu.max").write_text("100000 100000")
    (job / "memory.max").write_text(str(50 * MIB))
    (job / "memory.current").write_text("0")
    monkeypatch.setattr(host, "groups", lambda: [(job, *host.GROUPS[0][1:])])
    assert host.cores() == 1
    assert host.available_memory() == 50 * MIB


def test_a_quota_of_version_1_counts(tmp_path, monkeypatch):
    own = tmp_path / "cgroup"
    own.write_text("5:cpu,cpuacct:/pods/7\n4:memory:/elsewhere\n2:cpuset:/elsewhere\n")
    assert host.cpu_groups(own) == [host.CPU, host.CPU / "pods/7", host.CPU / "pods"]
    monkeypatch.setattr(host, "groups", list)
    monkeypatch.setattr(host, "cpu_groups", lambda: [tmp_path / "none", tmp_path])
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda _: set(range(64)))
    for quota, cores in (("-1", 64), ("400000", 4), ("50000", 1)):
        (tmp_path / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu.cfs_period_us").write_text("100000")
        assert host.cores() == cores
