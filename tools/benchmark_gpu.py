"""``benchmark.py gpu``: training steps on a GPU: correctness, time and memory of each way to run them.

Needs PyTorch and NumPy alone: of i2i only its networks, translators and step are imported. It ends within the time that
is given, saves what it has after each row, and leaves out what there is no time for.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from i2i.atomic import atomically  # noqa: E402
from i2i.engine import compilation  # noqa: E402
from i2i.engine.ema import EMA  # noqa: E402
from i2i.engine.step import Move, autocast_for, play  # noqa: E402
from i2i.networks.blocks import norm_layer  # noqa: E402
from i2i.translators import Views, translator_class  # noqa: E402

DOMAINS = 5
METHODS: dict[str, dict[str, Any]] = {
    "cyclegan": {}, "pix2pix": {"norm": "instance"}, "cut": {}, "stargan": {"domains": DOMAINS, "n_critic": 1},
}  # fmt: skip
"""Methods, with the hyper-parameters that differ from their authors': no norm of the batch, G moves at each step."""
TINY: dict[str, dict[str, Any]] = {
    "cyclegan": {"generator": "resnet_1", "discriminator": "patch_1"},
    "pix2pix": {"generator": "unet_32", "discriminator": "patch_1"},
    "cut": {"generator": "resnet_1", "discriminator": "patch_1"},
    "stargan": {"generator": "stargan_1", "discriminator": "stargan_2", "image_size": 32},
}
LOSSES, SECONDS, STEPS = 20, 4.0, 40  # steps that are compared; and timed, at most
NEEDLESS = ("cv2", "av", "onnxruntime", "click", "safetensors")


class Way(NamedTuple):
    """A way to run the same steps."""

    precision: str
    compile: str = "off"
    ema: float = 0.999


WAYS = {
    "eager": Way("fp32"),  # the reference of all ratios
    "paper": Way("fp32", ema=0.0),
    "bf16": Way("bf16"),
    "graphs": Way("bf16", "graphs"),
    "compiled": Way("bf16", "on"),
}


