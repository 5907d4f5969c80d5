"""Inputs and output of an exported graph: names, types, sizes and descriptions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from i2i import sampling
from i2i.images.domains import describe_ranges
from i2i.spec import METADATA_KEY, STYLE_ENCODER, Domain, Prior, Spec
from i2i.text import plural
from i2i.words import FIRST, PADDING, UNKNOWN


class Port(NamedTuple):
    """An input or output of a graph."""

    name: str
    dtype: str
    sizes: tuple[str | int, ...]
    """Free sizes by name; the output repeats the input's names, since it has the same sizes."""
    words: str


def inputs(spec: Spec) -> list[Port]:
    """Return the inputs: ``image``, or ``z`` and perhaps ``text`` for a generator; ``target`` for a model of several
    domains; and ``style`` for one with styles.
    """
    ends = [_latent("z", spec.prior) if spec.generates and spec.prior else _image("image", spec, spec.source)]
    if spec.prior is not None and spec.prior.words:
        ends.append(_text(spec.prior))
    if spec.attributes:
        words = f"float32 [n, {len(spec.domains)}], 0 or 1 for each of {', '.join(spec.domains)}"
        ends.append(Port("target", "float32", ("n", len(spec.domains)), words))
    elif spec.domains:
        indices = ", ".join(f"{index} {name}" for index, name in enumerate(spec.domains))
        ends.append(Port("target", "int64", ("n",), f"int64 [n], the index of a domain: {indices}"))
    if spec.style is not None:
        ends.append(_latent("style", spec.style))
    return ends


def output(spec: Spec) -> Port:
    if spec.kind == STYLE_ENCODER and spec.prior is not None:
        length = spec.prior.length
        return Port("style", "float32", ("n", length), f"float32 [n, {length}]: input `style` of a translation")
    if spec.prior is None or not spec.generates:
        return _image("translation", spec, spec.target)
    (height, width), port = spec.prior.size, _image("image", spec, spec.target)
    return port._replace(sizes=tuple({"h": height, "w": width}.get(str(size), size) for size in port.sizes))


def _latent(name: str, prior: Prior) -> Port:
    noise = {"normal": "normal noise, N(0, 1)", "uniform": "uniform noise from -1 to 1"}[prior.distribution]
    words, at = [f"{prior.noise} numbers of {noise}"] if prior.noise else [], prior.noise
    for code in prior.codes:
        kind = f"one-hot of {code.values}" if code.values else "-1..1"
        words.append(f"{code.name} ({kind}) from number {at}")
        at += code.width
    return Port(name, "float32", ("n", prior.length), f"float32 [n, {prior.length}]: {', then '.join(words)}")


def _text(prior: Prior) -> Port:
    words = (
        f"int64 [n, {prior.words}], the ids of a sentence's words: from {FIRST} on those of the description's "
        f"vocabulary, in its order; {UNKNOWN} for any other word, {PADDING} after the last"
    )
    return Port("text", "int64", ("n", prior.words), words)


def _image(name: str, spec: Spec, domain: Domain) -> Port:
    order = plural(domain.channels, "channel")
    if not domain.bands:
        order = {1: "grey", 3: "RGB", 4: "RGBA"}.get(domain.channels, order)
    if spec.io == "tensor":
        sizes: tuple[str | int, ...] = ("n", domain.channels, "h", "w")
        return Port(name, "float32", sizes, f"float32 [n, {domain.channels}, h, w], {order}, -1..1")
    words = f"{spec.dtype} [n, h, w, {domain.channels}], {order}, {describe_ranges(domain)}"
    return Port(name, spec.dtype, ("n", "h", "w", domain.channels), words)


