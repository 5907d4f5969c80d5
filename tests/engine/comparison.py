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
    names = [sorted(file.name for file in (r / "weights").iterdir()) for r in (run, other)]
    assert names[0] == names[1]
    for file in (run / "weights").iterdir():
        mine, theirs = load_file(file), load_file(other / "weights" / file.name)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine | theirs)
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
