"""Reading, checking and rewriting of ONNX graphs."""
