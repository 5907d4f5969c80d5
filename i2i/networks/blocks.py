"""Shared layers: normalisations, downsampling and upsampling, initialisation, the test-time copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, pad

from i2i.text import plural


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance normalisation (arXiv:1607.08022) that also accepts 1x1 maps, which become its bias.

    The bottom of a deep U-Net is one pixel for small images; PyTorch's class refuses to train on that. Maps are
    normalised as [n, c, h * w]: PyTorch's batch norm on a CPU, which instance norm is built on, returns wrong gradients
    for one image [1, c, h, w] if the incoming gradient is in channels_last and was reshaped (2.13 and 2.14).
    """

    def forward(self, x: Tensor) -> Tensor:
        options = (self.weight, self.bias, None, None, True, 0.0, self.eps, torch.backends.cudnn.enabled)
        if torch.compiler.is_exporting():  # a graph keeps its one node
            return torch.instance_norm(x, *options)
        return torch.instance_norm(x.flatten(2), *options).view(x.shape)


class _BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of maps as [n, c, h * w], for the reason of ``InstanceNorm2d``."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # maps have three dimensions here

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(2)).view(x.shape)


class BatchNorm2d(_BatchNorm2d):
    """Batch normalisation with a clear error for the one input it cannot normalise."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            raise ValueError(
                "batch normalisation has a single value per channel to learn from: the image is too small for a "
                "network this deep at batch 1. Train on larger images (--size), with a larger --batch, a shallower "
                "generator (--set generator=unet_128), or --set norm=instance"
            )
        return super().forward(x)


class RunningNorm2d(_BatchNorm2d):
    """Batch normalisation that uses its running averages in use, for networks trained on batches of many images.

    ``per_image`` gives other batch norms the statistics of each image, as pix2pix's authors do at batch 1.
    """


class GroupNorm2d(nn.GroupNorm):
    """Group normalisation (Wu & He 2018, arXiv:1803.08494) with a learned scale and shift of each channel.

    Mean and variance are those of several channels together, so unlike instance norm it keeps the ratios of channels:
    the colour of a flat image. The authors' 32 groups, or fewer where that would leave groups of one channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(gcd(max(channels // 2, 1), 32), channels)

    def forward(self, x: Tensor) -> Tensor:
        # The class refuses to train on a single value per group, which becomes its shift.
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps, torch.backends.cudnn.enabled)


class LayerNorm2d(GroupNorm2d):
    """Layer normalisation (arXiv:1607.06450) of an image's channels and pixels together: one group."""

    def __init__(self, channels: int) -> None:
        nn.GroupNorm.__init__(self, 1, channels)


NORMS = {
    "instance": InstanceNorm2d,
    "batch": BatchNorm2d,
    "group": GroupNorm2d,
    "layer": LayerNorm2d,
    "none": nn.Identity,
    "running": RunningNorm2d,
}


def norm_layer(norm: str, channels: int) -> nn.Module:
    """Return the normalisation ``norm`` (instance | batch | group | layer | none | running) over ``channels``."""
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; choose one of {', '.join(NORMS)}")
    return NORMS[norm](channels)


def has_bias(norm: str) -> bool:
    """True if a convolution before this normalisation has a bias.

    The authors give it one before instance norm alone, which cancels it, and none without a norm. Before group and
    layer norm it shifts a channel relative to the others of its group.
    """
    return norm in ("instance", "group", "layer")


def towards(x: Tensor, t: Tensor) -> Tensor:
    """Move images x in [-1, 1] by t in [-1, 1]: (1 - |t|) x + t, a mixture of x and the sign of t.

    A grey x [n, 1, h, w] moves in each channel of t. The result is x itself where t = 0, to the bit, and is in [-1, 1]
    for every x and t. Each value can be reached from each x, also from -1 and 1, where x + t would be clipped and
    tanh(atanh(x) + t) could not begin. Its slope in t is 1 - x upwards and 1 + x downwards, so that it only vanishes at
    the end of the range.
    """
    return (1 - t.abs()) * x + t


def check_residual(in_channels: int, out_channels: int) -> None:
    """Raise ValueError unless a network of these channels can add to its input: equal ones, or one, which all get."""
    if in_channels not in (1, out_channels):
        raise ValueError(
            f"residual adds to the input, which has {plural(in_channels, 'channel')}, and the output {out_channels}; "
            "expected a grey input or equal ones (--channels 3, or --set residual=false)"
        )


class HalvingConv2d(nn.Conv2d):
    """4x4 convolution of stride 2, padded so that n pixels become ceil(n / 2).

    Identical to the plain convolution for even n, for which the branch avoids a copy. In an exported graph there is no
    branch: the size is unknown there, and ONNX Runtime fuses the padding into the convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool) -> None:
        super().__init__(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and x.shape[-2] % 2 == 0 and x.shape[-1] % 2 == 0:
            return super().forward(x)
        return super().forward(pad(x, (0, 1, 0, 1)))


class BlurDown(nn.Module):
    """Halves a map, n pixels to ceil(n / 2), filtered by [1, 2, 1] / 4 both ways, so that the stride does not alias.

    Zhang 2019 (arXiv:1904.11486). The border is reflected, so the map needs at least two rows and columns.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        blur = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", blur.outer(blur).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return _Blur.apply(x, self.kernel)


