"""Checkpoint files: which are read, which are refused and why, and that no code in them is run."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import io
import os
import pickle
import tarfile
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from i2i.importer.checkpoints import read
from i2i.importer.runs import choose
from i2i.importer.unpickling import ALLOWED
from tests.importer import authors

WEIGHTS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.ones(2, dtype=torch.float16),
    "n": torch.tensor(3),
}

G, D = authors.resnet(blocks=1).state_dict(), authors.patchgan().state_dict()


class Wicked:
    """A pickle of it makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new", [True, False])
def test_both_formats_of_pytorch(tmp_path, new):
    torch.save(WEIGHTS, tmp_path / "w.pkl", _use_new_zipfile_serialization=new)
    found = read(tmp_path / "w.pkl").parts
    assert list(found) == [""]
    assert all(torch.equal(found[""][key], value) for key, value in WEIGHTS.items())


def test_safetensors_are_recognised_under_any_name(tmp_path):
    save_file(WEIGHTS, tmp_path / "w.pth")
    assert torch.equal(read(tmp_path / "w.pth").parts[""]["a.weight"], WEIGHTS["a.weight"])
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged"):
        read(tmp_path / "w.pth")


@pytest.mark.parametrize("length", [0x108, 0x120, 0x820])
def test_a_safetensors_header_is_not_taken_for_another_format(tmp_path, length):
    tensor = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for content in (b"\0\0\x80\x3f", b"<<<<"):
        (tmp_path / "w.pth").write_bytes(length.to_bytes(8, "little") + tensor.ljust(length).encode() + content)
        assert read(tmp_path / "w.pth").parts[""]["w"].numpy().tobytes() == content


