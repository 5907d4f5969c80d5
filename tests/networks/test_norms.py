"""Gradients of the normalisations against float64, in both memory formats and at the batch sizes where PyTorch errs."""

import pytest
import torch

from i2i.networks.blocks import norm_layer

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
FORMATS = [torch.contiguous_format, torch.channels_last]


def gradient(norm, x, incoming):
    """Return the gradient at x of a norm whose output passes a no-op view, as reshapes around layers leave it."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out = norm(x)
    out.view(out.shape).backward(incoming)
    return x.grad


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("incoming", FORMATS)
@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", ["instance", "batch", "running"])
def test_gradients_are_those_of_double_precision(kind, n, given, incoming, device, one_thread):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator().manual_seed(n)
    x, slope = (torch.randn(n, 8, 12, 10, generator=generator).to(device) for _ in range(2))
    expected = gradient(norm_layer(kind, 8).to(device).double(), x.double(), slope.double())
    norm = norm_layer(kind, 8).to(device)
    found = gradient(norm, x.contiguous(memory_format=given), slope.contiguous(memory_format=incoming))
    assert (found - expected).abs().max() < 1e-5
    assert norm(x.contiguous(memory_format=given)).shape == x.shape


def test_a_norm_of_flat_maps_is_that_of_maps_to_the_bit(one_thread):
    x = torch.randn(2, 5, 7, 9)
    assert torch.equal(norm_layer("instance", 5)(x), torch.nn.functional.instance_norm(x))
    assert torch.equal(norm_layer("batch", 5)(x), torch.nn.BatchNorm2d(5)(x))
