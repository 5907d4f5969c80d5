"""Find the nodes of a graph that a GPU's provider left to the processor.

ONNX Runtime puts nodes on the processor without a message: those that only compute shapes on purpose, since a processor
is faster at that, and those for which the GPU's provider has no kernel, at the cost of copying the image there and
back. Its own switch, ``session.disable_cpu_ep_fallback``, refuses the first kind too, which every graph has that pads
an image to a multiple. So the placement is read from the session (ONNX Runtime 1.24), and the graph tells which nodes
depend on pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

RECORD = "session.record_ep_graph_assignment_info"
"""Key of the session's settings by which it records on which provider it put each node."""

_MEASURES = ("Shape", "Size")  # nodes that take pixels and return none


def left_to_cpu(session: Any, model: Path) -> list[str]:
    """Return the nodes that depend on pixels and run on the processor: ["Resize (node_upsample)"]."""
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
    """Return kind and name of the nodes that do not depend on pixels, except nodes that an optimisation made."""
    import onnx  # slow to import

    graph = onnx.load(model, load_external_data=False).graph
    pixels = {graph.input[0].name, *(port.name for port in graph.input if len(port.type.tensor_type.shape.dim) == 4)}
    of_pixels: set[tuple[str, str]] = set()
    _spread(graph.node, pixels, of_pixels)
    return {(node.op_type, node.name) for node in _all(graph.node)} - of_pixels


def _spread(nodes: Iterable[Any], pixels: set[str], found: set[tuple[str, str]]) -> bool:
    """Add to ``found`` the nodes that depend on ``pixels``, and their outputs to ``pixels``; True if there are any."""
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
