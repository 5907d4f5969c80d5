"""Image metrics: NumPy arrays in, floats out."""

from i2i.metrics.pairs import l1, psnr, ssim

__all__ = ["l1", "psnr", "ssim"]
