"""Reports of runs: one HTML page that needs no network, or a model card; and the cards of the models that come with
i2i. Needs no PyTorch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.reporting.api import report

__all__ = ["report"]


def __getattr__(name: str) -> Any:
    """Import ``report`` on first use: it needs Jinja, which the cards of shipped models do without."""
    if name != "report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from i2i.reporting.api import report

    return report
