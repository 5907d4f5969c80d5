#!/usr/bin/env python3
"""Measure the speed of i2i against what the hardware allows. Each figure is printed with its reference.

python tools/benchmark.py translate              # folders, single images and videos; needs i2i[train] for its ResNet-9
python tools/benchmark.py translate --model FILE.onnx --only folder
python tools/benchmark.py many                   # 20,000 files in one job: rate and memory at its start and its end
python tools/benchmark.py data                   # images before a step: 256-pixel files, photos, 100,000 files
python tools/benchmark.py serve                  # a service beside a bare loop around ONNX Runtime
python tools/benchmark.py soak                   # the memory of a service under half an hour of mixed load
python tools/benchmark.py ray                    # a folder on Ray: one worker and two, killed workers, 20,000 files
python tools/benchmark.py train                  # a step of each method, on the GPU where there is one
python tools/benchmark.py train --method cyclegan --method cut --method fastcut
python tools/benchmark.py gpu                    # training steps on a GPU, in eight minutes; needs PyTorch and NumPy
"""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = ("translate", "many", "data", "serve", "soak", "ray", "train", "gpu")


def main() -> None:
    """Run the command that the first argument names; only its own libraries are imported."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        print(__doc__)
        sys.exit(0 if name in ("", "--help") else f"no benchmark {name!r}; choose one of {', '.join(COMMANDS)}")
    sys.argv = [f"{sys.argv[0]} {name}", *sys.argv[2:]]
    getattr(import_module(f"benchmark_{name}"), name)()


if __name__ == "__main__":
    main()
