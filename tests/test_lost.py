"""One form for whatever a source has and its result lacks."""

from pathlib import Path

from i2i.lost import NOTHING, Losses, Lost


def test_a_loss_is_one_sentence_that_names_each_thing_once() -> None:
    lost = Lost.of(["alpha", "EXIF", "alpha"], "BMP")
    assert str(lost) == "not carried over to BMP: alpha, EXIF"
    assert lost
    assert not NOTHING
    assert not Lost.of([], "BMP")


def test_losses_of_many_results_are_counted_by_kind() -> None:
    losses = Losses()
    for number in range(7):
        losses.add(Path(f"{number}.png"), Lost.of(["alpha"] + ["EXIF"] * (number == 3), "BMP"))
    losses.add(Path("7.png"), NOTHING)
    assert losses.notes() == [
        "not carried over to BMP: alpha (7 results: 0.png, 1.png, 2.png, 3.png, 4.png and 2 more)",
        "not carried over to BMP: EXIF (1 result: 3.png)",
    ]
