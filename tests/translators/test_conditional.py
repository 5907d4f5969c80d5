"""Labels in the discriminator of DCGAN: a projection, which scores an image and its label together."""

from __future__ import annotations

import pytest
import torch

from i2i.networks.dcgan import DCGANDiscriminator


@pytest.mark.parametrize("minibatch", [0, 3])
def test_a_label_adds_its_projection_of_the_last_map(minibatch: int) -> None:
    torch.manual_seed(0)
    D = DCGANDiscriminator(1, height=16, width=16, ndf=2, norm="none", conditions=3, minibatch=minibatch)
    x, c = torch.rand(4, 1, 16, 16) * 2 - 1, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]])
    assert D.labels is not None
    phi = D.body(x).flatten(1)
    by_hand = D.head(D.crowd(phi))[:, 0] + torch.einsum("nk,fk,nf->n", c, D.labels.weight, phi)
    assert torch.allclose(D(x, c)[:, 0], by_hand, atol=1e-6)
    assert torch.equal(D.embed(x, c), phi)
