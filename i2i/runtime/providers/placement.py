"""Which nodes of a graph a GPU left to the processor.

ONNX Runtime puts nodes there in silence: those that only compute shapes on purpose, since a processor is quicker at
that, and those that the GPU's provider has no kernel for, at the price of copying the image to and fro. Its own switch,
``session.disable_cpu_ep_fallback``, refuses the first as well, which every graph has that pads an image to a multiple.
So the session is asked what went where (ONNX Runtime 1.24), and the graph what is computed from pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

RECORD = "session.record_ep_graph_assignment_info"
"""The key of the session's settings by which it takes down what it put where."""

_MEASURES = ("Shape", "Size")  # what takes pixels and returns none


def left_to_cpu(session: Any, model: Path) -> list[str]:
    """The nodes that are computed from pixels and run on the processor: ["Resize (node_upsample)"]."""
    there = [
        (node.op_type, node.name)
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == "CPUExecutionProvider"
        for node in part.get_nodes()
    ]
    if not there:
        return []
    shapes = _of_shapes(model)
    return [f"{kind} ({name})" if name else kind for kind, name in there if (kind, name) not in shapes]


def _of_shapes(model: Path) -> set[tuple[str, str]]:
    """Kind and name of the nodes that no pixel reaches. One that an optimisation made is none of them."""
    import onnx  # which takes a while

    graph = onnx.load(model, load_external_data=False).graph
    pixels = {graph.input[0].name}
    of_pixels: set[tuple[str, str]] = set()
    _spread(graph.node, pixels, of_pixels)
    return {(node.op_type, node.name) for node in _all(graph.node)} - of_pixels


def _spread(nodes: Iterable[Any], pixels: set[str], found: set[tuple[str, str]]) -> bool:
    """Adds to ``found`` the nodes that ``pixels`` reach, and to ``pixels`` what they return; whether there are any."""
    any_found = False
    for node in nodes:
        within = [_spread(graph.node, pixels, found) for graph in _graphs(node)]
        if any(within) or (node.op_type not in _MEASURES and not pixels.isdisjoint(node.input)):
            found.add((node.op_type, node.name))
            pixels.update(node.output)
            any_found = True
    return any_found


def _all(nodes: Iterable[Any]) -> Iterable[Any]:
    for node in nodes:
        yield node
        for graph in _graphs(node):
            yield from _all(graph.node)


def _graphs(node: Any) -> list[Any]:
    return [graph for each in node.attribute for graph in ([each.g] if each.HasField("g") else each.graphs)]
