"""Watchmen: warn in one line when a run fails in a known way, with what usually helps.

They look at what a run computes anyway: the means of the loss terms, and the images of the sample sheets.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch

from i2i.engine.run_folder import Run, defaults
from i2i.engine.symptoms import symptoms
from i2i.gan import OBJECTIVES, Adversarial
from i2i.networks import MultiScale
from i2i.text import plural
from i2i.translators import Translator, Views

if TYPE_CHECKING:
    from i2i.engine.report import Reporter

LASTING = 500  # steps that a symptom must last: most runs show some at their beginning
SLOWER = {"grid": 4}  # and those that take longer to go by themselves, relative to that
WON = 0.01  # loss of the discriminators relative to that of untrained ones
HALVINGS = 3  # of the learning rate, after as many losses or weights that were not finite

REMEDIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # symptom -> what is seen, what usually helps, and changes of hyper-parameters that do, of which a method has some
    "won": (
        "the discriminator has won: it hardly errs any more, so the generator learns little from it",
        "more images, or --diff-augment colour,translation,cutout where there are few",
        ("noise=0.1", "a higher balance", "constraint=r1"),
    ),
    "flat": ("{view} is one flat colour", "another --seed, i2i check, which finds flat images", ("a lower lr",)),
    "copy": (
        "{view} shows its input unchanged",
        "a longer run",
        ("a lower lambda_identity", "a lower lambda_cyc", "a lower lambda_tid", "a lower lambda_nce",
         "a lower lambda_rec", "a higher lambda_gan", "a higher lambda_cls"),
    ),
    "alike": (
        "{view} shows the same image for every input",
        "another --seed",
        ("a lower lr", "a higher lambda_cyc", "a higher lambda_l1", "a higher lambda_nce", "a higher lambda_rec",
         "a higher lambda_const"),
    ),
    "collapse": (
        "{view} draws the same image from every seed (mode collapse)",
        "another --seed",
        ("a lower lr", "minibatch=16", "matching=1", "noise=0.1", "constraint=r1"),
    ),
    "inverted": (
        "{view} has the brightness of its input inverted",
        "another --seed",
        ("a lower lr", "a higher lambda_identity", "a higher lambda_tid"),
    ),
    "grey": (
        "{view} has hardly any of the colours of its input",
        "i2i check, which finds images too flat for instance normalisation",
        ("norm=group", "residual=true", "a higher lambda_identity", "a higher lambda_tid", "a lower lr"),
    ),
    "grid": ("{view} has a checkerboard pattern", "a longer run", ("upsample=resize",)),
}  # fmt: skip


class Watch:
    """Warnings of a run: each at most once, and only after its symptom lasted for ``LASTING`` steps or more.

    Both are facts of the run (``run.json``), so that a continued run counts on, and does not repeat a warning.
    """

    def __init__(self, run: Run, translator: Translator, reporter: Reporter) -> None:
        self.run, self.reporter = run, reporter
        self.on = run.settings.watch == "on"
        self.data, self.exports = translator.data, set(translator.exports())
        gan = getattr(translator, "gan", None)
        self.untrained = _untrained(gan, translator) if isinstance(gan, Adversarial) else 0.0
        self.since: dict[str, int] = run.facts.get("symptoms", {})  # -> the step at which each was seen first

    def losses(self, step: int, means: dict[str, float]) -> None:
        """Look at the means of the loss terms since the last call, after ``step`` steps."""
        terms = [mean for name, mean in means.items() if name.startswith("D/gan")]
        won = bool(terms) and self.untrained > 0 and max(terms) < WON * self.untrained
        self._note(step, {"won": ""} if won else {}, {"won"})

    def images(self, step: int, views: Views) -> None:
        """Look at the images of a translator in evaluation mode after ``step`` steps."""
        self._note(step, symptoms(views, self.exports, self.data == "pairs"), REMEDIES.keys() - {"won"})

    def _note(self, step: int, found: dict[str, str], possible: Collection[str]) -> None:
        if not self.on:
            return
        self.since = {name: at for name, at in self.since.items() if name in found or name not in possible}
        self.since |= {name: step for name in found if name not in self.since}
        if self.since or "symptoms" in self.run.facts:
            self.run.facts["symptoms"] = self.since
        for name, view in found.items():
            warned = self.run.facts.get("warnings", {})
            if step - self.since[name] >= LASTING * SLOWER.get(name, 1) and name not in warned:
                text = remedy(name, view, defaults(self.run.settings.method) | self.run.hyperparameters)
                self.run.facts["warnings"] = warned | {name: {"step": step, "text": text}}
                self.reporter.say(f"warning: step {step}: {text}")


def remedy(name: str, view: str, values: dict[str, Any]) -> str:
    """Return the warning of a symptom, with changes of the hyper-parameters ``values`` that the method has."""
    seen, helps, changes = REMEDIES[name]
    fitting = [
        f"--set {change}" if "=" in change else change
        for change in changes
        for option in [change.split()[-1].partition("=")[0]]
        if option in values and not (change.startswith("a lower") and not values[option])
        if change.partition("=")[2] != str(values[option]).lower()
    ]
    return f"{seen.format(view=view)}. What usually helps: {', or '.join([helps, *fitting])}"


def _untrained(gan: Adversarial, translator: Translator) -> float:
    """Return the loss of a critic whose outputs are all 0, of every scale; 0 for an objective without a least loss."""
    scales = max((len(module) for module in translator.modules() if isinstance(module, MultiScale)), default=1)
    return scales * gan.weight * float(OBJECTIVES[gan.objective].critic(torch.zeros(1), torch.zeros(1)))


def after_not_finite(error: Exception, run: Run, halvings: int) -> str:
    """Return the line about a loss or weight that is not finite, after which the run goes back and halves its rate.

    It is also recorded among the warnings of the run.

    Raises ``error``, with what to do, if the learning rate was halved ``HALVINGS`` times already, or without watchmen.
    """
    if halvings >= HALVINGS or run.settings.watch == "off":
        times = f", although the learning rate was halved {plural(halvings, 'time')}" if halvings else ""
        raise type(error)(
            f"{error}{times}. The state saved before is untouched: run the same command again to continue from it, or "
            "start again with a lower learning rate (--set lr=1e-4) or --precision fp32; i2i check finds flat images, "
            "a frequent cause"
        ) from None
    text = (
        f"{error}. The run goes back to its last state, with half the learning rate ({halvings + 1} of {HALVINGS} "
        "times). What usually helps: --set lr=1e-4, --precision fp32, and i2i check, which finds flat images"
    )
    run.facts["warnings"] = run.facts.get("warnings", {}) | {f"not finite {halvings + 1}": {"text": text}}
    return f"warning: {text}"
