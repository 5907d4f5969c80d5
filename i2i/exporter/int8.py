"""Quantise a graph to int8: convolutions take uint8 and have int8 weights per channel; the rest stays in float32.

The first and the last layer, normalisations and everything else stay in float32: fully quantised, a ResNet loses 20 dB
more. The form is QuantizeLinear and DequantizeLinear around each convolution (Jacob et al. 2018, arXiv:1712.05877,
eq. 1), which ONNX Runtime and OpenVINO fuse into integer convolutions and other programs compute in float, with the
same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from i2i.exporter import ranges
from i2i.exporter.graph_partition import Parts, finish, weights_of
from i2i.exporter.precision_loss import Feeds, Loss
from i2i.exporter.ranges import Range
from i2i.text import plural

LARGEST = 63
"""Largest quantised weight: 7 bits, not 8. Two products of 8 bits overflow the 16 bits in which processors without VNNI
add them, so results would differ there; products of 7 bits fit, for 0.7 dB.
"""

FAR = 3
"""Largest error in levels of a convolution quantised alone; beyond it, it is quantised last."""
WHOLE = frozenset(("InstanceNormalization", "Slice", "Resize", "Pad", "Relu"))
"""Operations that may take a tensor quantised per channel. ONNX Runtime may turn others into integer operations, which
it only has for one step per tensor: it then refuses the file.
"""
LEAST = 0.5
"""Least share of all convolutions' multiplications that must be in int8; with less, nothing is gained."""

Judge = Callable[[onnx.ModelProto], Loss]
"""Function that returns the loss of a graph on the calibration images."""


def to_int8(
    model: onnx.ModelProto, images: Sequence[Feeds], judge: Judge, good: Callable[[Loss], bool]
) -> tuple[onnx.ModelProto, int, int]:
    """Quantise ``model`` with the ranges that its tensors have on ``images``.

    As many convolutions are quantised as the loss allows: if all of them lose too much, those that cost most for the
    work they save are left in float32.

    Returns the graph, the number of convolutions in int8 and the number of all. Raises ValueError if there is no
    convolution between the first and the last layer, or if those that can be quantised for a loss that is ``good`` do
    less than LEAST of the work.
    """
    every = convolutions(model.graph)
    if not every:
        raise ValueError("it has no convolution between its first and its last layer, and those stay in float32")
    taken = [model.graph.node[i].input[0] for i in every]
    names = list(dict.fromkeys([*taken, *every.values()]))
    found = ranges.measure(model, names, images, _balanced(model.graph, every))

    def edited(chosen: Iterable[int]) -> onnx.ModelProto:
        return _Edit(model, {i: every[i] for i in chosen}, found).apply()

    count = sum(node.op_type == "Conv" for node in model.graph.node)
    best, least = edited(every), len(every)
    loss = judge(best)
    if good(loss):
        return best, least, count
    work = {i: _work(model, i, every[i], found) for i in every}
    alone = {i: judge(edited([i])) for i in every}
    order = sorted(every, key=lambda i: (alone[i].largest > FAR, _squares(alone[i]) / work[i]))
    most, least, worst = len(every), 0, loss  # too many, and the largest number known to be good
    while most - least > 1:
        some = (most + least) // 2
        candidate = edited(order[:some])
        loss = judge(candidate)
        if good(loss):
            best, least = candidate, some
        else:
            most, worst = some, loss
    share = sum(work[i] for i in order[:least]) / sum(work.values())
    if share < LEAST:
        raise ValueError(
            f"only {least} of its {plural(len(every), 'inner convolution')}, {share:.0%} of their work, can be in "
            f"int8; with more, {worst} on the images for calibration"
        )
    return best, least, count


def _squares(loss: Loss) -> float:
    return 10 ** (-loss.psnr / 10)


def _work(model: onnx.ModelProto, i: int, output: str, found: Mapping[str, Range]) -> float:
    """Return a convolution's multiplications: for each output value, the weights of one channel."""
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == model.graph.node[i].input[1])
    return found[output].values * float(np.prod(weights.dims[1:]))


def convolutions(graph: onnx.GraphProto) -> dict[int, str]:
    """Return the nodes to quantise, each with its output tensor: after a ReLU that alone takes the convolution's
    output, the ReLU's, which then costs nothing.
    """
    parts, weights, takers = Parts.of(graph), weights_of(graph), _takers(graph)
    found = {}
    for i in parts.layers:
        node = graph.node[i]
        if node.op_type == "Conv" and i not in parts.first | parts.last and all(w in weights for w in node.input[1:]):
            output = node.output[0]
            relu = len(takers[output]) == 1 and takers[output][0].op_type == "Relu"
            found[i] = takers[output][0].output[0] if relu else output
    return found


def _balanced(graph: onnx.GraphProto, every: Mapping[int, str]) -> dict[str, np.ndarray | None]:
    """Return the tensors whose channels may be scaled, since the weights on both sides absorb it: the largest weight
    applied to each channel, [channels]; None for tensors that no quantised convolution takes.
    """
    weights = weights_of(graph)
    found: dict[str, np.ndarray | None] = dict.fromkeys(every.values())
    grouped = set()  # grouped convolutions, whose weights are not per channel
    for node in (graph.node[i] for i in every):
        x, w = node.input[:2]
        if any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute):
            grouped.add(x)
        reach, before = np.abs(weights[w]).max(axis=(0, 2, 3)), found.get(x)
        found[x] = reach if before is None or x in grouped else np.maximum(reach, before)
    return {name: reach for name, reach in found.items() if name not in grouped}