class _Blur(torch.autograd.Function):
    """Filter a map [n, c, h, w] with fixed kernels [c, 1, 3, 3], and keep nothing for the backward pass.

    PyTorch would keep the padded map, a second copy: a tenth of the memory of a step of CUT.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.of = x.shape, x.dtype
        return conv2d(pad(x, (1, 1, 1, 1), "reflect"), kernel, stride=2, groups=len(kernel))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (kernel,), (shape, dtype) = ctx.saved_tensors, ctx.of
        unseen = [1 - n % 2 for n in shape[2:]]  # the last row of the padded map, where n is even
        spread = conv_transpose2d(grad, kernel.to(grad), stride=2, output_padding=unseen, groups=len(kernel))
        x = torch.empty(shape, dtype=grad.dtype, device=grad.device)  # only its shape is read
        return torch.ops.aten.reflection_pad2d_backward(spread, x, [1, 1, 1, 1]).to(dtype), None


class Upsample2x(nn.Module):
    """Double a map and crop it to the size it had on the way down, at most one row and one column.

    ``deconv`` is the authors' transposed convolution; ``resize`` repeats pixels and convolves, which has no
    checkerboards (Odena et al., https://doi.org/10.23915/distill.00003); ``blur`` spreads them with [1, 3, 3, 1] / 4,
    which is bilinear interpolation, and convolves: the counterpart of ``BlurDown``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, upsample: str, bias: bool) -> None:
        super().__init__()
        if upsample == "deconv":
            self.conv: nn.Module = nn.ConvTranspose2d(
                in_channels, out_channels, kernel, stride=2, padding=1, output_padding=kernel % 2, bias=bias
            )
        elif upsample in ("resize", "blur"):
            self.conv = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest" if upsample == "resize" else "bilinear"),
                nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
            )
        else:
            raise ValueError(f"upsample is {upsample!r}; choose deconv, resize or blur")

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.conv(x)[..., : size[0], : size[1]]


WEIGHTS = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain),
}


def initialise(net: nn.Module, gain: float = 0.02, weights: str = "normal") -> nn.Module:
    """Initialise as the authors: convolutions N(0, gain) with bias 0, batch norm N(1, gain) with bias 0.

    With ``xavier`` the standard deviation of a layer's weights is gain * sqrt(2 / (inputs + outputs)), as in CUT. The
    last layer of a network that is ``residual`` begins at 0, so that the network returns its input. Raises ValueError
    for other ``weights``.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"init is {weights!r}; choose {' or '.join(WEIGHTS)}")
    if any(parameter.is_meta for parameter in net.parameters()):
        return net  # only shapes are needed here, and skipping the drawing would cost more than drawing
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            WEIGHTS[weights](module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
    for module in net.modules():
        last = getattr(module, "last", None)
        if getattr(module, "residual", False) and isinstance(last, nn.Module):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
    return net


class AveragedNorm2d(nn.Module):
    """Batch norm that always uses the running averages of training: equal for every image, alone or in a batch.

    Not a ``nn.BatchNorm2d``, so that ``per_image`` leaves it as it is; its tensors have the same names.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, trained: nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps = trained.eps
        for name in ("weight", "bias"):
            self.register_parameter(name, nn.Parameter(getattr(trained, name).detach().clone()))
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, getattr(trained, name).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps)


def _own_statistics(trained: nn.BatchNorm2d) -> nn.Module:
    norm = InstanceNorm2d(trained.num_features, eps=trained.eps, affine=True).to(trained.weight)
    norm.load_state_dict({"weight": trained.weight, "bias": trained.bias})
    return norm


def _without_batch_norm(net: nn.Module, norm: Callable[[nn.BatchNorm2d], nn.Module]) -> nn.Module:
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, AveragedNorm2d(child) if isinstance(child, RunningNorm2d) else norm(child))
    return net.eval()


def per_image(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` for inference: dropout off, and batch norm with the statistics of each single image.

    The authors test pix2pix in training mode at batch 1, where batch norm is exactly affine instance norm. A
    ``RunningNorm2d`` keeps to its running averages.
    """
    return _without_batch_norm(net, _own_statistics)


def averaged(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` whose batch norm uses its running averages, for networks trained in large batches.

    There the statistics of a batch are near those of the data, and those of a single image are not.
    """
    return _without_batch_norm(net, AveragedNorm2d)


relu = partial(nn.ReLU, inplace=True)
leaky_relu = partial(nn.LeakyReLU, 0.2, inplace=True)
