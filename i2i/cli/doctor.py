"""``i2i doctor``: show what is installed and what works, and how to repair the rest."""

from __future__ import annotations

import click

from i2i.cli import help, providers
from i2i.runtime.providers.table import AUTO, PROVIDERS
from i2i.text import plural

PACKAGES = ("numpy", "Pillow", "torch", "onnx", "av", "openvino")  # besides those with conflicting variants
NEEDED = {"torch": "needed to train and export", "onnx": "needed to tile, train and export"}


EXAMPLES = [("i2i doctor", "check everything"), ("i2i doctor --provider cuda", "fail unless CUDA works")]


@help.command(examples=EXAMPLES)
@providers.option
def command(provider: str) -> None:
    """Show what is installed and what works, and how to repair the rest.

    Each provider runs a small model. One that cannot run shows the reason, which is an error only for the provider of
    --provider.

    Exit status: 0 all is well, 1 something is wrong (the output says how to repair it), 4 provider not available.
    """
    from i2i.runtime.system import host, packages

    for line in versions():
        click.echo(line)
    free = host.available_memory()
    click.echo(f"processor        {plural(host.cores(), 'core')}, {_gib(free)} of memory free")
    cards = host.cuda_devices()
    click.echo(f"GPU              {', '.join(cards) or 'none found by the NVIDIA driver'}")
    problems = packages.rivals() + packages.shells()
    status = 1 if problems else 0
    try:
        for asked in dict.fromkeys((provider, "cpu")):
            status = max(status, run_selftest(asked, cards, problems))
        for other in PROVIDERS:
            if other not in (AUTO, "cpu", provider):
                click.echo(f"{other:<16} {availability(other)}")
    except (ImportError, AttributeError) as error:  # an empty package, or one for another system
        problems.append(f"the self-test could not start: {error}")
        status = 1
    for problem in problems:
        click.echo(f"problem          {problem}")
    raise SystemExit(status)


def versions() -> list[str]:
    """Return a line for Python and each relevant package, without importing them."""
    import platform
    from importlib import metadata

    from i2i import __version__
    from i2i.runtime.system import packages

    found = {"i2i": __version__, "Python": f"{platform.python_version()} on {platform.platform(terse=True)}"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed" + (f" ({NEEDED[name]})" if name in NEEDED else "")
    for module in packages.RIVALS:
        present = packages.installed(module)
        found[module] = ", ".join(f"{name} {version}" for name, version in present.items()) or "not installed"
    return [f"{name:<16} {version}" for name, version in found.items()]


def run_selftest(asked: str, cards: list[str], problems: list[str]) -> int:
    """Run the self-test on a provider, print its result and return the exit status."""
    from i2i.runtime import ModelError, ProviderError, selftest
    from i2i.runtime.providers.onnxruntime_session import missing_library, onnxruntime

    try:
        built = [name.removesuffix("ExecutionProvider") for name in onnxruntime().get_available_providers()]
        used, seconds = selftest.run(asked)
    except ProviderError as error:
        problems.append(without_reference(error))
        return error.exit_status
    except ModelError as error:
        click.echo(f"self-test        asked for {asked}: FAILED: {error}")
        return 1
    click.echo(f"self-test        asked for {asked}, ran on {used}: passed in {seconds:.2f} s")
    if asked == AUTO and cards and used == "cpu":
        missing = missing_library("cuda")
        problems.append(
            "there is a GPU, and ONNX Runtime runs on the CPU: it offers "
            f"{', '.join(built)}, and CUDA did not load{f' ({missing})' if missing else ''}. Repair: "
            f"{PROVIDERS['cuda'].install}"
        )
        return 1
    return 0


def without_reference(error: Exception) -> str:
    """Return the text of an error without its reference to this command."""
    return str(error).removesuffix("; `i2i doctor` says more")


def availability(provider: str) -> str:
    """Return a line that says that a provider works, or why it does not."""
    from i2i.runtime import ModelError, ProviderError, selftest

    try:
        used, seconds = selftest.run(provider)
    except (ModelError, ProviderError) as error:
        return f"does not run: {without_reference(error)}"
    return f"runs: the self-test passed on {used} in {seconds:.2f} s"


def _gib(size: int | None) -> str:
    return "an unknown amount" if size is None else f"{size / 2**30:.1f} GiB"