def _takers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    return takers


class _Edit:
    def __init__(self, model: onnx.ModelProto, quantised: Mapping[int, str], found: Mapping[str, Range]) -> None:
        self.model, self.quantised, self.found = onnx.ModelProto.FromString(model.SerializeToString()), quantised, found
        self.weights = weights_of(model.graph)
        self.nodes: list[onnx.NodeProto] = []
        self.added: list[onnx.TensorProto] = []
        self.made: set[str] = set()  # tensors and constants, by name
        self.returned = set(quantised.values())
        self.takers = {
            name: {node.op_type for node in takers if node.op_type != "Conv"}
            for name, takers in _takers(model.graph).items()
        }

    def apply(self) -> onnx.ModelProto:
        for i, node in enumerate(self.model.graph.node):
            node = onnx.NodeProto.FromString(node.SerializeToString())
            if i in self.quantised:
                self.convolution(i, node)
            else:
                node.input[:] = [self.as_was(name) if name in self.returned else name for name in node.input]
            self.nodes.append(node)
        finish(self.model, self.nodes, self.added)
        return self.model

    def constant(self, name: str, values: np.ndarray) -> str:
        self.added.append(numpy_helper.from_array(values, name))
        return name

    def step(self, name: str) -> float:
        form = self.found[name]
        return max(form.high - form.low, 1e-8) / (ranges.LEVELS - 1)

    def form(self, name: str, scaled: bool) -> list[str]:
        """Return step and zero point of a tensor; if ``scaled``, those of each channel, which cost nothing."""
        step, scale = self.step(name), self.found[name].scale if scaled else None
        zero = np.clip(np.rint(-self.found[name].low / step), 0, ranges.LEVELS - 1).astype(np.uint8)
        key = f"{name}/{'tensor' if scale is None else 'channels'}"
        if key not in self.made:
            self.made.add(key)
            steps = np.asarray(step if scale is None else step * scale, np.float32)
            self.constant(f"{key}/step", steps)
            self.constant(f"{key}/zero", np.full(steps.shape, zero))
        return [f"{key}/step", f"{key}/zero"]

    def node(self, kind: str, name: str, form: list[str], output: str) -> str:
        if output not in self.made:
            self.made.add(output)
            self.nodes.append(helper.make_node(kind, [name, *form], [output], axis=1))
        return output

    def steps(self, name: str) -> str:
        """Return the quantised tensor, divided by its scale, which the weights of its producer absorb."""
        form = self.form(name, scaled=name not in self.returned)
        return self.node("QuantizeLinear", name, form, f"{name}/steps")

    def balanced(self, name: str) -> str:
        """Return the dequantised tensor, divided by its scale."""
        return self.node("DequantizeLinear", self.steps(name), self.form(name, False), f"{name}/balanced")

    def as_was(self, name: str) -> str:
        """Return the dequantised tensor."""
        scale = self.found[name].scale
        if scale is None:
            return self.balanced(name)
        if self.takers[name] <= WHOLE:
            return self.node("DequantizeLinear", self.steps(name), self.form(name, True), f"{name}/rounded")
        factor = f"{name}/scale"
        if factor not in self.made:
            self.made.add(factor)
            self.constant(factor, scale[:, None, None])
            self.nodes.append(helper.make_node("Mul", [self.balanced(name), factor], [f"{name}/rounded"]))
        return f"{name}/rounded"

    def convolution(self, i: int, node: onnx.NodeProto) -> None:
        x, w = node.input[:2]
        taken, returned = self.found[x].scale, self.found[self.quantised[i]].scale
        values = self.weights[w].astype(np.float64)  # [out, in, h, w]
        out = np.ones(len(values)) if returned is None else returned.astype(np.float64)
        values = values * (1 if taken is None else taken[:, None, None]) / out[:, None, None, None]
        bias = self.weights[node.input[2]] / out if len(node.input) > 2 else np.zeros(len(out))
        least = np.abs(bias) / 2**30 / self.step(x)  # so that the bias has room in 32 bits
        step = np.maximum(np.maximum(np.abs(values).max(axis=(1, 2, 3)), 1e-8) / LARGEST, least).astype(
            np.float32
        )  # [out]
        name = f"{w}/of/{node.output[0]}"
        whole = np.rint(values / step[:, None, None, None]).clip(-LARGEST, LARGEST)
        inputs = [self.balanced(x), self.dequantised(name, whole.astype(np.int8), step)]
        if len(node.input) > 2:
            steps = np.float32(self.step(x)) * step
            whole = np.rint(bias / steps.astype(np.float64))
            inputs.append(self.dequantised(f"{name}/bias", whole.astype(np.int32), steps))
        node.input[:] = inputs

    def dequantised(self, name: str, whole: np.ndarray, step: np.ndarray) -> str:
        zero = np.zeros(step.shape, whole.dtype)
        form = [self.constant(f"{name}/{part}", v) for part, v in (("whole", whole), ("step", step), ("zero", zero))]
        self.nodes.append(helper.make_node("DequantizeLinear", form, [name], axis=0))
        return name
