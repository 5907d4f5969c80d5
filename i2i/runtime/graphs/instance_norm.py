"""Rewrites of a graph that fix, share or return the statistics of its instance normalisations.

Instance normalisation (arXiv:1607.08022) is y = scale (x - mean) / sqrt(variance + epsilon) + bias,
with the mean and variance of each channel over the image. A tile is therefore normalised differently from the whole
image, and a frame of a video differently from the frame before. Here each ``InstanceNormalization`` node of an ONNX
graph is replaced by this arithmetic, so that its statistics can be set, shared or read. The file itself is not changed,
and this works for any model with such nodes, whatever exported it.

Group and layer normalisation (arXiv:1803.08494) are exported as the same node between two ``Reshape`` nodes: the map
[n, c, h, w] becomes [n, groups, values], whose statistics are those of the groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.editor import Edit

Values = Sequence[np.ndarray]
"""Statistics of each normalisation: float32 [channels, 2], mean and variance."""

CORE, WEIGHTS = "core", "weights"
"""Names of inputs: ``core``, int64 [4], is the top, left, bottom and right of the core of a tile in pixels."""
GROUPS = "groups"
"""Suffix of the shape that joins the channels of a map to groups."""


@dataclass(frozen=True)
class Norm:
    """One normalisation, from ``x`` to ``y``, with the weights ``scale`` and ``bias``."""

    index: int
    map: str
    """The feature map [n, c, h, w]: ``x`` itself, or for groups what is reshaped to it."""
    x: str
    scale: str
    bias: str
    y: str
    epsilon: float
    channels: int
    """Number of statistics: channels, or groups of them."""
    level: int
    """Length of the longest chain of normalisations that ends with this one."""
    half: bool
    """True if it computes in float16, in which squares of a feature map overflow."""


class Statistics:
    """Rewritten forms of a model. Each takes the model's own inputs, and further ones that its docstring names.

    Attributes:
        norms: the normalisations in the order of the graph; may be empty.
    """

    def __init__(self, model: Path | bytes) -> None:
        """Read ``model``, a file or its bytes. Raises ModelError if its normalisations cannot be rewritten."""
        self._bytes = model if isinstance(model, bytes) else model.read_bytes()
        self.norms = _norms(self._read().graph)

    @property
    def levels(self) -> int:
        """Length of the longest chain of normalisations; 0 if there are none."""
        return max((norm.level for norm in self.norms), default=0)

    def fixed(self, values: Values) -> bytes:
        """Return the model with constant statistics. They become weights, so it runs faster than the original."""
        edit = _Edit(self._read())
        for norm in self.norms:
            edit.replace(norm, *edit.known(norm, values[norm.index]))
        return edit.finish()

    def shapes(self) -> bytes:
        """Return a model whose outputs are the shapes of the normalised maps, each int64 [n, c, h, w]."""
        edit = _Edit(self._read())
        shapes = [edit.add("Shape", [norm.map], f"{norm.y}/shape") for norm in self.norms]
        return edit.finish([helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in shapes])

    def gathering(self, level: int, known: Mapping[int, np.ndarray], strides: Sequence[int]) -> bytes:
        """Return a model that measures the normalisations of one level, with ``known`` statistics for lower levels.

        It also takes ``core``. For each normalisation of the level, in order, it returns the mean and the variance
        [n, channels, 1, 1] over the core, and the shape of the core on this map, int64 [4].

        Args:
            level: from 1 to ``levels``.
            known: statistics [channels, 2] by ``Norm.index``.
            strides: ratio of the image's sides to those of each normalised map.
        """
        edit = _Edit(self._read(), strides)
        outputs = []
        for norm in self.norms:
            if norm.level < level:
                edit.replace(norm, *edit.known(norm, known[norm.index]))
            elif norm.level == level:
                part = edit.core(norm)
                outputs += [_float(name) for name in edit.measure(norm, part)]
                shape = edit.add("Shape", [part], f"{norm.y}/shape")
                outputs.append(helper.make_tensor_value_info(shape, TensorProto.INT64, [4]))
        return edit.finish(outputs)

    def joint(self) -> bytes:
        """Return a model that normalises a batch by one set of statistics, the weighted averages over its images.

        It also takes ``weights``, float32 [n, 1, 1, 1] with sum 1, and returns the statistics ``used``, float32
        [1, sum of channels, 2], instead of images.
        """
        edit = _Edit(self._read())
        edit.model.graph.input.append(_float(WEIGHTS, [None, 1, 1, 1]))
        used = []
        for norm in self.norms:
            statistics = edit.measure_together(norm, norm.x, WEIGHTS)
            edit.replace(norm, *statistics)
            used.append(edit.pair(norm, *statistics))
        return edit.finish([_float(edit.add("Concat", used, "used", axis=1))])

    def blended(self) -> bytes:
        """Return a model whose statistics are own * (those of the image) + (1 - own) * given.

        It also takes ``own``, a float32 scalar from 0 to 1, and ``given``, float32 [n or 1, sum of channels, 2]; after
        the translation it returns ``used``, float32 [n, sum of channels, 2]. With own = 1 it equals the original model.
        """
        edit = _Edit(self._read())
        graph = edit.model.graph
        graph.input.extend(
            [helper.make_tensor_value_info("own", TensorProto.FLOAT, []), _float("given", [None, None, 2])]
        )
        rest = edit.add("Sub", [edit.constant("one", np.float32(1)), "own"], "given/share")
        parts = [f"{norm.y}/given" for norm in self.norms]
        edit.split("given", [norm.channels for norm in self.norms], parts, 1)
        used = []
        for norm, part in zip(self.norms, parts, strict=True):
            own = edit.pair(norm, *edit.measure(norm, norm.x))
            mine, theirs = edit.add("Mul", [own, "own"], f"{own}/share"), edit.add("Mul", [part, rest], f"{part}/share")
            used.append(edit.add("Add", [mine, theirs], f"{norm.y}/used"))
            edit.replace(norm, *edit.separate(norm, used[-1]))
        return edit.finish([*graph.output, _float(edit.add("Concat", used, "used", axis=1))])

    def split(self, used: np.ndarray) -> list[np.ndarray]:
        """Split ``used`` [1, sum of channels, 2] into the values that ``fixed`` takes."""
        return np.split(used[0], np.cumsum([norm.channels for norm in self.norms])[:-1])

    def _read(self) -> onnx.ModelProto:
        """Return the model, in which group norms see [n, groups, values, 1] instead of [n, groups, values]."""
        model = onnx.load_model_from_string(self._bytes)
        for reshape, groups in _grouping(model.graph).values():
            shape = numpy_helper.from_array(np.array([0, groups, -1, 1], np.int64), f"{reshape.output[0]}/{GROUPS}")
            model.graph.initializer.append(shape)
            reshape.input[1] = shape.name
        return model


def _float(name: str, shape: Sequence[int | None] | None = None) -> onnx.ValueInfoProto:
    """Return a float32 input, for which OpenVINO needs a shape, or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _grouping(graph: onnx.GraphProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    """Return, by its output, each ``Reshape`` to the groups of a normalisation, and the number of groups."""
    channels = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1}
    norms = {n.input[0]: channels.get(n.input[1], 0) for n in graph.node if n.op_type == "InstanceNormalization"}
    return {n.output[0]: (n, norms[n.output[0]]) for n in graph.node if n.op_type == "Reshape" and n.output[0] in norms}


