"""The input and output of a graph, as the file declares them: layout, channels, types and fixed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.runtime.adapters import extra_inputs
from i2i.runtime.adapters.options import ModelOptions
from i2i.runtime.errors import ModelError, describe_command
from i2i.runtime.graphs import spec_check
from i2i.runtime.graphs.onnx_file import read_metadata
from i2i.runtime.session import Session
from i2i.spec import LAYOUTS, Input, Range, Spec
from i2i.text import plural

TYPES = ("float32", "float16", "uint8")
CHANNELS = (1, 3, 4)
_AXIS = {"nchw": 1, "nhwc": 3}

# Metadata that describe images (onnx/docs/MetadataProps.md).
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
    declared: Mapping[str, Any]  # order and range, if the file's metadata give them

    def layouts(self) -> list[str]:
        """Return the layouts that the shape allows; a single one is certain.

        Those whose axis of channels has 1, 3 or 4 come before those where it is free.
        """
        sizes = {layout: self.shape[_AXIS[layout]] for layout in LAYOUTS}
        sure = [layout for layout, size in sizes.items() if size in CHANNELS]
        return sure or [layout for layout, size in sizes.items() if size is None]

    def channels(self, layout: str) -> int | None:
        return self.shape[_AXIS[layout]]

    def size(self, layout: str) -> tuple[int, int] | None:
        """Return the fixed height and width, or None if both are free. Raises ModelError if only one is fixed."""
        height, width = self.shape[2:] if layout == "nchw" else self.shape[1:3]
        if (height is None) != (width is None):
            raise ModelError(
                f"its height is {height or 'free'} and its width {width or 'free'}; expected both fixed or both free"
            )
        return None if height is None or width is None else (height, width)


def read_ports(session: Session, path: Path, given: Sequence[tuple[str, Input]] = ()) -> Ports:
    """Return the ports of an image-to-image graph, of which the inputs beside the image are ``given``.

    Raises ModelError, with the reason, for any other graph.
    """
    outputs, image = session.outputs, extra_inputs.image_port(session.inputs, given)
    if len(outputs) != 1:
        raise ModelError(
            f"it has {len(outputs)} outputs{_names(outputs)}; expected one: "
            f"{describe_command(path, '--output NAME')} writes a copy with the output of that name"
        )
    for node in (image, *outputs):
        if node.shape and len(node.shape) != 4:
            raise ModelError(
                f"{node.name!r} has {plural(len(node.shape), 'axis', 'axes')}; expected 4, a batch of images"
            )
        if node.dtype not in TYPES:
            raise ModelError(f"{node.name!r} is {node.dtype}; expected images of {', '.join(TYPES)}")
        if node.shape and isinstance(node.shape[0], int) and node.shape[0] > 1:
            raise ModelError(f"its batch is fixed at {node.shape[0]}; expected 1 or a free batch")
    metadata = read_metadata(path)
    declared = {
        "order": _PIXELS.get(metadata.get("Image.BitmapPixelFormat", "")),
        "range": _RANGES.get(metadata.get("Image.NominalPixelRange", "")),
    }
    return Ports(
        image.name,
        image.dtype,
        outputs[0].dtype,
        _sizes(image.shape or [None] * 4),  # a file that states no shape restricts none of the four
        {name: value for name, value in declared.items() if value is not None},
    )


def _names(nodes: Sequence[Any]) -> str:
    return f" ({', '.join(repr(node.name) for node in nodes)})" if nodes else ""


def settle_layout(ports: Ports, options: ModelOptions) -> str | None:
    """Return the layout if it is given or certain, else None. Raises ModelError if the shape contradicts it."""
    layouts = ports.layouts()
    if options.layout is not None:
        if ports.channels(options.layout) not in (*CHANNELS, None):
            raise ModelError(
                f"layout {options.layout} does not fit its shape; expected 1, 3 or 4 channels on that axis"
            )
        return options.layout
    if not layouts:
        raise ModelError("neither its second nor its last axis has 1, 3 or 4 channels, so it takes no images")
    return layouts[0] if len(layouts) == 1 else None


def settle_order(ports: Ports, channels: int | None, options: ModelOptions) -> str | None:
    """Return the order, given or declared in the file, else None. Raises ModelError if it does not fit the channels."""
    order = options.order or ports.declared.get("order")
    if order is not None and channels is not None and (channels == 1) != (order in ("grey", "y")):
        if options.order is None:
            return None
        raise ModelError(f"order {order} does not fit {plural(channels, 'channel')}")
    return order


def _sizes(shape: Sequence[int | str | None]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in shape)


def check(spec: Spec, session: Session, path: Path) -> None:
    """Check the graph against its description. Raises ModelError if they differ."""
    form = spec.form
    assert form is not None
    try:
        ports = read_ports(session, path, form.inputs)
        extra_inputs.check(session.inputs, form.inputs, form.layout)
        taken = 1 if form.order in ("grey", "y") else spec.source.channels - form.masked
        if ports.dtype != form.dtype or ports.channels(form.layout) not in (taken, None):
            raise ModelError(f"its description states {form.dtype}, {form.layout}, {plural(taken, 'channel')}")
        if ports.size(form.layout) != form.size:
            raise ModelError(f"its description states the size {form.size or 'any'}")
    except ModelError as error:
        raise ModelError(
            f"{path}: {error}; but the model expects {spec_check.describe(session)}; describe it again"
        ) from error