def examples(spec: Spec) -> tuple[Tensor, ...]:
    """Make small inputs whose free sizes all differ, so that PyTorch's exporter does not equate them."""
    if spec.generates:
        return drawn(spec, 2)
    h, w = (-(-max(spec.minimum, side) // spec.multiple) * spec.multiple for side in (24, 40))
    w += spec.multiple * (h == w)
    image = torch.rand(2, spec.source.channels, h, w) * 2 - 1
    if spec.io == "pixels":
        image = as_stored((image + 1) / 2, spec)
    return image, *further(spec, 2)


def as_stored(image: Tensor, spec: Spec) -> Tensor:
    """Return images [n, c, h, w] in 0..1 as input of a graph between pixels, [n, h, w, c] in the source's range."""
    low, high = torch.tensor(spec.source.ranges).unbind(1)
    values = low + image.permute(0, 2, 3, 1) * (high - low)
    values = values if spec.source.dtype == "float32" else values.round()
    return values.contiguous().to(getattr(torch, spec.dtype))


def drawn(spec: Spec, n: int, start: int = 0) -> tuple[Tensor, ...]:
    """Return the inputs of a generator for ``n`` seeds from ``start`` on, with sentences and targets in turn."""
    assert spec.prior is not None
    return _of_seeds(spec.prior, n, start), *further(spec, n, start)


def further(spec: Spec, n: int, start: int = 0) -> tuple[Tensor, ...]:
    """Return the inputs behind the first one for ``n`` images: sentences and targets in turn, and styles of the seeds
    from ``start`` on.
    """
    given = []
    if spec.prior is not None and spec.prior.words:
        given.append(sentences(spec.prior, n, start))
    if spec.domains:
        given.append(targets(spec, n, start))
    if spec.style is not None:
        given.append(_of_seeds(spec.style, n, start))
    return tuple(given)


def _of_seeds(prior: Prior, n: int, start: int) -> Tensor:
    return torch.from_numpy(sampling.latent(prior, range(start, start + n)))


def sentences(prior: Prior, n: int, start: int = 0) -> Tensor:
    """Return ``n`` values for ``text``: sentences of all lengths and all words of the vocabulary in turn, every other
    one with an unknown word.
    """
    number, place = (torch.arange(n) + start)[:, None], torch.arange(prior.words)[None]
    known = FIRST + (number * prior.words + place) % len(prior.vocabulary)
    words = torch.where((place == number // 2 % prior.words) & (number % 2 == 1), UNKNOWN, known)
    return torch.where(place > (prior.words - 1 - number) % prior.words, PADDING, words)


def targets(spec: Spec, n: int, start: int = 0) -> Tensor:
    """Return ``n`` values for ``target``, cycling through a list: each domain, or for attributes each one alone, none
    and all.
    """
    domains = len(spec.domains)
    if not spec.attributes:
        return (torch.arange(n) + start) % domains
    choices = torch.cat([torch.eye(domains), torch.zeros(1, domains), torch.ones(1, domains)])
    return choices[(torch.arange(n) + start) % len(choices)]


def explain(spec: Spec) -> str:
    """Describe the file's inputs and output, for readers of its doc string."""
    least = f"h and w from {spec.minimum}" if spec.io == "tensor" and spec.minimum > 1 else "any h and w"
    mark = {"uint8": "as a checkerboard of 0 and 255, pixel by pixel", "float32": "as NaN"}[spec.dtype]
    does = f"{spec.method} translator from {spec.source.name!r} to {spec.target.name!r}"
    other = ""
    if spec.domains:
        does = f"{spec.method} translator of {spec.source.name!r} to each of several " + (
            "attributes" if spec.attributes else "domains"
        )
        other = " or whose target is none of these"
    if spec.kind == STYLE_ENCODER:
        does = f"{spec.method} encoder of the style of an image of {spec.target.name!r}"
    if spec.generates:
        does = f"{spec.method} generator of images like {spec.target.name!r}"
        if spec.domains:
            does += ", of each of several " + ("attributes" if spec.attributes else "classes")
            other = " or whose target is none of these"
        if spec.prior is not None and spec.prior.words:
            does += ", from sentences"
            other = " or whose text has another id"
    same = "the same n" if spec.kind == STYLE_ENCODER else "the same n, h and w"
    sizes = "Any n." if spec.generates else f"Any n, {least}; the output has {same}."
    taken = "; ".join(f"{end.name}: {end.words}" for end in (*inputs(spec), output(spec)))
    finite = "" if spec.kind == STYLE_ENCODER else f"An image whose result is not finite{other} comes back {mark}. "
    return f"{does}. {taken}. {sizes} {finite}Further facts are JSON under the metadata key {METADATA_KEY!r}."
