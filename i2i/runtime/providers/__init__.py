"""Execution providers: ONNX Runtime, TensorRT and OpenVINO sessions."""
