"""The benchmark of GPUs, rehearsed on the CPU, where nothing but PyTorch and NumPy can be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
WITHOUT = "cv2", "av", "onnxruntime", "onnx", "click", "safetensors", "PIL", "tensorboard", "scipy", "skimage"
PROGRAM = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))  # importing one of these is an error
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_every_part_runs_without_further_libraries(tmp_path: Path) -> None:
    out, tool = tmp_path / "results.json", str(TOOLS / "benchmark.py")
    arguments = ["gpu", "--rehearse", "--method", "cyclegan", "--method", "stargan", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(WITHOUT), tool, *arguments],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert len(report["gradients"]) == 8
    assert max(report["gradients"].values()) < 1e-5
    rows = {(row["method"], row["way"]): row for row in report["rows"]}
    ways = ("eager", "paper", "bf16", "graphs", "compiled")
    assert {(method, way) for method in ("cyclegan", "stargan") for way in ways} <= rows.keys()
    assert not [row for row in report["rows"] if "failed" in row]
    assert all(row["step_s"] > 0 and row["steps"] >= 1 for row in rows.values())
    exact = [row["losses_off"] for row in report["rows"] if row["way"] in ("eager", "paper")]
    assert max(exact) == 0  # averaging changes no loss
    assert rows["cyclegan", "compiled"]["losses_off"] < 0.1
    assert "ratio_an_image" in rows["stargan", "graphs"]
    assert "cyclegan  eager         1" in done.stdout


def test_without_a_gpu_and_for_an_unknown_benchmark_it_says_so() -> None:
    asked = "import sys, torch; torch.cuda.is_available = lambda: False; sys.path.insert(0, sys.argv.pop(1)); "
    asked += "import benchmark; benchmark.main()"
    for name, words in (("gpu", "--rehearse runs every part on the CPU"), ("gpus", "choose one of translate, many,")):
        done = subprocess.run(
            [sys.executable, "-c", asked, str(TOOLS), name], capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 1
        assert words in done.stderr