def _norms(graph: onnx.GraphProto) -> tuple[Norm, ...]:
    grouping = _grouping(graph)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    levels: dict[str, int] = {}
    norms: list[Norm] = []
    for node in graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ModelError(f"its graph contains branches ({node.op_type}), so its normalisations cannot be rewritten")
        level = max((levels.get(name, 0) for name in node.input), default=0)
        if node.op_type == "InstanceNormalization":
            level += 1
            x, scale, bias = node.input
            if scale not in weights:
                raise ModelError("the graph computes the scale of a normalisation, which cannot be rewritten")
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
            half = weights[scale].data_type == TensorProto.FLOAT16
            channels = weights[scale].dims[0]
            before = grouping[x][0].input[0] if x in grouping else x
            norms.append(Norm(len(norms), before, x, scale, bias, node.output[0], epsilon, channels, level, half))
        levels.update(dict.fromkeys(node.output, level))
    return tuple(norms)


class _Edit(Edit):
    """Rewrite of normalisations; statistics between nodes are float32 [n or 1, channels, 1, 1]."""

    def __init__(self, model: onnx.ModelProto, strides: Sequence[int] | None = None) -> None:
        super().__init__(model)
        self._strides = strides or ()
        if strides is not None:
            model.graph.input.append(helper.make_tensor_value_info(CORE, TensorProto.INT64, [4]))

    def known(self, norm: Norm, values: np.ndarray) -> tuple[str, str]:
        """Add mean and variance as constants, from ``values`` [channels, 2]."""
        mean, variance = values.astype(np.float32).T.reshape(2, 1, -1, 1, 1)
        return self.constant(f"{norm.y}/mean", mean), self.constant(f"{norm.y}/variance", variance)

    def core(self, norm: Norm) -> str:
        """Cut the norm's map to ``core``, which is clipped to the map, and join its channels to the norm's groups."""
        stride = self.constant(f"{norm.y}/stride", np.int64(self._strides[norm.index]))
        bounds = self.add("Div", [CORE, stride], f"{norm.y}/{CORE}")
        halves = [f"{bounds}/from", f"{bounds}/to"]
        self.split(bounds, [2, 2], halves, 0)
        axes = self.constant(f"{bounds}/axes", np.array([2, 3], np.int64))
        part = self.add("Slice", [norm.map, *halves, axes], f"{norm.y}/x/{CORE}")
        grouped = norm.map != norm.x
        return self.add("Reshape", [part, f"{norm.x}/{GROUPS}"], f"{part}/{GROUPS}") if grouped else part

    def measure(self, norm: Norm, x: str) -> tuple[str, str]:
        """Compute the mean and the variance of ``x`` for each image."""
        name, axes = f"{norm.y}/own", (2, 3)
        x = self._float(norm, x)
        mean = self.reduce("ReduceMean", x, f"{name}/mean", axes)
        off = self.add("Sub", [x, mean], f"{name}/off")
        return mean, self.reduce("ReduceMean", self.add("Mul", [off, off], f"{name}/square"), f"{name}/variance", axes)

    def measure_together(self, norm: Norm, x: str, weights: str) -> tuple[str, str]:
        """Compute the weighted mean and variance of ``x`` over all images.

        The variance is E[x^2] - E[x]^2, which is less exact than the centred form but needs no further maps as large as
        ``x``: the batch is large, and statistics of samples are approximate anyway.
        """
        name = f"{norm.y}/all"
        x = self._float(norm, x)
        mean = self._weighted(self.reduce("ReduceMean", x, f"{name}/means", (2, 3)), f"{name}/mean", weights)
        sums = self.reduce("ReduceSumSquare", x, f"{name}/sums", (2, 3))
        ends = [self.constant(f"{name}/{end}", np.array([at], np.int64)) for end, at in (("from", 2), ("to", 4))]
        size = self.add("Slice", [self.add("Shape", [x], f"{name}/shape"), *ends], f"{name}/size")
        count = self.add("ReduceProd", [size], f"{name}/count", keepdims=1)
        squares = self.add("Div", [sums, self.add("Cast", [count], f"{name}/n", to=TensorProto.FLOAT)], f"{name}/each")
        square = self._weighted(squares, f"{name}/square", weights)
        least = self.add("Sub", [square, self.add("Mul", [mean, mean], f"{name}/mean/square")], f"{name}/least")
        return mean, self.add("Max", [least, self.constant(f"{name}/zero", np.float32(0))], f"{name}/variance")

    def _float(self, norm: Norm, x: str) -> str:
        return self.add("Cast", [x], f"{norm.y}/x/float", to=TensorProto.FLOAT) if norm.half else x

    def _weighted(self, each: str, name: str, weights: str) -> str:
        return self.reduce("ReduceSum", self.add("Mul", [each, weights], f"{name}/weighted"), name, (0,))

    def replace(self, norm: Norm, mean: str, variance: str) -> None:
        """Replace the norm by y = a x + b with a = scale / sqrt(variance + epsilon) and b = bias - a mean."""
        self.nodes = [node for node in self.nodes if norm.y not in node.output]
        name = norm.y
        column = self.constant(f"{name}/column", np.array([1, -1, 1, 1], np.int64))
        scale, bias = norm.scale, norm.bias
        if norm.half:
            scale, bias = (self.add("Cast", [w], f"{name}/{w}/float", to=TensorProto.FLOAT) for w in (scale, bias))
        scale = self.add("Reshape", [scale, column], f"{name}/scale")
        bias = self.add("Reshape", [bias, column], f"{name}/bias")
        safe = self.add("Add", [variance, self.constant(f"{name}/epsilon", np.float32(norm.epsilon))], f"{name}/safe")
        a = self.add("Div", [scale, self.add("Sqrt", [safe], f"{name}/deviation")], f"{name}/a")
        b = self.add("Sub", [bias, self.add("Mul", [a, mean], f"{name}/shift")], f"{name}/b")
        if norm.half:
            a, b = (self.add("Cast", [w], f"{w}/half", to=TensorProto.FLOAT16) for w in (a, b))
        self.add("Add", [self.add("Mul", [norm.x, a], f"{name}/scaled"), b], name)

    def pair(self, norm: Norm, mean: str, variance: str) -> str:
        """Join mean and variance into [n, channels, 2]."""
        flat = self.constant(f"{norm.y}/flat", np.array([0, -1, 1], np.int64))
        names = [self.add("Reshape", [each, flat], f"{each}/flat") for each in (mean, variance)]
        return self.add("Concat", names, f"{norm.y}/pair", axis=2)

    def separate(self, norm: Norm, pair: str) -> tuple[str, str]:
        """Split [n, channels, 2] into mean and variance, the reverse of ``pair``."""
        shape = self.constant(f"{pair}/shape", np.array([0, -1, 1, 1], np.int64))
        halves = [f"{pair}/mean/flat", f"{pair}/variance/flat"]
        self.split(pair, [1, 1], halves, 2)
        mean, variance = (self.add("Reshape", [half, shape], half.removesuffix("/flat")) for half in halves)
        return mean, variance
