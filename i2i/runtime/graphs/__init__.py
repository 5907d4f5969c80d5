"""ONNX graphs: read, checked and rewritten."""
