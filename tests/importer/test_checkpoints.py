"""Files: which are read, which are refused and why, and that nothing in any of them is run."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from i2i.importer.checkpoints import read
from i2i.importer.pickles import scan
from i2i.importer.runs import choose
from tests.importer import authors

WEIGHTS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.ones(2, dtype=torch.float16),
    "n": torch.tensor(3),
}


class Wicked:
    """A pickle of it makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new", [True, False])
def test_both_formats_of_pytorch(tmp_path, new):
    torch.save(WEIGHTS, tmp_path / "w.pkl", _use_new_zipfile_serialization=new)
    found = read(tmp_path / "w.pkl")
    assert list(found) == [""]
    assert all(torch.equal(found[""][key], value) for key, value in WEIGHTS.items())


def test_safetensors_by_whatever_name(tmp_path):
    save_file(WEIGHTS, tmp_path / "w.pth")
    assert torch.equal(read(tmp_path / "w.pth")[""]["a.weight"], WEIGHTS["a.weight"])
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged"):
        read(tmp_path / "w.pth")


@pytest.mark.parametrize("length", [0x108, 0x120, 0x820])
def test_the_length_of_a_header_is_no_protocol_buffer_and_no_space(tmp_path, length):
    tensor = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for content in (b"\0\0\x80\x3f", b"<<<<"):
        (tmp_path / "w.pth").write_bytes(length.to_bytes(8, "little") + tensor.ljust(length).encode() + content)
        assert read(tmp_path / "w.pth")[""]["w"].numpy().tobytes() == content


def test_tensors_of_a_gpu_come_to_the_cpu(reference):
    """Those of others: old format, some with CUDA storages."""
    for file in ("cyclegan_emoji32_a/G_XtoY.pkl", "cyclegan_emoji32_b/G_XtoY.pkl", "zero_dce/Epoch99.pth"):
        (tensors,) = read(reference(f"data/checkpoints/{file}")).values()
        assert {tensor.device.type for tensor in tensors.values()} == {"cpu"}


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_that_is_more_than_tensors_is_refused_and_not_run(tmp_path, new):
    trap, file = tmp_path / "trap", tmp_path / "w.pth"
    torch.save({"G": WEIGHTS, "options": Wicked(trap)}, file, _use_new_zipfile_serialization=new)
    with pytest.raises(
        ValueError, match=r"more than tensors: loading it would call \w+\.mkdir\. Nothing of it was run"
    ):
        read(file)
    assert not trap.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_too(tmp_path, protocol):
    trap, file = tmp_path / "trap", tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps([Wicked(trap), Wicked(trap)], protocol))
    with pytest.raises(ValueError, match=r"would call \w+\.mkdir\. Nothing"):
        read(file)
    assert not trap.exists()


def test_a_module_is_code_and_so_are_options(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"would call torch.nn.modules.linear.Linear.*save the tensors alone"):
        read(tmp_path / "net.pth")
    torch.save({"w": torch.ones(1), "opt": argparse.Namespace(lr=1)}, tmp_path / "opt.pth")
    with pytest.raises(ValueError, match=r"would call argparse\.Namespace"):
        read(tmp_path / "opt.pth")


def test_names_by_two_strings_and_from_the_memory_of_newer_pickles(tmp_path):
    file = tmp_path / "p.pkl"
    file.write_bytes(pickle.dumps([argparse.Namespace(), argparse.ArgumentTypeError("no"), pickle.PickleError], 4))
    assert scan(file) == (["argparse.Namespace", "argparse.ArgumentTypeError", "_pickle.PickleError"], 4)
    assert scan(Path(os.devnull)) == ([], -1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_is_code(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1)), tmp_path / "s.pt")
    with pytest.raises(ValueError, match="a TorchScript program, which is code"):
        read(tmp_path / "s.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x08\x08\x12\x07pytorch", "an ONNX file"),
        (b"<script>{}</script>", "a web page"),
        (b"weights", "damaged, or neither"),
        (b"PK\x03\x04 no archive", "damaged, or neither"),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content, reason):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "w.pth")


