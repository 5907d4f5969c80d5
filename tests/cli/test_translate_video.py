"""Options of ``i2i translate`` that a video refuses."""

import pytest
from click.testing import CliRunner

from i2i.cli.translate import command


@pytest.mark.parametrize("option", ["--suffix=-night", "--keep-metadata", "--workers=2", "--max-pixels=5"])
def test_options_of_images_are_not_taken_and_ignored(option, tmp_path):
    source = tmp_path / "video.mp4"
    source.write_bytes(b"")
    result = CliRunner().invoke(command, [str(source), option])
    assert isinstance(result.exception, ValueError)
    assert f"{option.partition('=')[0]} is for images" in str(result.exception)


@pytest.mark.parametrize("options", [["--shard", "1/2"], ["-m", "day2night", "-m", "day2night"]])
def test_a_video_is_one_job_with_one_model(options, tmp_path):
    source = tmp_path / "video.mp4"
    source.write_bytes(b"")
    result = CliRunner().invoke(command, [str(source), "--provider", "cpu", *options])
    assert isinstance(result.exception, ValueError)
    assert "a video takes one model" in str(result.exception)
