"""Losses against formulas worked by hand, and by gradcheck."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from i2i.losses import hard_negatives, monce, patch_nce, semantic_relation, sinkhorn, ssim

pytestmark = pytest.mark.usefixtures("one_thread")


def vectors(*shape):
    return normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_patches_at_right_angles_by_hand():
    """q equal to k, all others at a cosine of 0: the probability of the right one is e^(1/T) / (e^(1/T) + others)."""
    k = torch.eye(4, dtype=torch.float64)[None].repeat(2, 1, 1)
    for T in (0.07, 0.5, 2.0):
        right = -math.log(math.exp(1 / T) / (math.exp(1 / T) + 3))
        assert patch_nce(k, k, T).item() == pytest.approx(right, rel=1e-9)
    wrong = k.roll(1, dims=1)  # each q equals the k of the place before
    assert patch_nce(wrong, k, 0.5).item() == pytest.approx(-math.log(1 / (math.exp(2) + 3)), rel=1e-9)


def test_patches_that_are_all_alike_are_a_guess():
    same = torch.ones(3, 256, 1, dtype=torch.float64)
    assert patch_nce(same, same).item() == pytest.approx(math.log(256), rel=1e-9)


def test_the_authors_form():
    """They set the own patch among the others to -10 before the division and put the pair in front, as class 0."""
    q, k, T = vectors(2, 6, 5), vectors(2, 6, 5), 0.07
    own = (q * k).sum(2, keepdim=True)
    others = (q @ k.transpose(1, 2)).masked_fill(torch.eye(6, dtype=torch.bool), -10.0)
    logits = (torch.cat([own, others], 2) / T).flatten(0, 1)
    theirs = torch.nn.functional.cross_entropy(logits, torch.zeros(12, dtype=torch.long))
    assert patch_nce(q, k, T).item() == pytest.approx(theirs.item(), rel=1e-12)


def test_images_do_not_mix():
    q, k = vectors(3, 5, 4), vectors(3, 5, 4)
    alone = [patch_nce(q[i : i + 1], k[i : i + 1]).item() for i in range(3)]
    assert patch_nce(q, k).item() == pytest.approx(sum(alone) / 3, rel=1e-12)
    assert max(alone) - min(alone) > 0.1


def test_gradients():
    q, k = vectors(2, 4, 3).requires_grad_(), vectors(2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: patch_nce(q, k, 0.5), (q, k))


def test_half_precision_does_not_reach_the_comparison():
    q, k = vectors(1, 8, 4).float(), vectors(1, 8, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        within = patch_nce(q, k)
        assert patch_nce(q.bfloat16(), k.bfloat16()).dtype == torch.float32
    assert torch.equal(within, patch_nce(q, k))


def test_a_transport_plan_has_rows_and_columns_of_one():
    plan = sinkhorn(torch.randn(2, 7, 7, dtype=torch.float64), 200)
    assert torch.allclose(plan.sum(1), torch.ones(2, 7, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(plan.sum(2), torch.ones(2, 7, dtype=torch.float64), atol=1e-9)
    # of two patches each goes to the other one, whatever the scores
    own = torch.eye(2, dtype=torch.bool)
    assert torch.allclose(sinkhorn(torch.zeros(1, 2, 2).masked_fill(own, -10.0), 50)[0], 1 - torch.eye(2), atol=1e-4)


def test_modulated_contrast_is_plain_contrast_where_all_negatives_are_alike():
    k = torch.eye(4, dtype=torch.float64)[None]
    assert monce(k, k, 0.5).item() == pytest.approx(patch_nce(k, k, 0.5).item(), rel=1e-4)


def test_modulated_contrast_by_hand():
    """Weights of the authors' form: Sinkhorn's plan of exp(cosine), its diagonal exp(-10), times the other patches."""
    q, k, T = vectors(1, 5, 3), vectors(1, 5, 3), 0.2
    cosines, n = (q @ k.transpose(1, 2))[0], 5
    K = cosines.clone().fill_diagonal_(-10.0).exp()
    u, v = torch.ones(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    for _ in range(50):
        u = 1 / (K @ v)
        v = 1 / (K.T @ u)
    weights = u[:, None] * K * v * (n - 1)
    wanted = 0.0
    for s in range(n):
        others = sum(weights[s, t] * torch.exp(cosines[s, t] / T) for t in range(n) if t != s)
        right = torch.exp(cosines[s, s] / T)
        wanted -= torch.log(right / (right + others)) / n
    assert monce(q, k, T).item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 50.0])
def test_hard_negatives_by_hand(gamma):
    q, k, T, n = vectors(2, 5, 3), vectors(2, 5, 3), 0.2, 5
    wanted = 0.0
    for a, b in zip(q, k, strict=True):
        for s in range(n):
            relation = {t: float(b[s] @ b[t]) for t in range(n) if t != s}
            weight = {t: math.exp((r - max(relation.values())) / gamma) for t, r in relation.items()}
            others = sum(math.exp(weight[t] * float(a[s] @ b[t]) / T) for t in relation)
            wanted += (math.log(others) - float(a[s] @ b[s]) / T) / (2 * n)
    assert hard_negatives(q, k, T, gamma).item() == pytest.approx(wanted, rel=1e-9)


def test_semantic_relation_by_hand():
    q, k = vectors(2, 4, 3), vectors(2, 4, 3)
    assert semantic_relation(q, q).item() == pytest.approx(0, abs=1e-12)
    wanted = 0.0
    for a, b in zip(q, k, strict=True):
        for s in range(4):
            p, r = (torch.softmax(z @ z[s], 0) for z in (a, b))
            m = (p + r) / 2
            wanted += float((p * (p / m).log()).sum() + (r * (r / m).log()).sum()) / 2 / 2
    assert semantic_relation(q, k).item() == pytest.approx(wanted, rel=1e-9)
    assert semantic_relation(q, -q).item() == pytest.approx(0, abs=1e-12)  # a relation, not a position


@pytest.mark.parametrize("loss", [monce, hard_negatives, semantic_relation])
def test_gradients_reach_the_made_image_alone(loss):
    """By a small step along the gradient; weights and keys pass none, so gradcheck would not hold for them."""
    q, k = vectors(1, 5, 3).requires_grad_(), vectors(1, 5, 3).requires_grad_()
    loss(q, k).backward()
    assert k.grad is None or loss is not semantic_relation
    before = loss(q, k).item()
    assert loss(q - 1e-3 * q.grad / q.grad.norm(), k).item() < before
    half = loss(q.detach().bfloat16(), k.detach().bfloat16())
    assert half.dtype == torch.float32


def test_ssim_is_that_of_scikit_image() -> None:
    """Away from the border, which is reflected in another way there."""
    from skimage.metrics import structural_similarity  # a second, so not in all processes

    x = torch.nn.functional.avg_pool2d(torch.rand(1, 2, 52, 52, dtype=torch.double), 5, 1) * 8 - 5
    y = (x + 0.1 * torch.randn_like(x)).clamp(-1, 1)
    for one, other, found in zip(x[0], y[0], ssim(x, y)[0], strict=True):
        wanted = structural_similarity(
            one.numpy(), other.numpy(), data_range=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            full=True,
        )[1]  # fmt: skip
        assert torch.allclose(found[8:-8, 8:-8], torch.from_numpy(wanted)[8:-8, 8:-8], atol=1e-9)


def test_ssim_of_constants_compares_their_means() -> None:
    a, b = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), -0.25)
    right = (2 * 0.5 * -0.25 + 4e-4) / (0.25 + 0.0625 + 4e-4)
    assert torch.allclose(ssim(a, b), torch.full_like(a, right), rtol=1e-4)
    assert torch.equal(ssim(a, a), torch.ones_like(a))