def test_archives_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("photo.txt", "no weights")
    with tarfile.open(tmp_path / "t.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    for name in ("z.pth", "t.pth"):
        with pytest.raises(ValueError, match="damaged, or neither"):
            read(tmp_path / name)


def test_a_pickle_of_a_newer_protocol(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(WEIGHTS, tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(ValueError, match="a pickle of protocol 4"):
        read(tmp_path / "w.pth")


def refusal(file: Path) -> str:
    """What is said against a file; nothing where it can be read."""
    try:
        read(file)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_is_damaged_anywhere_is_an_error_that_names_it(tmp_path, new):
    """Cut off at many places, and overwritten there: this error or tensors, and never tensors of half a file."""
    file = tmp_path / "w.pth"
    torch.save(WEIGHTS, file, _use_new_zipfile_serialization=new)
    whole = file.read_bytes()
    for at in range(0, len(whole), len(whole) // 60):
        for damaged in (whole[:at], whole[:at] + b"\xff\x00R" + whole[at + 3 :]):
            file.write_bytes(damaged)
            said = refusal(file)
            assert said.startswith(str(file)) or (not said and len(damaged) == len(whole))


def test_tensors_that_are_no_plain_numbers(tmp_path):
    for odd in (torch.ones(1).expand(10**6), torch.eye(3).to_sparse()):
        torch.save({"w": odd}, tmp_path / "w.pth")
        with pytest.raises(ValueError, match=r"no weights: w \(no plain numbers in a row\)"):
            read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (torch.ones(2, dtype=torch.int8), "int8, not floating point"),
        (torch.ones(2, dtype=torch.bool), "bool, not floating point"),
        (torch.tensor(True), "bool, not floating point"),
        (torch.ones(2, dtype=torch.complex64), "complex64, not floating point"),
        (torch.ones(2, device="meta"), "without values, on the meta device"),
    ],
)
def test_tensors_that_are_no_weights(tmp_path, odd, why):
    for content in ({"w": odd}, {"w": odd, "b": torch.ones(1)}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(ValueError, match=rf"w\.pth holds tensors that are no weights: w \({why}\)$"):
            read(tmp_path / "w.pth")
    if not odd.is_meta:
        save_file({"w": odd}, tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match=rf"no weights: w \({why}\)$"):
            read(tmp_path / "w.safetensors")


def test_no_tensors_at_all(tmp_path):
    for content in ({"epoch": 3}, [1, 2], {"optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(ValueError, match="no dict of tensors"):
            read(tmp_path / "w.pth")


G, D = authors.resnet(blocks=1).state_dict(), authors.patchgan().state_dict()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (G, ""),
        ({"state_dict": G, "epoch": 7, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, "state_dict"),
        ({"model": {"generator": G}}, "model.generator"),
        ({"netG": G, "netD": D}, "netG"),
        ({"module.G." + key: value for key, value in G.items()}, "G"),
        ({"state_dict": {f"{n}.{k}": v for n, net in (("G", G), ("D", D)) for k, v in net.items()}}, "state_dict.G"),
        ({"epoch": 3, **G}, ""),
        ({"rng_state": torch.get_rng_state(), "model": G}, "model"),
        ([G, D], "0"),
        ({"nets": (D, {"ema": G}), "losses": [0.5, 0.25]}, "nets.1.ema"),
    ],
)
def test_wrappings(tmp_path, content, part):
    torch.save(content, tmp_path / "w.pth")
    found, tensors = choose(tmp_path / "w.pth")
    assert (found.part, found.guess.network) == (part, "resnet_1")
    assert tensors.keys() == G.keys()


def test_several_generators_must_be_told_apart(tmp_path):
    file = tmp_path / "cyclegan.pth"
    torch.save({"G_A": G, "G_B": authors.resnet(blocks=2).state_dict(), "D_A": D, "D_B": D}, file)
    with pytest.raises(ValueError, match=r"(?s)several generators; say which with --part:\n  G_A: Cycle.*\n  G_B: "):
        choose(file)
    assert choose(file, "G_B")[0].guess.network == "resnet_2"
    with pytest.raises(ValueError, match=r"(?s)no generator called 'D_A'; it holds\n  G_A:.*D_B:"):
        choose(file, "D_A")


@pytest.mark.parametrize(
    ("judge", "title"),
    [
        (authors.patchgan(norm="instance"), "CycleGAN's and pix2pix's patch discriminator"),
        (authors.patchgan(antialias=True), "CUT's antialiased patch discriminator"),
    ],
)
def test_a_judge_makes_no_images(tmp_path, judge, title):
    torch.save(judge.state_dict(), tmp_path / "latest_net_D.pth")
    with pytest.raises(ValueError, match=f"holds {title}: the judge .* Import the file of the generator"):
        choose(tmp_path / "latest_net_D.pth")


@pytest.mark.parametrize("name", ["stargan_d", "patchgan_pixel", "cut_patchgan_antialiased"])
def test_judges_of_the_authors(reference, name):
    with pytest.raises(ValueError, match="the judge"):
        choose(reference(f"oracles/{name}.pth"))


@pytest.mark.parametrize(
    "file", ["fast_neural_style/mosaic_TransformerResNextNetwork.pth", "zero_dce/Epoch99.pth", "sci/easy.pt"]
)
def test_networks_of_other_kinds(reference, file):
    with pytest.raises(ValueError, match=r"(?s)not recognised: .*the first are .*CUT's antialiased ResNet generator"):
        choose(reference(f"data/checkpoints/{file}"))
