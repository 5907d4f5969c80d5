"""Division of a folder between machines that do not communicate.

A hash of its relative name decides to which shard a file belongs, whatever else the folder contains and in whatever
order it is listed: together the shards cover every file, and no file is in two of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Shard ``index`` of ``count``, counted from 1: "2/7" is the second of seven."""

    index: int
    count: int
    source: str = ""  # names of the environment variables that state it

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard {self.index}/{self.count}: the index must be from 1 to {self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def divided(self, index: int, count: int) -> Shard:
        """Return part ``index`` of ``count`` of this shard."""
        return Shard((self.index - 1) * count + index, self.count * count, self.source)

    def holds(self, name: str) -> bool:
        """True if the file of that relative name, with "/", belongs to this shard."""
        if self.count == 1:
            return True
        digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1


WHOLE = Shard(1, 1)


def parse(text: str) -> Shard:
    """Return the Shard of a text such as "2/7". Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if found is None:
        raise ValueError(f"shard is {text!r}; expected i/n, such as 1/4 to 4/4 for four shards")
    return Shard(int(found[1]), int(found[2]))


def from_environment(variables: Mapping[str, str]) -> Shard | None:
    """Return the shard that a scheduler has given to this process; None without a scheduler, or if it has one task.

    Supported are SLURM arrays, indexed jobs of Kubernetes (which do not state their number of tasks: the manifest must
    set JOB_COMPLETIONS to its ``completions``) and torchrun. Where one starts another, each shard of the outer one is
    divided by the inner one. Raises ValueError if the variables do not determine the shard.
    """
    index, count, sources = 0, 1, []
    for read in (_slurm, _kubernetes, _torchrun):
        part = read(variables)
        if part is not None and part[1] > 1:
            index, count = index * part[1] + part[0], count * part[1]
            sources.append(part[2])
    return Shard(index + 1, count, " and ".join(sources)) if sources else None


Part = tuple[int, int, str]  # index from 0, count, the name of the variable


def _slurm(variables: Mapping[str, str]) -> Part | None:
    name = "SLURM_ARRAY_TASK_ID"
    if name not in variables:
        return None
    task, count = _number(variables, name), _number(variables, "SLURM_ARRAY_TASK_COUNT", name)
    least, step = _number(variables, "SLURM_ARRAY_TASK_MIN", name), 1
    if "SLURM_ARRAY_TASK_STEP" in variables:
        step = _number(variables, "SLURM_ARRAY_TASK_STEP") or 1
    most = least + step * (count - 1)
    if "SLURM_ARRAY_TASK_MAX" in variables:
        most = _number(variables, "SLURM_ARRAY_TASK_MAX")
    if most != least + step * (count - 1) or (task - least) % step:
        raise ValueError(
            f"the SLURM array has gaps ({count} tasks from {least} to {most}), so the shard of task {task} is unknown: "
            "give --shard i/n, or give the array consecutive numbers"
        )
    return _part((task - least) // step, count, name)


def _kubernetes(variables: Mapping[str, str]) -> Part | None:
    name = "JOB_COMPLETION_INDEX"
    if name not in variables:
        return None
    if "JOB_COMPLETIONS" not in variables:
        raise ValueError(
            "JOB_COMPLETION_INDEX is set, and JOB_COMPLETIONS is not: set JOB_COMPLETIONS to the job's completions in "
            "its manifest, or give --shard i/n (1/1 for the whole folder)"
        )
    return _part(_number(variables, name), _number(variables, "JOB_COMPLETIONS"), name)


def _torchrun(variables: Mapping[str, str]) -> Part | None:
    if "RANK" not in variables or "WORLD_SIZE" not in variables:
        return None
    return _part(_number(variables, "RANK"), _number(variables, "WORLD_SIZE"), "RANK")


def _part(index: int, count: int, name: str) -> Part:
    if not 0 <= index < count:
        raise ValueError(f"{name} is part {index} of {count}; expected 0 to {count - 1}: give --shard i/n")
    return index, count, name


def _number(variables: Mapping[str, str], name: str, of: str = "") -> int:
    if name not in variables:
        raise ValueError(f"{of} is set and {name} is not: give --shard i/n")
    try:
        return int(variables[name])
    except ValueError:
        raise ValueError(f"{name} is {variables[name]!r}, which is no number; give --shard i/n") from None
