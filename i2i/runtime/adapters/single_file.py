"""Models with weights in other files or with several outputs, as one file with one output."""

from __future__ import annotations

from pathlib import Path

from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import has_external_data


def combined(path: Path, output: str | None = None) -> bytes | None:
    """Return the bytes of a model with all weights inside and, if ``output`` names one, that output alone.

    Return None if that is the file itself. Weights are read from files in the model's own folder only: ``onnx``
    refuses names and links that lead out of it. Nodes that only other outputs need stay, since graphs within nodes may
    use them too; ONNX Runtime skips them.

    Raises ModelError if the weights cannot be read or do not fit into one file, and ValueError, with the names that
    there are, for an unknown output.
    """
    external = has_external_data(path)
    if not external and output is None:
        return None
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # those of onnx and of protobuf have no common class but this
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ModelError(
            f"{path}: its weights cannot be read: {reason}; expected in the model's folder, in the file that it names"
        ) from error
    if output is not None:
        names = [value.name for value in model.graph.output]
        if output not in names:
            raise ValueError(f"{path}: it has no output {output!r}; choose from {', '.join(map(repr, names))}")
        chosen = model.graph.output[names.index(output)]
        kept = onnx.ValueInfoProto()
        kept.CopyFrom(chosen)
        del model.graph.output[:]
        model.graph.output.append(kept)
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # the class of the error depends on protobuf's version
        raise ModelError(f"{path}: its weights take more than the 2 GiB that one ONNX file can contain") from error
