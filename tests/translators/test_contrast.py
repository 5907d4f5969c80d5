"""MoNCE, Hneg-SRC and DCLGAN: which losses they take, of which maps, and how they change over a run."""

import pytest
import torch

from i2i.losses import hard_negatives, monce, patch_nce, semantic_relation
from i2i.translators.cut import columns
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def seen(method):
    translator, data = make(method), batch(method)
    torch.manual_seed(3)
    v = translator(data)
    return translator, v, translator.generator_loss(v)


def test_monce_is_cut_with_other_weights():
    translator, v, terms = seen("monce")
    of_x, of_y = translator.pairs(v)
    for name, pairs in (("nce", of_x), ("nce_y", of_y)):
        wanted = torch.stack([monce(q, z, 0.07) for q, z in pairs]).mean() / 2
        assert terms[name].item() == pytest.approx(wanted.item(), rel=1e-6)
    plain, _, of_cut = seen("cut")
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), translator.parameters(), strict=True))
    assert torch.equal(of_cut["gan"], terms["gan"])


def test_hard_negatives_get_harder_over_a_run():
    translator, v, terms = seen("hneg")
    of_x, _ = translator.pairs(v)
    for progress, gamma in ((0.0, 50.0), (0.25, 40.0), (1.0, 10.0)):
        translator.progress = progress
        wanted = 0.1 / 2 * torch.stack([hard_negatives(q, z, 0.07, gamma) for q, z in of_x]).mean()
        assert translator.generator_loss(v)["nce"].item() == pytest.approx(wanted.item(), rel=1e-6)
    wanted = 0.05 * torch.stack([semantic_relation(q, z) for q, z in of_x]).mean()
    assert terms["src"].item() == pytest.approx(wanted.item(), rel=1e-6)
    with pytest.raises(ValueError, match="expected temperatures above 0"):
        make("hneg", gamma=0.0)


def test_dclgan_compares_with_the_encoder_of_the_other_domain():
    translator, v, terms = seen("dclgan")
    for term, source, made, there, back, H, H_back in (
        ("nce_x", "x", "G(x)", translator.G, translator.F, translator.H_X, translator.H_Y),
        ("nce_y", "y", "F(y)", translator.F, translator.G, translator.H_Y, translator.H_X),
    ):
        keys, queries = there.encode(v[source])[1:], back.encode(v[made])[1:]  # without the pixels
        counts = [min(50, m.shape[2] * m.shape[3]) for m in keys]
        at = v[f"s({source})"].split(counts)
        z = H([columns(m, s) for m, s in zip(keys, at, strict=True)])
        q = H_back([columns(m, s) for m, s in zip(queries, at, strict=True)])
        assert torch.allclose(torch.cat(z, 1), v[f"z({source})"], atol=1e-5)
        wanted = 2 * torch.stack([patch_nce(a, b) for a, b in zip(q, z, strict=True)]).mean()
        assert terms[term].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert terms["idt_y"].item() == pytest.approx((v["G(y)"] - v["y"]).abs().mean().item(), rel=1e-5)
