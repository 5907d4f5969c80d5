"""``i2i.train``: the settings of a run as keywords."""

from __future__ import annotations

import os
from pathlib import Path

from i2i.engine.loop import train as train_run
from i2i.engine.run_folder import Run
from i2i.spec import Background

PathLike = str | os.PathLike[str]


def train(
    method: str | None = None,
    *,
    out: PathLike | None = None,
    preset: str | None = None,
    like: PathLike | None = None,
    override: bool = False,
    quiet: bool = False,
    dry_run: bool = False,
    a: PathLike | None = None,
    b: PathLike | None = None,
    data: PathLike | None = None,
    attributes: PathLike | None = None,
    captions: PathLike | None = None,
    mask: PathLike | None = None,
    select: str | None = None,
    from_: PathLike | None = None,
    derive: str | None = None,
    teacher: PathLike | None = None,
    teacher_to: str | None = None,
    freeze: str | None = None,
    direction: str | None = None,
    channels: str | int | None = None,
    background: Background | None = None,
    range: str | None = None,
    max_bad: int | None = None,
    size: int | str | tuple[int, int] | None = None,
    augment: str | None = None,
    diff_augment: str | None = None,
    batch: int | str | None = None,
    accumulate: int | None = None,
    checkpointing: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    precision: str | None = None,
    compile: str | None = None,
    ema: float | None = None,
    schedule: str | None = None,
    beta2: float | None = None,
    seed: int | None = None,
    workers: int | None = None,
    cache: str | None = None,
    identity: float | None = None,
    geometry: float | None = None,
    perceptual: float | None = None,
    log_every: int | None = None,
    sample_every: int | None = None,
    sheet_channels: str | None = None,
    save_every: int | None = None,
    watch: str | None = None,
    eval_every: int | None = None,
    metric: str | None = None,
    eval_features: str | None = None,
    val_share: float | None = None,
    patience: int | None = None,
    **hyperparameters: bool | float | str,
) -> Path:
    """Train a translator on folders of images and return the run's folder. A repeated call continues the run.

    A setting that is not given (None) keeps its value in a run that continues. In a new run it is the preset's, else
    that of the run ``like``, else the default below. In a run that continues, the paths of the images, ``max_bad``,
    ``checkpointing``, ``epochs``, ``steps``, ``workers``, ``cache``, ``log_every``, ``sample_every``,
    ``sheet_channels``, ``save_every``, ``watch``, ``eval_every`` and ``patience`` may change, and with ``override``
    others that leave its networks as they are.

    Args:
        method: "pix2pix", "pix2pixhd", "cyclegan", "dclgan", "unit", "munit", "cut", "fastcut", "monce", "hneg",
            "enco", "direct", "dtn", "stargan", "distill"; the generators "gan", "dcgan", "began", "infogan", "vaegan",
            "bigan", "stackgan" and "energy"; or
            ``package.module:Class``, a :class:`~i2i.translators.Translator`; None continues the run in ``out``.
        out: the run's folder; default ``runs/METHOD-A2B``.
        preset: named settings and hyper-parameters: "paper", as the authors trained; "fast", smaller networks and half
            the length; "cpu", 128 pixels, smaller networks and 10000 steps: hours without a GPU; "good", the norm, the
            upsampling and, for contrastive methods, the residual generator that came nearest to a target without
            pairs; or "uvcgan2", that paper's discriminator and optimisers for an unpaired method.
        like: folder of a run whose method, settings and hyper-parameters a new run repeats on other images; whether to
            compile is found again.
        override: continue a run with settings other than those it was started with, which is refused otherwise;
            without ``steps`` the images of a step stay.
        quiet: print nothing on the terminal.
        dry_run: check data and settings, measure two steps, print what the run would do and need, and write nothing.
        a: folder of the first domain's images, with ``b`` instead of ``data``.
        b: folder of the second domain's images.
        data: folder of all domains: aligned A|B files, ``trainA`` and ``trainB``, or a folder per domain.
        attributes: table of attributes, as CelebA's or CSV.
        captions: table of captions, as CSV; default captions.csv in ``data``, else a text file beside each image.
        mask: folder of masks with the names of the source's images, or with folders a and b for both domains: white
            where a translation may change them; what is black stays, for the discriminators too; default none.
        select: domains or attributes to use, names separated by commas; default all.
        from_: weights that a new run starts from: a trained or imported run, a ``.safetensors`` file in one, or a
            third-party checkpoint; the generator must be the network of the method with these hyper-parameters.
            Networks that it does not have begin new. Default random weights.
        derive: for a method that learns from pairs: makes the source of each image of ``b`` (or ``data``), as "grey",
            "edges" (line art), "jpeg:20" (quality), "noise:10" (deviation, of 255), "blur:2" (deviation in pixels),
            "downscale:4", or "mask:strokes" (also rectangle, centre: holes as alpha); a value may be a range,
            "jpeg:10..60", and steps follow each other, "jpeg:10..60+noise:0..15". Default none.
        teacher: for a method that learns from pairs: a finished translator, a run or an ONNX file, whose results for
            the images of ``data`` or ``a`` are learned; see "distill". Default none.
        teacher_to: the teacher's direction or target domain; default its first.
        freeze: networks, or parts of them, whose weights do not move: their names in the translator, such as "G" or
            "G.first", separated by commas; default none.
        direction: "a2b" or "b2a", for pairs and methods that translate one way; default "a2b".
        channels: per image: 1 (grey), 3 (RGB), 4 (RGB with alpha), or "auto", as the files have; default "auto".
        background: what the network sees under transparent pixels: "edge", the image's visible colours continued, or
            0 to 255, a grey level; default "edge".
        range: values that are lowest and highest to the network, "LOW..HIGH" for all images or
            "a=LOW..HIGH b=LOW..HIGH", with commas between the ranges of several channels, or "found", what the images
            have; values beyond are clipped. Default 0 to 255 or 65535, and "found" for bands (float32, int16, two
            channels or more than three).
        max_bad: number of unreadable files to skip before the data is refused, from 0; default 0.
        size: of a training crop in pixels, from 1: 256, (height, width) or "HEIGHTxWIDTH"; default 256.
        augment: random changes of the training images, of pairs alike: "crop", "flip", "colour:0.2",
            "source-colour:0.2", "rotate:10", "scale:0.8..1.2" and "cutout:0.25", separated by commas, or "none";
            default "crop,flip", for generators "none".
        diff_augment: random changes of all images that the discriminator sees, real and generated: "colour",
            "translation" and "cutout", separated by commas, or "none"; default "none".
        batch: images per step over all processes, from 1, or "auto", as many as fit into the GPU's memory and leave
            eight steps to an epoch, on a CPU the default; default 1, for StarGAN 16, for generators from noise the
            authors', 16 to 128.
        accumulate: parts of a step of ``batch`` images each, whose gradients are added up, from 1; default 1. Losses
            and weights are those of a batch so many times as large, where neither a norm nor a loss compares images.
        checkpointing: "on" keeps only the networks' inputs and results for the backward pass and computes the rest
            again: less memory, about a third more time, the same result; default "off".
        epochs: length in passes over the data, from 1; the learning rate falls in the second half; default 200.
        steps: length in optimiser steps instead of ``epochs``, from 1; default 0, by ``epochs``.
        precision: of the arithmetic: "fp32", "bf16", "fp16", "fp64", or "auto", bf16 on a GPU or processor that has
            it, else fp32; default "auto".
        compile: "on" compiles the networks, "graphs" also records them as CUDA graphs, "off" leaves them as they are;
            "auto" compiles on a GPU, where a trial of a few steps gives the same losses in less time. What fails falls
            back, with a line that says why. Default "auto".
        ema: decay per step of the exponential moving average of the weights, which is exported, from 0 (none) to below
            1; default 0.999.
        schedule: of the learning rate: "linear" falls to 0 in the second half, "constant" does not; default "linear".
        beta2: decay of Adam's second moment, from 0 (that of the method) to below 1; default 0.
        seed: of all random numbers, from -2^63 to 2^64 - 1; default 0.
        workers: threads that read images, from 0 (the training thread itself); default one per core, at most 8.
        cache: disk space for images resized to what the crops need, such as "500MB", in the user's cache folder, or
            "off"; default "4GB". Pixels are the same in any case.
        identity: weight of ``|G(y) - y|``, for an unpaired method: images of the target domain stay; default 0.
        geometry: weight of geometric consistency, for an unpaired method: G of a turned image is the turned G(x);
            default 0.
        perceptual: weight of the distance of x and G(x) in the features lite0, for an unpaired method; default 0.
        log_every: steps between two lines of the log, from 1; default 50.
        sample_every: steps between two sample sheets, from 0 (none); default 500.
        sheet_channels: channels to show in sample sheets, numbered from 1: one, as grey, or three, such as "4,3,2";
            default the first three, of two the first.
        save_every: steps between two checkpoints, from 1; default 1000.
        watch: "on" warns of a run that fails in a known way, and after a loss or weight that is not finite goes back to
            the last state with half the learning rate, at most three times; "off" stops there. Default "on".
        eval_every: steps between two evaluations on the validation split, from 0 (none); default 0. The weights of
            the best one are kept beside the newest, and exported.
        metric: that chooses the best weights, a name in ``i2i.metrics.METRICS``; default KID, for pairs the perceptual
            distance, or L1 where no features are installed.
        eval_features: features of the metric: "lite0", "onnx:FILE" or "inception:FILE"; default lite0.
        val_share: of the images that is held out, by a hash of their names, where the data has no split "val", from
            above 0 to below 1; default 0.1. Only with ``eval_every``.
        patience: number of evaluations without improvement that stop the run, from 0 (no limit); default 0.
        **hyperparameters: keywords of the method's constructor, such as ``generator="resnet_6"`` or ``lambda_cyc=5``.
            They are open because every method, and every translator of your own, has different ones; the error for an
            unknown name lists those of the method.

    Returns the run's folder.

    Raises ValueError for wrong settings, unknown names or wrong data, and for a step that does not fit into memory;
    NonFinite for a loss that is not finite, Interrupted after a signal, and OSError if a state cannot be written three
    times in a row. In every case the last good state remains.
    """
    settings = {
        "a": a, "b": b, "data": data, "attributes": attributes, "captions": captions, "mask": mask, "select": select,
        "from_": from_, "derive": derive, "teacher": teacher, "teacher_to": teacher_to, "direction": direction,
        "channels": channels,
        "background": background, "range": range, "max_bad": max_bad, "freeze": freeze, "size": size,
        "augment": augment, "diff_augment": diff_augment, "batch": batch, "accumulate": accumulate,
        "checkpointing": checkpointing, "epochs": epochs, "steps": steps, "precision": precision, "compile": compile,
        "ema": ema, "schedule": schedule, "beta2": beta2, "seed": seed, "workers": workers, "cache": cache,
        "identity": identity, "geometry": geometry, "perceptual": perceptual, "log_every": log_every,
        "sample_every": sample_every, "sheet_channels": sheet_channels, "save_every": save_every, "watch": watch,
        "eval_every": eval_every, "metric": metric, "eval_features": eval_features, "val_share": val_share,
        "patience": patience,
    }  # fmt: skip
    run = Run.open(method, out, {"preset": preset} | settings | hyperparameters, like=like, override=override)
    return train_run(run, quiet, dry_run)
