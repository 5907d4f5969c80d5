"""Exact comparison of two runs."""

import json

import torch
from safetensors.torch import load_file


def same(run, other):
    """True if two runs have the same last state (weights, optimisers, EMA, pools) and the same exported weights."""
    a, b = (max((r / "state").iterdir()) for r in (run, other))
    assert a.name == b.name
    a, b = (torch.load(path, weights_only=True) for path in (a, b))
    leaves = list(differences(a, b))
    assert not leaves, leaves[:5]
    assert [json.loads((r / "run.json").read_text())["status"] for r in (run, other)] == ["finished", "finished"]
    names = [sorted(str(file.relative_to(r)) for file in (r / "weights").rglob("*.*")) for r in (run, other)]
    assert names[0] == names[1]
    for name in names[0]:
        mine, theirs = load_file(run / name), load_file(other / name)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine | theirs)
    chosen = [json.loads((r / "run.json").read_text()).get("validation") for r in (run, other)]
    assert chosen[0] == chosen[1]
    return True


def differences(a, b, path=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            yield from differences(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, pair in enumerate(zip(a, b, strict=True)):
            yield from differences(*pair, f"{path}/{i}")
    elif isinstance(a, torch.Tensor):
        if not torch.equal(a, b):
            yield path
    elif a != b:
        yield path
