"""The training state: networks, optimisers and the average of the weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from i2i.atomic import FULL
from i2i.diffaugment import DiffAugment
from i2i.engine.accumulate import play_in_parts
from i2i.engine.checkpointing import checkpoint
from i2i.engine.compilation import OPTIONS, compile_networks
from i2i.engine.distributed import World
from i2i.engine.ema import EMA
from i2i.engine.freeze import freeze
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.statistics import NonFinite
from i2i.engine.step import Move, autocast_for, play
from i2i.engine.teacher import Teacher
from i2i.engine.weights import differing, save_weights
from i2i.gan import Adversarial
from i2i.networks import BatchStatGAN
from i2i.translators import Translator, Views, translator_class
from i2i.translators.content import Content, with_content

if TYPE_CHECKING:
    from i2i.engine.validation import Validation

LOCAL = "_extra_state"  # state that differs between processes: the image pools
MOST_FAILURES = 3  # in a row to save the state


class TrainState:
    """A translator with its optimisers and EMA, made from a run's description."""

    def __init__(self, run: Run, world: World) -> None:
        settings, self.world = run.settings, world
        torch.manual_seed(settings.seed)  # the same first weights in every process
        translator = made(run)
        # Double precision is for comparisons: there the order of a sum does not matter.
        self.dtype = torch.float64 if settings.precision == "fp64" else torch.float32
        # On a CPU in single precision there is nothing to convert, and tensors without contents cannot be.
        converted = world.device.type != "cpu" or self.dtype != torch.float32
        self.translator = (translator.to(world.device, self.dtype) if converted else translator).train()
        self.teacher = None
        if settings.teacher:
            self.teacher = Teacher.open(Path(settings.teacher), settings.teacher_to).to(world.device, self.dtype)
            self.teacher.teach(self.translator)
        if settings.freeze:
            freeze(self.translator, settings.freeze)
        if settings.checkpointing == "on":
            checkpoint(self.translator)
        self.graphs = settings.compile == "graphs"
        if settings.compile in OPTIONS:
            compile_networks(self.translator, settings.compile)
        players = with_content(self.translator, content_of(settings))
        if settings.beta2:
            players = {name: replace(p, betas=(p.betas[0], settings.beta2)) for name, p in players.items()}
        self.moves = {name: Move(player, settings.precision, world) for name, player in players.items()}
        self.ema = EMA(self.translator.exports(), settings.ema)
        self.autocast = autocast_for(settings.precision, world.device)
        self.parts = settings.accumulate
        self.remembering = [module for module in self.translator.modules() if isinstance(module, BatchStatGAN)]
        self.halvings = 0  # of the learning rate, each after a loss or weight that was not finite
        self.failures = 0  # to save the state, in a row

    def step(self, batch: Views, number: int, rate: float) -> dict[str, torch.Tensor]:
        """Run step ``number`` (from 0) at ``rate`` times the learning rates; return the loss terms."""
        batch = self.here(batch)
        for D in self.remembering:
            D.begin_step()
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()  # the graphs' results of the step before may be overwritten
        terms = (
            play(self.translator, self.moves, batch, number, rate, self.autocast)
            if self.parts == 1
            else play_in_parts(self.translator, self.moves, batch, self.parts, number, rate, self.autocast)
        )
        self.ema.update(number)
        return terms

    def here(self, batch: Views) -> Views:
        """Return a batch on this process's device, to which a teacher adds y."""
        here = self.moved(batch)
        return here if self.teacher is None else here | {"y": self.teacher(here["x"])}

    def moved(self, batch: Views) -> Views:
        """Return a batch on this process's device, floating-point numbers in its precision."""
        kinds = {name: self.dtype if view.is_floating_point() else view.dtype for name, view in batch.items()}
        return {name: view.to(self.world.device, kinds[name], non_blocking=True) for name, view in batch.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all processes; every process must call this."""
        state = self.translator.state_dict()
        local = {key: state.pop(key) for key in list(state) if key.endswith(LOCAL)}
        return {
            "translator": dict(state),
            "moves": {name: move.state_dict() for name, move in self.moves.items()},
            "ema": self.ema.state_dict(),
            "halvings": self.halvings,
            "local": self.world.gather(local),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state. A process that did not exist when it was saved starts with empty image pools.

        Raises ValueError if its networks are not those that the settings make.
        """
        ours = {key: tensor for key, tensor in self.translator.state_dict().items() if not key.endswith(LOCAL)}
        if differences := differing(ours, state["translator"]):
            raise ValueError(
                f"these settings make other networks than those of the run's state{differences}\n--override cannot "
                "change networks; start a new run from its weights with --from and another --out"
            )
        fresh = {k: v for k, v in self.translator.state_dict().items() if k.endswith(LOCAL)}
        local = state["local"][self.world.rank] if self.world.rank < len(state["local"]) else fresh
        self.translator.load_state_dict(state["translator"] | local)
        for name, move in self.moves.items():
            move.load_state_dict(state["moves"][name])
        self.ema.load_state_dict(state["ema"])
        self.halvings = state.get("halvings", 0)

    def keep(self, run: Run, step: int, status: str, validation: Validation, ends: bool) -> None:
        """Save the state after ``step`` steps, then the weights to export; every process must call this.

        A file that cannot be written, as on a full disk, is a warning, and the run goes on with the states it has.
        Raises OSError at the third failure in a row, and where the run ``ends`` with this step; NonFinite, and writes
        nothing, if a weight is not finite.
        """
        state = {"step": step, "game": self.state_dict(), **validation.state_dict()}
        self.check_finite(step)
        if self.world.rank > 0:
            return
        try:
            run.save_state(step, state)
            save_weights(run, self.ema.networks, step)
            validation.write_best()
            run.write(status=status, step=step)
            self.failures = 0
        except OSError as error:
            self.failures += 1
            if ends or self.failures == MOST_FAILURES:
                hint = "free some space" if error.errno in FULL else "check the disk"
                row = f" ({self.failures} failures in a row)" if self.failures > 1 else ""
                reason = f"{error.strerror}{row}; {hint} and run the same command again to continue"
                raise OSError(error.errno, reason, error.filename) from error
            warnings.warn(
                f"not saved at step {step} ({error}); training goes on, and a restart would continue from step "
                f"{run.saved_step}",
                stacklevel=2,
            )

    def check_finite(self, step: int) -> None:
        """Raise NonFinite if a weight is not finite after ``step`` steps; a loss shows it one step too late."""
        norms = torch._foreach_norm([p.detach() for p in self.translator.parameters()])
        if not torch.isfinite(torch.stack([n.float() for n in norms])).all():
            raise NonFinite(f"weights became NaN or infinite before step {step}")


def content_of(settings: Settings) -> Content:
    """Return the terms that a run adds to its generators. Raises ValueError for features that are not installed."""
    features = None
    if settings.perceptual:
        from i2i.engine.perceptual import Lite0Features  # on demand: few runs need the weights

        features = Lite0Features()
    return Content(settings.identity, settings.geometry, settings.perceptual, features)


def made(run: Run) -> Translator:
    """Make a run's translator. Raises ValueError for hyper-parameters or images that it cannot take."""
    x, y = run.facts["source"]["channels"], run.facts["target"]["channels"]
    try:
        translator = translator_class(run.settings.method)(x, y, **run.hyperparameters)
    except (RuntimeError, TypeError, ArithmeticError) as error:  # such as a layer of -1 filters
        raise ValueError(f"{run.settings.method} cannot be made with {run.hyperparameters}: {error}") from error
    differentiable = DiffAugment(run.settings.diff_augment)
    gan = getattr(translator, "gan", None)
    if isinstance(gan, Adversarial):
        gan.augment.names = differentiable.names
    elif differentiable.names:
        raise ValueError(
            f"diff_augment is {differentiable}, which changes what a discriminator with an objective of i2i.gan sees; "
            f"{run.settings.method} has none: leave --diff-augment out, or choose --augment"
        )
    if empty := [name for name, p in translator.named_parameters() if not p.numel()]:
        raise ValueError(f"{run.settings.method} with {run.hyperparameters} has empty layers: {', '.join(empty[:3])}")
    least = max(getattr(net, "minimum", 1) for net in translator.exports().values())
    if min(run.settings.size) < least:
        raise ValueError(
            f"size is {run.settings.size}, and this generator takes images from {least} x {least}; give a larger --size"
        )
    return translator
