"""Resizing within a network, and the means of labels in latent space, against sums written out."""

import pytest
import torch
from torch.nn.functional import interpolate

from i2i.networks.latent import LabelMeans, LatentArithmetic, resized

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("before", "after"),
    [((28, 28), (64, 64)), ((300, 211), (28, 32)), ((5, 90), (64, 20)), ((1, 1), (8, 8)), ((64, 63), (1, 3))],
)
def test_resizing_is_pytorchs_antialiased_one(before, after):
    x = torch.rand(2, 3, *before, dtype=torch.float64)
    expected = interpolate(x, after, mode="bilinear", antialias=True)
    assert torch.allclose(resized(x, *after), expected, atol=1e-6)
    assert torch.equal(resized(x, *before), x)


def test_means_of_classes_are_moving_averages_over_the_batches_that_contain_them():
    means = LabelMeans(3, attributes=False, latent=2, decay=0.5)
    one = torch.eye(3)
    assert means.means().tolist() == [[0, 0]] * 3
    means.update(torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 0.0]]), one[[0, 0, 1]])
    assert means.means().tolist() == [[2, 3], [10, 0], [0, 0]]
    means.update(torch.tensor([[5.0, 6.0]]), one[[0]])
    # two images at half weight and one: ((1 + 3) / 2 + 5) / (2 / 2 + 1)
    assert means.means().tolist() == [[3.5, 4.5], [10, 0], [0, 0]]


def test_means_of_attributes_are_of_the_images_with_and_without_each():
    means = LabelMeans(2, attributes=True, latent=1)
    means.update(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    assert means.means()[:, 0].tolist() == [2, 5.5, 8, 1]


def classified(attributes, latent, logits):
    """Return means of three labels whose classifier has these logits for every image."""
    means = LabelMeans(3, attributes, latent)
    torch.nn.init.constant_(means.classifier.bias, 0)
    means.classifier.bias.data.copy_(torch.tensor(logits).log())
    return means


def test_a_class_is_left_by_its_probability():
    means = classified(False, 2, [0.2, 0.5, 0.3])
    means.update(torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]]), torch.eye(3))
    mu, c = torch.tensor([[7.0, 9.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    # 7 + 4 - (0.2 * 1 + 0.3 * 4), 9 + 4 - (0.5 * 1 + 0.3 * 4)
    assert torch.allclose(means.toward(mu, c), torch.tensor([[9.6, 11.3]]))


def test_attributes_change_by_what_their_probability_lacks():
    means = classified(True, 1, [1.0, 3.0, 1.0])  # probabilities 1/2, 3/4, 1/2
    with torch.no_grad():
        means.counts.fill_(1)
        means.totals.copy_(torch.tensor([[1.0], [2.0], [4.0], [0.0], [1.0], [-4.0]]))
    moved = means.toward(torch.tensor([[10.0]]), torch.tensor([[1.0, 0.0, 0.5]]))
    assert moved.item() == pytest.approx(10 + 0.5 * 1 - 0.75 * 1 + 0 * 8)


def test_images_are_resized_to_the_networks_and_back():
    class Encoder(torch.nn.Module):
        def forward(self, x):
            assert x.shape[2:] == (4, 6)
            return torch.cat([x.mean((2, 3)), torch.full((len(x), 1), 99.0)], 1)

    class Grey(torch.nn.Module):
        def forward(self, z):
            return z[:, :1, None, None].expand(-1, 1, 4, 6)

    means = LabelMeans(2, False, 1)
    means.update(torch.tensor([[0.25], [0.75]]), torch.eye(2))
    net = LatentArithmetic(Encoder(), means, Grey(), 4, 6)
    c = torch.eye(2)[1:]
    for size in ((4, 6), (9, 20), (1, 3)):
        # both classes are as probable: the target's mean minus that of both
        assert torch.allclose(net(torch.full((1, 1, *size), 0.1), c), torch.full((1, 1, *size), 0.1 + 0.75 - 0.5))
