"""Image metrics: NumPy arrays in, figures out, and the table of all of them."""

from i2i.metrics.estimate import Estimate, NotMeasurableError
from i2i.metrics.maps import perceptual, self_similarity
from i2i.metrics.pairs import edge_agreement, l1, ms_ssim, psnr, ssim
from i2i.metrics.sets import coverage, density, frechet, kid, mind
from i2i.metrics.table import METRICS, Metric, display_name, find_metrics

__all__ = [
    "METRICS",
    "Estimate",
    "Metric",
    "NotMeasurableError",
    "coverage",
    "density",
    "display_name",
    "edge_agreement",
    "find_metrics",
    "frechet",
    "kid",
    "l1",
    "mind",
    "ms_ssim",
    "perceptual",
    "psnr",
    "self_similarity",
    "ssim",
]
