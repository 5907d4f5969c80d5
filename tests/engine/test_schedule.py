"""The learning rate in the authors' timing."""

import pytest

from i2i.engine.schedule import learning_rate, length
from i2i.engine.settings import Settings


def test_two_hundred_epochs_as_the_authors_count_them():
    settings = Settings("pix2pix")
    images = 10

    def epoch(e):
        rates = {learning_rate(step, settings, images) for step in range((e - 1) * images, e * images)}
        assert len(rates) == 1
        return rates.pop()

    assert length(settings, images) == (2000, 10)
    assert epoch(1) == epoch(100) == 1
    assert epoch(101) == pytest.approx(100 / 101)
    assert epoch(200) == pytest.approx(1 / 101)


def test_a_length_in_steps_falls_by_the_step():
    settings = Settings("pix2pix", steps=10, batch=4)
    assert length(settings, 9) == (10, 2)
    assert [learning_rate(step, settings, 9) for step in range(10)] == pytest.approx(
        [1, 1, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )


def test_fewer_images_than_a_batch():
    assert length(Settings("pix2pix", batch=16, epochs=3), 5) == (3, 1)
