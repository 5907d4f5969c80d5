"""The table of metrics. A new metric is one function and one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from i2i.metrics import labels, maps, pairs, sets, video
from i2i.text import did_you_mean

Role = Literal["result", "source", "truth", "real", "cycle", "class", "labels"]
"""Parts of an evaluation: a result, its source, the image that it should be, all real images of the target domain, the
result translated back, the class it should belong to, and the label map that it should show."""

SECTIONS = {"real": "realism", "source": "content", "truth": "truth", "class": "labels", "labels": "labels"}


@dataclass(frozen=True)
class Metric:
    """One row of ``METRICS``.

    Attributes:
        function: takes the views ``of`` the two roles ``between`` which it measures. With needs="pair" it takes those
            of one image and returns a float, which is averaged; with "set" those of all images, and returns an
            :class:`Estimate`; with "video" the pairs of frames, source and result.
        needs: "pair", "set" or "video".
        better: "lower" or "higher".
        of: the view of an image: "pixels" [h, w, c]; "maps" of the features, [c, h, w] each; "features" [d];
            "label", of a classifier; "frames"; or of both roles at once: "similarity", the terms of SSIM, and
            "confusion", of a segmenter.
        between: the two roles.
        options: keywords of the function, which are part of the protocol.
        scale: the factor that is applied where the figure is shown and written, and stated there.
        percent: True if it is shown in percent.
    """

    function: Callable[..., Any]
    needs: Literal["pair", "set", "video"]
    better: Literal["lower", "higher"]
    of: Literal["pixels", "similarity", "maps", "features", "label", "confusion", "frames"]
    between: tuple[Role, Role]
    options: tuple[str, ...] = ()
    scale: int = 1
    percent: bool = False

    @property
    def section(self) -> str:
        """The question that the metric answers: "realism", "content", "truth" or "labels"."""
        return SECTIONS[self.between[1]]

    @property
    def needs_features(self) -> bool:
        """True if it is computed from a network's features, whose name then belongs to its own."""
        return self.of in ("features", "maps")


# fmt: off
METRICS: dict[str, Metric] = {
    "KID": Metric(sets.kid, "set", "lower", "features", ("result", "real"), ("kid_subset", "kid_subsets", "seed"), 1000),  # noqa: E501
    "FD": Metric(sets.frechet, "set", "lower", "features", ("result", "real")),
    "MIND": Metric(sets.mind, "set", "lower", "features", ("result", "real"), ("seed",)),
    "density": Metric(sets.density, "set", "higher", "features", ("result", "real"), ("seed",)),
    "coverage": Metric(sets.coverage, "set", "higher", "features", ("result", "real"), ("seed",)),
    "structure": Metric(maps.self_similarity, "pair", "lower", "maps", ("result", "source")),
    "edges": Metric(pairs.edge_agreement, "pair", "higher", "pixels", ("result", "source")),
    "cycle-L1": Metric(pairs.l1, "pair", "lower", "pixels", ("cycle", "source")),
    "L1": Metric(pairs.l1, "pair", "lower", "pixels", ("result", "truth")),
    "PSNR": Metric(pairs.psnr, "pair", "higher", "pixels", ("result", "truth")),
    "SSIM": Metric(pairs.Similarity.ssim, "pair", "higher", "similarity", ("result", "truth")),
    "MS-SSIM": Metric(pairs.Similarity.ms_ssim, "pair", "higher", "similarity", ("result", "truth")),
    "perceptual": Metric(maps.perceptual, "pair", "lower", "maps", ("result", "truth")),
    "accuracy": Metric(labels.accuracy, "pair", "higher", "label", ("result", "class"), percent=True),
    "pixel accuracy": Metric(labels.pixel_accuracy, "set", "higher", "confusion", ("result", "labels"), ("seed",), percent=True),  # noqa: E501
    "class accuracy": Metric(labels.class_accuracy, "set", "higher", "confusion", ("result", "labels"), ("seed",), percent=True),  # noqa: E501
    "IoU": Metric(labels.iou, "set", "higher", "confusion", ("result", "labels"), ("seed",), percent=True),
    "flicker": Metric(video.flicker, "video", "lower", "frames", ("result", "source")),
}
# fmt: on


def find_metrics(names: str | list[str] | None) -> dict[str, Metric]:
    """Return the rows of these names, in the order of the table; case does not count. All for None.

    ``FID`` and ``FD`` name the same row: what it is called depends on the features. Raises ValueError, with the names
    that there are, for an unknown one.
    """
    if names is None:
        return METRICS
    wanted = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    known = {name.lower(): name for name in METRICS} | {"fid": "FD"}
    for name in wanted:
        if name.lower() not in known:
            raise ValueError(f"no metric {name!r}{did_you_mean(name, METRICS)}; choose from {', '.join(METRICS)}")
    chosen = {known[name.lower()] for name in wanted}
    return {name: metric for name, metric in METRICS.items() if name in chosen}


def display_name(name: str, features: str) -> str:
    """Return the name of a metric with that of the features it was computed from: KID-lite0, FD-lite0.

    Only the Frechet distance of the Inception network's features is called FID.
    """
    if not METRICS[name].needs_features:
        return name
    if name == "FD" and features == "inception":
        return "FID"
    return f"{name}-{features}"
