"""Third-party networks are recognised by names and shapes, and compute the same as in their own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from i2i.importer.checkpoints import read
from i2i.importer.recognition import recognise
from tests.importer import authors
from tests.oracle import HERE, NETWORKS, group

pytestmark = pytest.mark.usefixtures("one_thread")

ORACLES = [
    "cyclegan_resnet9_in", "cyclegan_resnet6_bn_dropout", "pix2pix_unet256_bn", "pix2pix_unet128_in", "patchgan70_in",
    "patchgan70_bn_paired", "patchgan_pixel", "cut_resnet9_antialiased", "cut_patchgan_antialiased", "stargan_g",
    "stargan_d", "pix2pixhd_global",
]  # fmt: skip


@pytest.mark.parametrize("name", ORACLES)
def test_every_reference_by_itself(reference, name):
    """The files of the authors' code are recognised by their contents only."""
    net, _ = authors.network(read(reference(f"oracles/{name}.pth")).parts[""])
    oracle = np.load(reference(f"oracles/{name}.npz"))
    inputs = [torch.from_numpy(oracle[key]).float() for key in ("x", "target") if key in oracle]
    with torch.no_grad():
        results = net(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    for result, key in zip(results, ("y", "y1"), strict=False):
        assert np.abs(result.numpy() - oracle[key]).max() < 1e-5
    assert ("y1" in oracle) == (len(results) == 2)


@pytest.mark.parametrize(("file", "name", "options"), NETWORKS)
def test_carried_weights(file, name, options):
    oracle = np.load(HERE / f"{file}.npz")
    net, found = authors.network({key: torch.from_numpy(value) for key, value in group(oracle, "weights").items()})
    with torch.no_grad():
        y = net(torch.from_numpy(oracle["x"])).numpy()
    assert np.abs(y.ravel()[oracle["at"]] - oracle["y"]).max() < 1e-5
    assert found.guess.network == name
    assert found.guess.options["norm"] == options["norm"]
    assert found.family.discriminator == name.startswith(("patch", "pixel"))


CASES = {
    "resnet_1": (authors.resnet, {"blocks": 1}, "instance", {"ngf": 4, "norm": "instance", "dropout": False}),
    "resnet_3": (authors.resnet, {"channels": (1, 2), "blocks": 3, "ngf": 3, "dropout": True}, "batch",
                 {"ngf": 3, "norm": "batch", "dropout": True}),
    "resnet_2": (authors.resnet, {}, "none", {"ngf": 4, "norm": "none", "dropout": False}),
    "resnet_4": (authors.resnet, {"blocks": 4, "antialias": True}, "batch",
                 {"ngf": 4, "norm": "batch", "dropout": False, "antialias": True, "upsample": "blur"}),
    "unet_32": (authors.unet, {"channels": (2, 1)}, "batch", {"ngf": 4, "norm": "batch"}),
    "unet_64": (authors.unet, {"depth": 6, "ngf": 2}, "instance", {"ngf": 2, "norm": "instance"}),
    "unet_128": (authors.unet, {"depth": 7}, "none", {"ngf": 4, "norm": "none"}),
    "global_1": (authors.resnet, {"blocks": 1, "downs": 4, "ngf": 2}, "instance", {"ngf": 2, "downs": 4}),
    "global_2": (authors.resnet, {"downs": 1}, "instance", {"ngf": 4, "downs": 1}),
    "patch_2": (authors.patchgan, {"channels": 6}, "batch", {"ndf": 4, "norm": "batch"}),
    "patch_4": (authors.patchgan, {"layers": 4, "ndf": 2}, "instance", {"ndf": 2, "norm": "instance"}),
    "patch_1": (authors.patchgan, {"layers": 1, "antialias": True}, "batch",
                {"ndf": 4, "norm": "batch", "antialias": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_layout(name):
    make, given, norm, options = CASES[name]
    theirs = authors.trained(make(**given, norm=norm))
    net, found = authors.network(theirs.state_dict())
    assert (found.guess.network, found.guess.options) == (name, options)
    x = torch.randn(1, found.guess.in_channels, 128, 128, generator=torch.Generator().manual_seed(1))
    for module in theirs.modules():
        module.training = not isinstance(module, torch.nn.Dropout)  # at batch 1, as the authors test
    with torch.no_grad():
        want = theirs(x)
        assert torch.allclose(net(x), want, atol=1e-5)
    assert want.std() > 0.05


def test_stargan_counts_its_domains():
    theirs = authors.trained(authors.stargan(domains=3, channels=1)).train()
    net, found = authors.network(theirs.state_dict())
    assert (found.guess.network, found.guess.in_channels) == ("stargan_2", 1)
    assert found.guess.options == {"domains": 3, "ngf": 4}
    x, c = torch.randn(2, 1, 32, 48), torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    planes = c[:, :, None, None].expand(-1, -1, 32, 48)
    with torch.no_grad():
        assert torch.allclose(net(x, c), theirs(torch.cat([x, planes], 1)), atol=1e-5)


def test_csc321_keeps_to_its_averages():
    """Its authors use batches of 16: averages are close to that, and one image's statistics are not."""
    theirs = authors.trained(authors.CSC321()).eval()
    weights = theirs.state_dict()
    net, found = authors.network(weights)
    assert (found.guess.network, found.guess.options) == ("csc321", {"ngf": 4})
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), theirs(x), atol=1e-5)
    older = {key: value for key, value in weights.items() if "num_batches" not in key}
    assert torch.equal(authors.network(older)[0](x), net(x))


@pytest.mark.parametrize("file", ["cyclegan_emoji32_a/D_X.pkl", "cyclegan_emoji32_a/G_YtoX.pkl"])
def test_third_party_networks(reference, file):
    _, found = authors.network(read(reference(f"data/checkpoints/{file}")).parts[""])
    assert found.guess.network == "csc321"
    assert found.family.discriminator == ("D_X" in file)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_keys_are_removed(prefix):
    weights = authors.resnet().state_dict()
    _, found = authors.network({prefix + key: value for key, value in weights.items()})
    assert found.guess.network == "resnet_2"


def test_statistics_that_older_instance_norms_kept_are_dropped():
    theirs = authors.trained(authors.resnet(norm="legacy")).train()
    net, found = authors.network(theirs.state_dict())
    assert any("running_mean" in key for key in theirs.state_dict())
    assert found.guess.options["norm"] == "instance"
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), theirs(x), atol=1e-5)