class Game:
    """Steps of a method on noise, without dropout, whose random numbers differ in compiled networks."""

    def __init__(self, method: str, way: Way, batch: int, size: int, device: torch.device, hyper: dict[str, Any]):
        torch.manual_seed(0)
        self.translator = translator_class(method)(3, 3, **hyper).to(device).train()
        for module in self.translator.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.graphs, self.device = way.compile == "graphs" and device.type == "cuda", device
        if way.compile != "off":
            compilation.compile_networks(self.translator, way.compile)
        self.moves = {name: Move(player, way.precision) for name, player in self.translator.players().items()}
        self.ema = EMA(self.translator.exports(), way.ema)
        self.autocast = autocast_for(way.precision, device) if way.precision != "fp32" else nullcontext
        generator = torch.Generator().manual_seed(1)
        self.batch: Views = {
            name: (torch.rand(batch, 3, size, size, generator=generator) * 2 - 1).to(device) for name in ("x", "y")
        }
        if translator_class(method).data == "domains":
            labels = torch.eye(DOMAINS)[torch.arange(batch) % DOMAINS].to(device)
            self.batch = {"x": self.batch["x"], "c": labels}

    def step(self, number: int) -> dict[str, Tensor]:
        torch.manual_seed(number)
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        terms = play(self.translator, self.moves, self.batch, number, 1.0, self.autocast)
        self.ema.update(number)
        return {name: term.clone() for name, term in terms.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(game: Game, most: int) -> tuple[float, int]:
    """Return the seconds of a step, from up to ``most`` of them, and how many were timed."""
    wait(game.device)
    began, done = time.perf_counter(), 0
    while done < most and (done < 2 or time.perf_counter() - began < SECONDS):
        game.step(LOSSES + done)
        done += 1
        if done % 5 == 0:
            wait(game.device)
    wait(game.device)
    return (time.perf_counter() - began) / done, done


def gradients(device: torch.device) -> dict[str, float]:
    """Return the largest error of each norm's gradient against float64, at batch 1 and 2, in both memory formats."""
    found = {}
    for kind in ("instance", "batch"):
        for n in (1, 2):
            for name, form in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
                generator = torch.Generator().manual_seed(n)
                x, slope = (torch.randn(n, 16, 32, 32, generator=generator).to(device) for _ in range(2))
                results = []
                for dtype in (torch.float64, torch.float32):
                    given = x.to(dtype, copy=True).requires_grad_()
                    out = norm_layer(kind, 16).to(device, dtype)(given)
                    out.view(out.shape).backward(slope.to(dtype).contiguous(memory_format=form))
                    assert given.grad is not None
                    results.append(given.grad.double())
                found[f"{kind}, batch {n}, {name}"] = float((results[0] - results[1]).abs().max())
    return found


def farthest(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> float:
    """Return the largest difference of two runs' losses, relative to the larger of the loss and 0.1."""
    pairs = [(one[name], other[name]) for one, other in zip(ours, theirs, strict=True) for name in one]
    return max(abs(a - b) / max(abs(b), 0.1) for a, b in pairs)


class Bench:
    """The rows measured so far, and the time that is left."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device, self.began = options, device, time.monotonic()
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
        self.report: dict[str, Any] = {
            "machine": card, "torch": torch.__version__, "python": platform.python_version(), "size": options.size,
            "gradients": {}, "rows": [], "left_out": [],
        }  # fmt: skip
        self.losses: dict[tuple[str, int], list[dict[str, float]]] = {}
        self.least: dict[tuple[str, int], float] = {}

    @property
    def left(self) -> float:
        return self.options.seconds - (time.monotonic() - self.began)

    def save(self) -> None:
        text = json.dumps(self.report, indent=1)
        atomically(Path(self.options.out), lambda temporary: temporary.write_text(text))

    def row(self, method: str, name: str, batch: int, losses: int) -> None:
        """Measure a way at a batch: compare ``losses`` losses with the reference, then time steps."""
        label, began = f"{method} {name} batch {batch}", time.monotonic()
        compiled = WAYS[name].compile != "off"
        cost = max([row["whole_s"] for row in self.report["rows"] if compiled == row["compiled"]], default=0.0)
        if self.left < cost + 5:
            self.report["left_out"].append(f"{label}: no time")
            return
        found: dict[str, Any] = {"method": method, "way": name, "batch": batch, "compiled": compiled}
        try:
            self._measure(found, losses)
        except Exception as error:  # a row that fails is a result: the others are still wanted
            found["failed"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        found["whole_s"] = time.monotonic() - began
        self.report["rows"].append(found)
        self.save()
        print(shown(found), flush=True)

    def _measure(self, found: dict[str, Any], losses: int) -> None:
        method, name, batch = found["method"], found["way"], found["batch"]
        torch.compiler.reset()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        game = Game(method, WAYS[name], batch, self.options.size, self.device, self.options.hyper[method])
        began = time.monotonic()
        terms = [game.step(0)]
        wait(self.device)
        found["first_s"] = time.monotonic() - began
        terms += [game.step(number) for number in range(1, losses)]
        values = [{term: float(loss) for term, loss in one.items()} for one in terms]
        reference = self.losses.setdefault((method, batch), values) if name == "eager" else None
        reference = reference or self.losses.get((method, batch))
        if reference and len(reference) == len(values):
            found["losses_off"] = farthest(values, reference)
        found["step_s"], found["steps"] = timed(game, self.options.steps)
        found["images_per_s"] = batch / found["step_s"]
        if self.device.type == "cuda":
            found["gb"] = torch.cuda.max_memory_allocated(self.device) / 1e9
        if name == "eager":
            self.least.setdefault((method, batch), found["step_s"])
        if alone := self.least.get((method, batch)):
            found["ratio"] = alone / found["step_s"]
        if first := self.least.get((method, smallest(method))):
            found["ratio_an_image"] = first / smallest(method) * batch / found["step_s"]

    def best_batch(self, method: str) -> int:
        """Return the batch with the most images/s in bf16, doubled until it no longer gains a tenth or does not fit."""
        best, speed, batch = smallest(method), 0.0, smallest(method)
        while batch <= self.options.largest and self.left > self.options.seconds / 6:
            try:
                game = Game(method, WAYS["bf16"], batch, self.options.size, self.device, self.options.hyper[method])
                for number in range(3):
                    game.step(number)
                now = batch / timed(game, 6)[0]
            except torch.OutOfMemoryError:
                break
            if now < 1.1 * speed:
                break
            best, speed, batch = batch, now, 2 * batch
        return best


def smallest(method: str) -> int:
    """Return the least batch of a method: StarGAN takes target labels from other images of the batch."""
    return 2 if method == "stargan" else 1


def shown(row: dict[str, Any]) -> str:
    head = f"{row['method']:10}{row['way']:10}{row['batch']:>5}"
    if "failed" in row:
        return f"{head}  {row['failed']}"
    memory = f"{row['gb']:.2f}" if "gb" in row else ""
    ratios = [f"{row[key]:.2f}" if key in row else "" for key in ("ratio", "ratio_an_image")]
    off = f"{row['losses_off']:.1e}" if "losses_off" in row else ""
    return (
        f"{head}{1000 * row['step_s']:>10.1f}{row['images_per_s']:>10.1f}{ratios[0]:>8}{ratios[1]:>8}{memory:>8}"
        f"{row['first_s']:>9.1f}{off:>10}"
    )


HEAD = f"{'':25}{'ms a step':>10}{'images/s':>10}{'ratio':>8}{'/image':>8}{'GB':>8}{'first s':>9}{'losses':>10}"


def plan(bench: Bench, methods: list[str]) -> Iterator[tuple[str, str, int, int]]:
    """Yield rows, the most important ones first: method, way, batch, losses to compare."""
    count = bench.options.losses
    for method in methods:
        yield from ((method, way, smallest(method), count) for way in ("eager", "paper", "bf16", "graphs"))
    best: dict[str, int] = {}
    for method in methods:
        best[method] = bench.best_batch(method)
        if best[method] > smallest(method):
            yield from ((method, way, best[method], 3) for way in ("eager", "bf16", "graphs"))
    yield from ((method, "compiled", smallest(method), count) for method in methods)
    yield from ((method, "compiled", best[method], 3) for method in methods if best[method] > smallest(method))


def gpu() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=gpu.__doc__, prog=sys.argv[0])
    parser.add_argument("--size", type=int, default=256, help="height and width of the images, in pixels")
    parser.add_argument("--seconds", type=float, default=450, help="time until no further row begins")
    parser.add_argument("--out", default="benchmark_gpu.json", help="file of the results")
    parser.add_argument("--method", action="append", choices=list(METHODS), help="instead of all; can be repeated")
    parser.add_argument("--rehearse", action="store_true", help="tiny networks on the CPU, no code generated: seconds")
    options = parser.parse_args()
    options.hyper, options.losses, options.steps, options.largest = METHODS, LOSSES, STEPS, 64
    if options.rehearse:
        options.hyper = {name: hyper | TINY[name] | {"ngf": 2, "ndf": 2} for name, hyper in METHODS.items()}
        options.size, options.losses, options.steps, options.largest = 32, 4, 2, 2
        compilation.OPTIONS.update(on={"backend": "eager"}, graphs={"backend": "eager"})
    elif not torch.cuda.is_available():
        sys.exit("there is no GPU that PyTorch can use; --rehearse runs every part on the CPU")
    device = torch.device("cpu" if options.rehearse else "cuda")
    torch.backends.cudnn.benchmark = True
    bench = Bench(options, device)
    print(f"{bench.report['machine']}, PyTorch {torch.__version__}, {options.size} x {options.size}", flush=True)
    bench.report["gradients"] = gradients(device)
    for what, error in bench.report["gradients"].items():
        print(f"gradient of {what}: {error:.1e} off float64{'' if error < 1e-4 else '  WRONG'}", flush=True)
    print(HEAD, flush=True)
    for method, way, batch, losses in plan(bench, options.method or list(METHODS)):
        bench.row(method, way, batch, losses)
    needless = [name for name in NEEDLESS if sys.modules.get(name) is not None]
    assert not needless, f"imported without need: {', '.join(needless)}"
    bench.report["seconds"] = time.monotonic() - bench.began
    bench.save()
    for line in bench.report["left_out"]:
        print(f"left out: {line}")
    print(f"{bench.report['seconds']:.0f} s; results in {options.out}")


if __name__ == "__main__":
    gpu()
