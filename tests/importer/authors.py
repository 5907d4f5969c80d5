"""Small networks with the authors' names of layers, written from the tables of their layouts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad, relu

Instance = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": Instance,
    "legacy": partial(nn.InstanceNorm2d, affine=False, track_running_stats=True),  # keeps statistics for nothing
    "batch": nn.BatchNorm2d,
    "none": lambda _channels: nn.Identity(),
}


def biased(norm: str) -> bool:
    return norm in ("instance", "legacy")


class Model(nn.Module):
    """A sequence under the name ``model``, ``net`` or ``main``."""

    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.name)(x)


class Residual(nn.Module):
    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return x + getattr(self, self.name)(x)


class Filter(nn.Module):
    """A fixed filter under the name ``filt``, [1, 2, 1] to halve or [1, 3, 3, 1] to double."""

    def __init__(self, channels: int, doubles: bool) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0] if doubles else [1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", line.outer(line).repeat(channels, 1, 1, 1))
        self.doubles = doubles

    def forward(self, x: Tensor) -> Tensor:
        if self.doubles:
            x = conv_transpose2d(pad(x, (1,) * 4, "replicate"), self.filt, stride=2, padding=2, groups=x.shape[1])
            return x[..., 1:-1, 1:-1]
        return conv2d(pad(x, (1,) * 4, "reflect"), self.filt, stride=2, groups=x.shape[1])


def resnet(
    channels: tuple[int, int] = (3, 3), blocks: int = 2, ngf: int = 4, norm: str = "instance", *,
    dropout: bool = False, downs: int = 2, antialias: bool = False,
) -> nn.Module:  # fmt: skip
    """The ancestor's; with more steps down pix2pixHD's, with ``antialias`` CUT's."""
    make, bias = NORMS[norm], biased(norm)
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(channels[0], ngf, 7, bias=bias), make(ngf), nn.ReLU()]
    width = ngf
    for _ in range(downs):
        conv = nn.Conv2d(width, 2 * width, 3, 1 if antialias else 2, 1, bias=bias)
        width *= 2
        layers += [conv, make(width), nn.ReLU()] + [Filter(width, False)] * antialias
    for _ in range(blocks):
        halves = [(nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), make(width)) for _ in range(2)]
        layers.append(Residual("conv_block", *halves[0], nn.ReLU(), *[nn.Dropout(0.5)] * dropout, *halves[1]))
    for _ in range(downs):
        conv = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=bias)
        if antialias:
            layers.append(Filter(width, True))
            conv = nn.Conv2d(width, width // 2, 3, 1, 1, bias=bias)
        width //= 2
        layers += [conv, make(width), nn.ReLU()]
    return Model("model", *layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, channels[1], 7), nn.Tanh())


class Outer(nn.Module):
    """A network that is another under the name ``model``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Level(nn.Module):
    """One level of the U-Net and all below it."""

    def __init__(self, outer: int, inner: int, below: nn.Module | None, make: Callable[[int], nn.Module], bias: bool):
        super().__init__()
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        up = [
            nn.ReLU(),
            nn.ConvTranspose2d(inner * (1 if below is None else 2), outer, 4, 2, 1, bias=bias),
            make(outer),
        ]
        middle = [] if below is None else [make(inner), below]
        self.model = nn.Sequential(*down, *middle, *up)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


def unet(channels: tuple[int, int] = (3, 3), depth: int = 5, ngf: int = 4, norm: str = "batch") -> nn.Module:
    make, bias = NORMS[norm], biased(norm)
    widths = [ngf * min(2**level, 8) for level in range(depth)]
    level = None
    for at in reversed(range(1, depth)):
        level = Level(widths[at - 1], widths[at], level, make, bias)
    outermost = Model(
        "model", nn.Conv2d(channels[0], ngf, 4, 2, 1, bias=bias), level, nn.ReLU(),
        nn.ConvTranspose2d(2 * ngf, channels[1], 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    return Outer(outermost)


def stargan(domains: int = 3, blocks: int = 2, ngf: int = 4, channels: int = 3) -> nn.Module:
    def make(width: int) -> nn.Module:
        return nn.InstanceNorm2d(width, affine=True, track_running_stats=True)

    layers: list[nn.Module] = [nn.Conv2d(channels + domains, ngf, 7, 1, 3, bias=False), make(ngf), nn.ReLU()]
    for width in (ngf, 2 * ngf):
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), make(2 * width), nn.ReLU()]
    for _ in range(blocks):
        first, second = (nn.Conv2d(4 * ngf, 4 * ngf, 3, 1, 1, bias=False) for _ in range(2))
        layers.append(Residual("main", first, make(4 * ngf), nn.ReLU(), second, make(4 * ngf)))
    for width in (4 * ngf, 2 * ngf):
        up = nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)
        layers += [up, make(width // 2), nn.ReLU()]
    return Model("main", *layers, nn.Conv2d(ngf, channels, 7, 1, 3, bias=False), nn.Tanh())


class CSC321(nn.Module):
    def __init__(self, ngf: int = 4) -> None:
        super().__init__()

        def step(conv: nn.Module, width: int | None) -> nn.Module:
            return nn.Sequential(conv, *([nn.BatchNorm2d(width)] if width else []))

        self.conv1 = step(nn.Conv2d(3, ngf, 4, 2, 1, bias=False), ngf)
        self.conv2 = step(nn.Conv2d(ngf, 2 * ngf, 4, 2, 1, bias=False), 2 * ngf)
        self.resnet_block = nn.Module()
        self.resnet_block.conv_layer = step(nn.Conv2d(2 * ngf, 2 * ngf, 3, 1, 1, bias=False), 2 * ngf)
        self.deconv1 = step(nn.ConvTranspose2d(2 * ngf, ngf, 4, 2, 1, bias=False), ngf)
        self.deconv2 = step(nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False), None)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.conv2(relu(self.conv1(x))))
        x = relu(x + self.resnet_block.conv_layer(x))
        return torch.tanh(self.deconv2(relu(self.deconv1(x))))


def patchgan(
    channels: int = 3, layers: int = 2, ndf: int = 4, norm: str = "batch", antialias: bool = False
) -> nn.Module:
    make, bias = NORMS[norm], biased(norm)
    stride = 1 if antialias else 2
    modules = [nn.Conv2d(channels, ndf, 4, stride, 1), nn.LeakyReLU(0.2)] + [Filter(ndf, False)] * antialias
    width = ndf
    for layer in range(1, layers + 1):
        last, width, final = width, ndf * min(2**layer, 8), layer == layers
        modules += [nn.Conv2d(last, width, 4, 1 if final else stride, 1, bias=bias), make(width), nn.LeakyReLU(0.2)]
        modules += [] if final or not antialias else [Filter(width, False)]
    return Model("model", *modules, nn.Conv2d(width, 1, 4, 1, 1))


def trained(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with weights that make something of its input, and norms and averages that are not the initial."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith("filt") or not tensor.is_floating_point():
            continue
        scale = 0.4 if tensor.ndim == 1 else 2.0 / tensor[0].numel() ** 0.5
        centre = 1.0 if name.endswith("running_var") else 0.0
        tensor.copy_((torch.randn(tensor.shape, generator=generator) * scale + centre).abs() if centre else
                     torch.randn(tensor.shape, generator=generator) * scale)  # fmt: skip
    return net
