"""What a graph says of itself without being run: its one input and output, their layout, channels and fixed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.runtime.adapters.options import Range, Told
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.signature import in_words
from i2i.spec import LAYOUTS, Spec
from i2i.text import plural

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
CHANNELS = (1, 3, 4)
_AXIS = {"nchw": 1, "nhwc": 3}

# What a file may say in its metadata (onnx/docs/MetadataProps.md).
_PIXELS = {"Gray8": "grey", "Rgb8": "rgb", "Rgba8": "rgb", "Bgr8": "bgr", "Bgra8": "bgr"}
_RANGES: Mapping[str, Range] = {
    "NominalRange_0_255": (0, 255),
    "Normalized_0_1": (0, 1),
    "Normalized_1_1": (-1, 1),
    "NominalRange_16_235": (16, 235),
}


@dataclass(frozen=True)
class Ports:
    """The image input of a graph and its output."""

    name: str
    dtype: str
    returns: str  # the type of the output
    shape: tuple[int | None, ...]  # None: free
    output: tuple[int | None, ...]
    declared: Mapping[str, Any]  # what the file's metadata says of order and range

    def layouts(self) -> list[str]:
        """Those that the shape allows: where the channels' place holds a number that is one of channels, else where it
        is free. One is certain."""
        sizes = {layout: self.shape[_AXIS[layout]] for layout in LAYOUTS}
        sure = [layout for layout, size in sizes.items() if size in CHANNELS]
        return sure or [layout for layout, size in sizes.items() if size is None]

    def channels(self, layout: str) -> int | None:
        return self.shape[_AXIS[layout]]

    def size(self, layout: str) -> tuple[int, int] | None:
        """The fixed height and width, or None if they are free. Raises ModelError where only one of them is fixed."""
        height, width = self.shape[2:] if layout == "nchw" else self.shape[1:3]
        if (height is None) != (width is None):
            raise ModelError(
                f"its height is {height or 'free'} and its width {width or 'free'}: both or none can be fixed"
            )
        return None if height is None or width is None else (height, width)


def read_ports(session: Any) -> Ports:
    """The ports of an image-to-image graph. Raises ModelError, with the reason, for any other graph."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"it has {plural(len(inputs), 'input')} and {plural(len(outputs), 'output')}; one of each can be used"
        )
    for node in (*inputs, *outputs):
        if len(node.shape) != 4:
            raise ModelError(
                f"{node.name!r} has {plural(len(node.shape), 'axis', 'axes')}; an image with its batch has 4"
            )
        if node.type not in TYPES:
            raise ModelError(f"{node.name!r} is {node.type}; images of {', '.join(TYPES.values())} can be used")
        if isinstance(node.shape[0], int) and node.shape[0] > 1:
            raise ModelError(f"its batch is fixed at {node.shape[0]}; 1 or a free one can be used")
    said = session.get_modelmeta().custom_metadata_map
    declared = {
        "order": _PIXELS.get(said.get("Image.BitmapPixelFormat", "")),
        "range": _RANGES.get(said.get("Image.NominalPixelRange", "")),
    }
    return Ports(
        inputs[0].name,
        TYPES[inputs[0].type],
        TYPES[outputs[0].type],
        _sizes(inputs[0].shape),
        _sizes(outputs[0].shape),
        {name: value for name, value in declared.items() if value is not None},
    )


def settle_layout(ports: Ports, told: Told) -> str | None:
    """The layout, told or certain; None if it is neither. Raises ModelError where the shape contradicts it."""
    layouts = ports.layouts()
    if told.layout is not None:
        if ports.channels(told.layout) not in (*CHANNELS, None):
            raise ModelError(f"its shape does not have the channels where layout {told.layout} has them")
        return told.layout
    if not layouts:
        raise ModelError("neither its second nor its last axis has 1, 3 or 4 channels, so it takes no images")
    return layouts[0] if len(layouts) == 1 else None


def settle_order(ports: Ports, channels: int | None, told: Told) -> str | None:
    """The order, told or declared in the file; None if it is neither. Raises ModelError if it is of other channels."""
    order = told.order or ports.declared.get("order")
    if order is not None and channels is not None and (channels == 1) != (order in ("grey", "y")):
        if told.order is None:
            return None
        raise ModelError(f"order {order} is not of {plural(channels, 'channel')}")
    return order


def _sizes(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in shape)


def check(spec: Spec, session: Any, path: Path) -> None:
    """Raises ModelError if the graph is not what its description says."""
    form = spec.form
    assert form is not None
    try:
        ports = read_ports(session)
        taken = 1 if form.order in ("grey", "y") else spec.source.channels
        if ports.dtype != form.dtype or ports.channels(form.layout) not in (taken, None):
            raise ModelError(f"its description says {form.dtype}, {form.layout}, {plural(taken, 'channel')}")
        if ports.size(form.layout) != form.size:
            raise ModelError(f"its description says a size of {form.size or 'any'}")
    except ModelError as error:
        raise ModelError(f"{path}: {error}; but the model expects {in_words(session)}; describe it again") from error
