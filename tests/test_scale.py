"""Every program of docs/scale.md runs, or is checked against the schema of what reads it."""

from __future__ import annotations

import copy
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import numpy as np
import pytest
import yaml

from i2i.cli import group
from i2i.errors import MAY_PASS
from i2i.images import Image, decode_image, read_image, write_image
from i2i.runtime.jobs import opening, sharding
from tests import tiny
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
(SBATCH,) = re.findall(r"```bash\n(.*?)```", TEXT, re.S)
(MANIFEST,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SHELL = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.S)).replace("\\\n", " ").splitlines()


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8 + seed % 2, 3), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(12):
        path = tmp_path / "in" / f"{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, Image(pixels(number)))
    return tmp_path / "in"


def parse(words: list[str]) -> dict[str, Any]:
    """Return the options of a command line; a click.UsageError unless it is right."""
    assert words[0] == "i2i"
    command = group.get_command(click.Context(group), words[1])
    assert command is not None
    options, rest, _ = command.make_parser(click.Context(command)).parse_args(words[2:])
    assert not rest
    return options


def tools(folder: Path, **programs: str) -> dict[str, str]:
    """Return an environment in which these programs of one line are called, and ``i2i`` is this one."""
    folder.mkdir()
    programs["i2i"] = f'exec {shlex.quote(sys.executable)} -m i2i "$@"'
    for name, line in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_slurm_script_does_its_part_and_is_queued_again_when_time_is_over(photos: Path, tmp_path: Path) -> None:
    model = tiny.inverter(tmp_path / "model.onnx")
    script = SBATCH.replace("s3://bucket/in/", f"{photos}/").replace("s3://bucket/out/", f"{tmp_path}/out/")
    script = script.replace("-m model.onnx", f"-m {model}")
    assert str(model) in script
    environment = tools(tmp_path / "bin", srun='exec "$@"', scontrol=f'echo "$@" >>{tmp_path}/scontrol')
    (array,) = re.findall(r"--array=(\d+)-(\d+)", SBATCH)
    first, last = map(int, array)
    environment |= {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_MIN": str(first), "SLURM_ARRAY_TASK_STEP": "1"}
    for count in (last - first + 1, 3):  # one of the tasks of the script, and all of a smaller array
        environment |= {"SLURM_ARRAY_TASK_COUNT": str(count), "SLURM_ARRAY_TASK_MAX": str(first + count - 1)}
        for task in range(1, 4):
            environment["SLURM_ARRAY_TASK_ID"] = str(task)
            done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert f"shard {task}/{count}, from SLURM_ARRAY_TASK_ID" in done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == 12
    assert not (tmp_path / "scontrol").exists()
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nexit 138\n")
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 138
    assert (tmp_path / "scontrol").read_text() == "requeue 77_3\n"


def test_the_manifest_is_one_that_kubernetes_accepts() -> None:
    manifest = yaml.safe_load(MANIFEST)
    for version in ("1.31", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest, version, strict=True)
    for change in (
        lambda spec: spec.update(completionMod="Indexed"),
        lambda spec: spec.update(completions="many"),
        lambda spec: spec["template"]["spec"]["containers"][0].pop("name"),
        lambda spec: spec["template"]["spec"]["containers"][0]["env"][0].update(value=100),
        lambda spec: spec["podFailurePolicy"]["rules"][1].pop("action"),
    ):  # the check sees what is wrong
        wrong = copy.deepcopy(manifest)
        change(wrong["spec"])
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_the_manifest_divides_the_work() -> None:
    """What its schema does not say."""
    spec = yaml.safe_load(MANIFEST)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["JOB_COMPLETIONS"] == str(spec["completions"])
    shards = [
        sharding.from_environment({**variables, "JOB_COMPLETION_INDEX": str(index)})
        for index in range(spec["completions"])
    ]
    assert [str(shard) for shard in shards] == [f"{number}/100" for number in range(1, 101)]
    options = parse(container["command"])
    assert (options["src"], options["names"]) == ("s3://bucket/in/", ["/models/model.onnx"])
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["template"]["spec"]["volumes"]}
    rules = spec["podFailurePolicy"]["rules"]  # each names the container, and Kubernetes demands Never
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {container["name"]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    final = {status for rule in rules for status in rule.get("onExitCodes", {}).get("values", ())}
    assert final == {1, 2, 4}
    assert MAY_PASS not in final
    assert f"one that ends with {MAY_PASS}, after a fault that may pass" in TEXT
    assert opening.TRANSFERS + int(container["resources"]["limits"]["cpu"]) == 20  # as the page says
    assert "at most 20 images with four cores" in TEXT


def test_the_image_of_the_manifest_can_be_built() -> None:
    (extras,) = re.findall(r"docker build --build-arg EXTRAS=(\S+) -t (\S+) \.", TEXT)
    assert extras[1] == yaml.safe_load(MANIFEST)["spec"]["template"]["spec"]["containers"][0]["image"]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras[0] in known
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "ARG EXTRAS=serve\n" in dockerfile
    assert '".[$EXTRAS]"' in dockerfile
    assert all(name in known for name in ("remote", "ray"))


def test_the_function_of_a_partition(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Spark:
        """Calls the function with two partitions of the paths, as Spark does in its workers."""

        sparkContext: Any  # noqa: N815  (Spark's own name)

        def parallelize(self, paths: list[Path], partitions: int) -> Spark:
            assert partitions == 1000
            self.parts = [paths[::2], paths[1::2]]
            return self

        def mapPartitions(self, function: Callable[[Iterable[Path]], Iterator[Any]]) -> list[Any]:
            return [each for part in self.parts for each in function(iter(part))]

    tiny.inverter(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    spark = Spark()
    spark.sparkContext = spark
    (photos / "bad.png").write_bytes(b"bad")
    names: dict[str, Any] = {"spark": spark, "paths": sorted(photos.rglob("*.png"))}
    exec(PROGRAM, names)
    results = dict(names["results"])
    assert len(results) == 12
    for path, data in results.items():
        np.testing.assert_array_equal(decode_image(data, path).pixels, 255 - read_image(path).pixels)


def test_the_commands_of_ray_exist() -> None:
    from ray.scripts.scripts import cli

    starts = [shlex.split(line, comments=True) for line in SHELL if line.startswith("ray ")]
    assert [words[1] for words in starts] == ["get-auth-token", "start", "start"]
    ports = set()
    for words in starts:
        command = cli.commands[words[1]]
        options, rest, _ = command.make_parser(click.Context(command)).parse_args(words[2:])
        assert not rest
        if words[1] == "start":
            ports.add(str(options.get("port") or options["address"].rpartition(":")[2]))
    (there,) = [
        parse(shlex.split(line, comments=True)) for line in SHELL if "--address first" in line and "i2i" in line
    ]
    assert ports == {there["address"].rpartition(":")[2]} == {"6379"}


def test_the_command_of_torchrun() -> None:
    from torch.distributed.run import get_args_parser

    (line,) = [line for line in SHELL if line.startswith("torchrun")]
    options = get_args_parser().parse_args(shlex.split(line)[1:])
    assert (options.nnodes, options.module, options.training_script) == ("4", True, "i2i")
    found = parse(["i2i", *options.training_script_args])
    assert int(found["batch"]) % (int(options.nnodes) * int(options.nproc_per_node)) == 0


def test_the_costs_follow_from_the_measured_figures() -> None:
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").partition("| video |")[0]
    images, hour, read, write, shards = 1_000_000, 0.04, 0.0004 / 1000, 0.005 / 1000, 100
    assert f"at {hour} $ for a core-hour" in TEXT
    assert "0.0004 $ for 1,000 reads and 0.005 $ for 1,000 writes" in TEXT
    requests = images * (read + write) + images / opening.AHEAD * write + shards * images / 1000 * write
    for title, name in (("`day2night`", "day2night"), ("a ResNet-9, 64 filters", "resnet9")):
        (row,) = re.findall(rf"^\| {name} \|.*$", measured, re.M)
        milliseconds = row.split("|")[5].strip()
        hours = float(milliseconds) / 1000 * images / 3600
        costs = f"{hours * hour:.2f} $ | {requests:.2f} $"
        expected = f"| {title} | {milliseconds} | {hours:.1f} | {hours / 100:.2f} h | {costs} |"
        assert expected in TEXT.splitlines()