def test_tensors_of_a_gpu_come_to_the_cpu(reference):
    """Third-party files in the old format, some with CUDA storages."""
    for file in ("cyclegan_emoji32_a/G_XtoY.pkl", "cyclegan_emoji32_b/G_XtoY.pkl", "zero_dce/Epoch99.pth"):
        (tensors,) = read(reference(f"data/checkpoints/{file}")).parts.values()
        assert {tensor.device.type for tensor in tensors.values()} == {"cpu"}


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_no_code_in_a_checkpoint_is_run(tmp_path, new, protocol):
    trap, file = tmp_path / "trap", tmp_path / "w.pth"
    content = {"G": WEIGHTS, "options": Wicked(trap), "more": [Wicked(trap)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, file, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    parts, ignored = read(file)
    assert not trap.exists()
    assert [name.rpartition(".")[2] for name in ignored] == ["mkdir"]
    assert list(parts) == ["G"]
    assert all(torch.equal(parts["G"][key], value) for key, value in WEIGHTS.items())


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_is_no_checkpoint_and_not_run(tmp_path, protocol):
    trap, file = tmp_path / "trap", tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps([Wicked(trap), Wicked(trap)], protocol))
    with pytest.raises(ValueError, match=r"neither a PyTorch checkpoint nor .*not loaded: \w+\.mkdir"):
        read(file)
    assert not trap.exists()


GADGETS = {
    "a function by name": b"cos\nsystem\n(Vtouch TRAP\ntR.",
    "an instance of old": b"(Vtouch TRAP\nios\nsystem\n.",
    "an object of old": b"(cos\nsystem\nVtouch TRAP\no.",
    "a new object": b"cos\nsystem\n(Vtouch TRAP\nt\x81.",
    "a dotted name": b"\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c\x0atouch TRAP\x85R.",
    "a path from an allowed module": b"ctorch.serialization\nos.system\n(Vtouch TRAP\ntR.",
    "torch.load itself": b"ctorch.serialization\nload\n(Vevil.pth\ntR.",
    "an attribute of an allowed function": b"ctorch._utils\n_rebuild_tensor\n(Vx\ntR(V__code__\nV1\ndb.",
    "the code of an allowed function": b"ccollections\nOrderedDict\n(N(V_function\ncos\nsystem\ndtb.",
    "the class of an allowed function": b"ccollections\nOrderedDict\n(V__class__\ncos\nsystem\ndb.",
    "an extension": b"\x82\x01.",
}


@pytest.mark.parametrize("name", GADGETS)
def test_pickle_exploits_run_nothing(tmp_path, name):
    trap, file = tmp_path / "trap", tmp_path / "w.pth"
    torch.save(WEIGHTS, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(file, "w") as bad:
        for member in good.namelist():
            data = (
                GADGETS[name].replace(b"TRAP", str(trap).encode()) if member.endswith("data.pkl") else good.read(member)
            )
            bad.writestr(member, data)
    before = {key: function._function for key, function in ALLOWED.items()}
    with pytest.raises(ValueError, match=r"damaged, or neither|contains no dict of tensors"):
        read(file)
    assert not trap.exists()
    assert {key: function._function for key, function in ALLOWED.items()} == before


class Hyper(enum.Enum):
    ADAM = "adam"


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    "extra",
    [
        argparse.Namespace(lr=1, layers=[2, 3]),
        np.float64(1),
        np.arange(3.0),
        Path("runs/best"),
        {Path("a"): 1, Hyper.ADAM: Hyper.ADAM},
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2]),
        types.SimpleNamespace(a=1),
        datetime.datetime(2020, 1, 1),
        {1, 2, frozenset({3})},
        torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1)], lr=1), 3),
        functools.partial(max, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_objects_beside_the_weights_are_left_out_and_named(tmp_path, extra, new):
    torch.save({"state_dict": G, "hyper_parameters": extra}, tmp_path / "w.ckpt", _use_new_zipfile_serialization=new)
    found, tensors, ignored = choose(tmp_path / "w.ckpt")
    assert found.part == "state_dict"
    assert all(torch.equal(tensors[key], value) for key, value in G.items())
    assert ignored or isinstance(extra, set)


def test_parameters_and_subclasses_are_tensors(tmp_path):
    odd = torch.nn.Parameter(torch.ones(2))
    odd.note = "an attribute"
    torch.save(
        {"a": torch.nn.Parameter(torch.ones(1)), "b": odd, "c": torch.nn.Buffer(torch.ones(3))}, tmp_path / "w.pth"
    )
    (tensors,) = read(tmp_path / "w.pth").parts.values()
    assert {key: (type(tensor), tensor.tolist()) for key, tensor in tensors.items()} == {
        key: (torch.Tensor, [1.0] * n) for n, key in enumerate("abc", 1)
    }


@pytest.mark.parametrize(
    ("wrap", "new"),
    [
        (lambda net: net, True),
        (lambda net: net, False),
        (torch.nn.DataParallel, True),
        (lambda net: {"epoch": 3, "netG": net}, True),
    ],
)
def test_a_whole_module_is_its_tensors(tmp_path, new, wrap):
    net = authors.resnet(blocks=1, norm="batch")
    net.register_buffer("kept_out", torch.ones(3), persistent=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(wrap(net), tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    _, tensors, ignored = choose(tmp_path / "net.pth")
    expected = net.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], value) for key, value in expected.items())
    assert "torch.nn.modules.conv.Conv2d" in ignored


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compile", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(1, 3, 16, 16))])
def test_a_torchscript_archive_is_its_tensors(tmp_path, compile, monkeypatch):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(4))).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(compile(net), tmp_path / "s.pt")
    monkeypatch.setattr(torch.jit, "load", None)  # it would run the code of the file
    (tensors,) = read(tmp_path / "s.pt").parts.values()
    expected = net.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", ["serialized_exported_program.json", "models/serialized_exported_program.json"])