def test_half_precision_becomes_single():
    weights = {key: value.half() for key, value in authors.resnet().state_dict().items()}
    net, _ = authors.network(weights)
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}


def test_the_closest_is_named_with_what_differs():
    weights = authors.resnet(blocks=3).state_dict()
    weights["model.4.weight"] = torch.zeros(8, 4, 5, 5)
    del weights["model.13.bias"]
    weights["model.40.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="not recognised") as error:
        authors.network(weights)
    said = str(error.value)
    assert "Closest is CycleGAN's and pix2pix's ResNet generator (resnet_3: ngf 4" in said
    assert "model.4.weight is (8, 4, 5, 5), expected (8, 4, 3, 3)" in said
    assert "model.13.bias (8,) is missing" in said
    assert "model.40.weight (1,) is unexpected" in said
    assert "StarGAN's generator" in said  # among what is recognised


def test_unrelated_tensors_are_not_recognised():
    with pytest.raises(ValueError, match=r"no tensor matches any of these \(the first are enhance.0 \(3, 3\)\)"):
        authors.network({"enhance.0": torch.zeros(3, 3)})


def test_a_network_two_names_deep_is_found_and_a_discriminator_hides_none():
    weights, judge = authors.resnet().state_dict(), authors.patchgan().state_dict()
    within = {f"netG_A.{key}": tensor for key, tensor in weights.items()}
    lightning = {f"model.{key}": tensor for key, tensor in within.items()}
    ((found, _),) = recognise({"state_dict": lightning})
    assert found.part == "state_dict.model.netG_A"
    ((found, _),) = recognise({"G": within, "D_A": judge})
    assert (found.part, found.family.discriminator) == ("G.netG_A", False)
    ((found, _),) = recognise({"D_A": judge})
    assert found.family.discriminator


def test_a_file_of_many_strange_layers_is_refused_in_words():
    many = {f"main.{n}.weight": torch.zeros(4, 4, 3, 3) for n in range(50)}
    with pytest.raises(ValueError, match="not recognised"):
        recognise({"": many})


@pytest.mark.parametrize(
    ("key", "name"), [("model1_1.1.weight", "local enhancer"), ("enc_style.model.0.conv.weight", "MUNIT")]
)
def test_unsupported_relatives_are_named(key, name):
    with pytest.raises(ValueError, match=f"looks like .*{name}"):
        authors.network({key: torch.zeros(3)})
    with pytest.raises(ValueError, match=r"looks like StarGAN v2"):
        recognise(
            {"generator": {"from_rgb.bias": torch.zeros(3)}, "mapping_network": {"shared.0.bias": torch.zeros(3)}}
        )


def test_a_filter_with_other_values_is_no_filter_of_cut():
    weights = authors.resnet(antialias=True).state_dict()
    weights["model.7.filt"] = torch.full_like(weights["model.7.filt"], 1 / 9)
    with pytest.raises(ValueError, match=r"filter model\.7\.filt differs from the authors"):
        authors.network(weights)


def test_values_that_are_not_finite():
    weights = authors.resnet().state_dict()
    weights["model.1.bias"][0] = torch.nan
    with pytest.raises(ValueError, match=r"1 of its tensors hold values that are not finite \(model.1.bias\)"):
        authors.network(weights)
