"""Measure how different the results of one image are, and what they keep of it, of models with and without styles.

    python tools/reproduce/styles.py IMAGES MODEL ... [--styles 8] [--features lite0] [-o styles.json]

For each image and model, results in the styles of the seeds 0, 1, ... are compared with each other: the diversity is
the mean perceptual distance over all pairs of them (0 for a model of one result), as Huang et al. 2018
(arXiv:1804.04732, section 5.2) measure it with LPIPS. Content kept is the mean of the metrics structure and edges over
all results. Each figure has its standard deviation over the images. Real images of the target domain (--real DIR) show
the scale: the mean distance of two of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from i2i.atomic import atomically
from i2i.data.layout import Source
from i2i.evaluation.networks import Extractor, open_features
from i2i.evaluation.pictures import Picture, read
from i2i.images import list_images
from i2i.metrics.maps import perceptual, self_similarity
from i2i.metrics.pairs import edge_agreement
from i2i.runtime import Model
from i2i.runtime.model import catalog


def pictures(folder: Path) -> list[Picture]:
    return [read(Source(path, path.relative_to(folder).as_posix()))[0] for path in list_images(folder)]


def measured(model: Model, sources: Sequence[Picture], features: Extractor, styles: int) -> dict[str, Any]:
    """Return the figures of one model, each [mean, standard deviation] over the images."""
    bound = [model] if model.spec.style is None else [model.styled(seed=seed) for seed in range(styles)]
    rows: dict[str, list[float]] = {"diversity": [], "structure": [], "edges": []}
    for source in sources:
        results = [Picture(each.translate([source.image])[0], source.name) for each in bound]
        maps, own = [features(result)[1] for result in results], features(source)[1]
        pairs = [perceptual(a, b) for a, b in combinations(maps, 2)]
        rows["diversity"].append(float(np.mean(pairs)) if pairs else 0.0)
        rows["structure"].append(float(np.mean([self_similarity(each, own) for each in maps])))
        rows["edges"].append(float(np.mean([edge_agreement(result.rgb, source.rgb) for result in results])))
    figures = {name: [float(np.mean(values)), float(np.std(values))] for name, values in rows.items()}
    return {"styles": len(bound), "step": model.spec.recipe.get("step"), **figures}


def distance(real: Sequence[Picture], features: Extractor) -> float:
    """Return the mean perceptual distance of images that follow each other in the folder."""
    maps = [features(picture)[1] for picture in real]
    return float(np.mean([perceptual(a, b) for a, b in pairwise(maps)]))


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder of images of the source domain")
    parser.add_argument("models", nargs="+", help="an .onnx file, a run, or a name that `i2i models` lists")
    parser.add_argument("--styles", type=int, default=8, help="results of an image, at least 2; default 8")
    parser.add_argument("--features", default="lite0", help="lite0, onnx:FILE or inception:FILE; default lite0")
    parser.add_argument("--real", type=Path, help="folder of images of the target domain")
    parser.add_argument("-o", "--out", type=Path, help="JSON file to write")
    given = parser.parse_args(arguments)
    if given.styles < 2:
        parser.error("--styles: at least 2, since results are compared with each other")
    features, sources = open_features(given.features), pictures(given.images)
    found: dict[str, Any] = {"images": len(sources), "features": features.described}
    if given.real is not None:
        found["real"] = distance(pictures(given.real), features)
        print(f"real images of the target: {found['real']:.3f} apart")
    print(f"| model | styles | diversity ({features.name}) | structure, lower | edges, higher |\n|---|---|---|---|---|")
    for name in given.models:
        figures = measured(Model(catalog.resolve(name).path), sources, features, given.styles)
        cells = " | ".join("{:.3f} ± {:.3f}".format(*figures[key]) for key in ("diversity", "structure", "edges"))
        print(f"| {name} | {figures['styles']} | {cells} |", flush=True)
        found[name] = figures
    if given.out is not None:
        atomically(given.out, lambda temporary: temporary.write_text(json.dumps(found, indent=1)))
    return found


if __name__ == "__main__":
    main()