def test_an_exported_program_is_code(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "w.pt2", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(ValueError, match="an exported PyTorch program, which is code"):
        read(tmp_path / "w.pt2")


@pytest.mark.parametrize("size", [500, 1000, 5000, 20_000, 60_000, 100_000, -1])
def test_a_truncated_download_is_reported(tmp_path, size):
    torch.save({"model.1.weight": torch.zeros(64, 3, 7, 7), "x": torch.ones(30_000)}, tmp_path / "w.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut\.pth is cut short: its end is missing; download or copy it again"):
        read(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x08\x08\x12\x07pytorch", "an ONNX file"),
        (b"<script>{}</script>", "a web page"),
        (b"weights", "damaged, or neither"),
        (b"PK\x03\x04 no archive", "cut short"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, reason):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "w.pth")


def test_archives_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("photo.txt", "no weights")
    with pytest.raises(ValueError, match="damaged, or neither"):
        read(tmp_path / "z.pth")
    with tarfile.open(tmp_path / "t.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    with pytest.raises(ValueError, match="a tar archive"):
        read(tmp_path / "t.pth")


def tried(file: Path) -> str | dict[str, torch.Tensor]:
    """Return the tensors of a file, or the error for it."""
    try:
        return read(file).parts[""]
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_is_damaged_anywhere_is_an_error_that_names_it(tmp_path, new):
    """Truncated or overwritten at many places: the result is this error or all tensors, never some of them."""
    file = tmp_path / "w.pth"
    torch.save(WEIGHTS, file, _use_new_zipfile_serialization=new)
    whole, shapes = file.read_bytes(), {key: value.shape for key, value in WEIGHTS.items()}
    for at in range(0, len(whole), len(whole) // 60):
        for damaged in (whole[:at], whole[:at] + b"\xff\x00R" + whole[at + 3 :]):
            file.write_bytes(damaged)
            found = tried(file)
            if isinstance(found, str):
                assert found.startswith(str(file))
            else:
                assert len(damaged) == len(whole)
                assert {key: value.shape for key, value in found.items()} == shapes


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
    beside = {"w": odd, "b": torch.ones(1)}
    if "not floating" in why:
        torch.save(beside, tmp_path / "w.pth")
        assert read(tmp_path / "w.pth").parts[""].keys() == {"b"}
    for content in ({"w": odd},) if "not floating" in why else ({"w": odd}, beside):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(ValueError, match=rf"w\.pth contains tensors that are no weights: w \({why}\)$"):
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
def test_checkpoints_in_nested_dicts(tmp_path, content, part):
    torch.save(content, tmp_path / "w.pth")
    found, tensors, _ = choose(tmp_path / "w.pth")
    assert (found.part, found.guess.network) == (part, "resnet_1")
    assert tensors.keys() == G.keys()


def test_one_of_several_generators_must_be_chosen(tmp_path):
    file = tmp_path / "cyclegan.pth"
    torch.save({"G_A": G, "G_B": authors.resnet(blocks=2).state_dict(), "D_A": D, "D_B": D}, file)
    with pytest.raises(
        ValueError, match=r"(?s)several generators; choose one with `i2i import --part`:\n  G_A: Cycle.*\n  G_B: "
    ):
        choose(file)
    assert choose(file, "G_B")[0].guess.network == "resnet_2"
    with pytest.raises(ValueError, match=r"(?s)no generator called 'D_A'; it contains\n  G_A:.*D_B:"):
        choose(file, "D_A")


@pytest.mark.parametrize(
    ("judge", "title"),
    [
        (authors.patchgan(norm="instance"), "CycleGAN's and pix2pix's patch discriminator"),
        (authors.patchgan(antialias=True), "CUT's antialiased patch discriminator"),
    ],
)
def test_discriminators_are_no_generators(tmp_path, judge, title):
    torch.save(judge.state_dict(), tmp_path / "latest_net_D.pth")
    with pytest.raises(ValueError, match=f"contains {title}, which makes no images. Import the file of the generator"):
        choose(tmp_path / "latest_net_D.pth")


@pytest.mark.parametrize("name", ["stargan_d", "patchgan_pixel", "cut_patchgan_antialiased"])
def test_the_authors_discriminators_are_recognised(reference, name):
    with pytest.raises(ValueError, match="which makes no images"):
        choose(reference(f"oracles/{name}.pth"))


@pytest.mark.parametrize(
    "file", ["fast_neural_style/mosaic_TransformerResNextNetwork.pth", "zero_dce/Epoch99.pth", "sci/easy.pt"]
)
def test_networks_of_other_kinds(reference, file):
    with pytest.raises(ValueError, match=r"(?s)not recognised: .*the first are .*CUT's antialiased ResNet generator"):
        choose(reference(f"data/checkpoints/{file}"))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x08\x07\x12\x07pytorch", "an ONNX file .* `i2i describe FILE -o COPY.onnx`"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "compressed by gzip: unpack it first"),
        (b"\x89HDF\r\n" + bytes(40), "an HDF5 file"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, start, words):
    (tmp_path / "w.pth").write_bytes(start)
    with pytest.raises(ValueError, match=rf"w\.pth is {words}"):
        read(tmp_path / "w.pth")
