"""What a report contains, and what it says of all that is missing or damaged."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image as PilImage

import i2i
from i2i.errors import DataError
from i2i.images import Image, write_image
from i2i.reporting.charts import chart, number, thinned, ticks
from i2i.reporting.gallery import worst_to_best
from i2i.reporting.page import duration
from tests import tiny
from tests.conftest import Command
from tests.evaluation.conftest import drawing, features  # noqa: F401 (a fixture)
from tests.reporting.conftest import TESTED, MakeRun, source_of

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'`|"


class Reader(HTMLParser):
    """The text of a page with spaces between elements, and its elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " "

    def handle_endtag(self, tag: str) -> None:
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self, alt: str) -> list[PilImage.Image]:
        """Return the pictures whose description begins so."""
        found = [a["src"] or "" for tag, a in self.elements if tag == "img" and (a["alt"] or "").startswith(alt)]
        return [PilImage.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))) for src in found]

    @property
    def results(self) -> list[str]:
        """The names of the results in the order of the page."""
        alts = [a["alt"] or "" for tag, a in self.elements if tag == "img"]
        return [alt.removeprefix("result of ") for alt in alts if alt.startswith("result of ")]


def test_a_page_says_what_was_trained_on_what_for_how_long_and_where(run: MakeRun, data: Path) -> None:
    path = run(data_report={"lines": ["source photo: 6 images"], "warnings": ["a: 2 that repeat another file"]})
    written = i2i.report(path)
    assert written == path / "report.html"
    page = Reader(written)
    for text in (
        "pix2pix: photo to negative", str(data), "source photo: 6 images", "40 of 40, finished", "device cpu",
        "processor a processor", "data: a: 2 that repeat another file", "20 s, from the speeds in the log",
    ):  # fmt: skip
        assert text in page.text, text
    command = re.search(r"i2i train pix2pix .*?--out=\S+", page.text)
    assert command
    words = [word for word in command[0].split() if word != "\\"]
    assert sorted(words[3:]) == sorted([
        f"--data={data}", "--size=32x32", "--batch=2", "--steps=40", "--seed=0", "--lr=0.0002",
        "--set=generator=unet_5", f"--out={path}",
    ])  # fmt: skip


def test_warnings_of_the_training_are_shown_on_the_page_and_the_card(run: MakeRun) -> None:
    grid = {"step": 1500, "text": "G(x) has a checkerboard pattern. What usually helps: --set upsample=resize"}
    path = run(warnings={"grid": grid, "not finite 1": {"text": "the loss became NaN at step 6"}})
    part = Reader(i2i.report(path)).text.partition("Warnings")[2]
    assert f"training at step 1500: {grid['text']}" in part
    assert "training: the loss became NaN at step 6" in part
    assert "training at step 1500: G" in i2i.report(path, format="md").read_text()
    assert "training at step" not in Reader(i2i.report(run("other", warnings=None))).text


def test_results_are_sorted_from_the_worst_with_their_truth(run: MakeRun) -> None:
    page = Reader(i2i.report(run(), images=8))
    gallery = page.results[:8]
    assert gallery == [f"n{number}.png" for number in reversed(TESTED)]
    assert "8 of 8 results, sorted by SSIM (higher is better), split test" in page.text
    (source,) = page.pictures("source n7.png")
    result = page.pictures("result of n7.png")[0]
    assert (np.asarray(source) == source_of(7)).all()
    assert (np.asarray(result) == 255 - source_of(7)).all()
    assert len(page.pictures("truth of ")) == 8


def test_an_evaluation_decides_which_results_are_the_worst(run: MakeRun, features: str, tmp_path: Path) -> None:  # noqa: F811
    path = run()
    found = i2i.evaluate(path, features=features, metrics="L1,edges,KID", kid_subset=4)
    found.save(path / "metrics.json")
    page = Reader(i2i.report(path, images=4))
    # Half of four are the worst, one is from the middle, one is the best.
    assert page.results[:4] == ["n7.png", "n6.png", "n5.png", "n0.png"]
    assert "4 of 8 results, sorted by L1 (lower is better)" in page.text
    table = found.tables[0]
    assert f"Protocol: {table.protocol.line}" in page.text
    for metric in ("L1", "KID"):
        low, high = found[metric].low, found[metric].high
        assert low is not None
        assert high is not None
        shown = f"[{low * 1000:.2f}, {high * 1000:.2f}]" if metric == "KID" else f"[{low:.4f}, {high:.4f}]"
        assert shown in page.text, metric


def test_several_runs_show_only_what_differs_and_whether_figures_are_comparable(
    run: MakeRun,
    features: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Features that only one of them was measured with do not make the errors of pixels incomparable."""
    one, two = run("one"), run("two", {"seed": 1}, status="stopped", step=20)
    i2i.evaluate(one, metrics="L1,structure", features=features).save(one / "metrics.json")
    i2i.evaluate(two, metrics="L1").save(two / "metrics.json")
    page = Reader(i2i.report([one, two], out=tmp_path / "both.html", images=0))
    part = page.text.partition("Differences between the runs")[2].partition("All settings of one")[0]
    assert " ".join(part.split()) == "setting one two status finished stopped step 40 20 seed 0 1"
    assert "two: not finished: stopped, at step 20 of 40" in page.text
    part = page.text.partition("The runs side by side")[2].partition("question")[0]
    assert "metric better one two L1 lower 0." in part
    assert "structure" not in part
    assert "Not comparable" not in page.text
    changed = json.loads((two / "metrics.json").read_text())
    changed["tables"][0]["protocol"] |= {"judge": "j", "labels": "l", "expected": "e"}
    (two / "metrics.json").write_text(json.dumps(changed))
    assert "Not comparable" not in Reader(i2i.report([one, two], out=tmp_path / "both.html", images=0)).text

    i2i.evaluate(two, metrics="L1", seed=5).save(two / "metrics.json")
    page = Reader(i2i.report([one, two], out=tmp_path / "both.html", images=0))
    assert "Not comparable: the figures were measured by different protocols." in page.text
    assert "seed: 5 against 0" in page.text
    with pytest.raises(DataError, match=r"measured on .*a2b.onnx, which lies in .*one; report on its run alone"):
        i2i.report([run("three"), two], metrics=one / "metrics.json", images=0)


def test_figures_of_another_run_or_of_nothing_known(run: MakeRun, data: Path, tmp_path: Path) -> None:
    """Those of another run are refused; of a model outside of all, they are shown, and no card is indexed by them."""
    one, two = run("one"), run("two")
    i2i.evaluate(one, metrics="L1").save(tmp_path / "m.json")
    with pytest.raises(DataError, match=r"measured on .*a2b.onnx, which lies in .*one; report on its run alone"):
        i2i.report(two, metrics=tmp_path / "m.json", images=0)
    assert "model-index" in i2i.report(one, metrics=tmp_path / "m.json", format="md").read_text()
    (tmp_path / "else").mkdir()
    (one / "onnx" / "a2b.onnx").rename(tmp_path / "else" / "copy.onnx")
    i2i.evaluate(tmp_path / "else" / "copy.onnx", data=data, metrics="L1").save(tmp_path / "m.json")
    card = i2i.report(two, metrics=tmp_path / "m.json", format="md").read_text()
    assert "| L1 |" in card
    assert "copy.onnx, which nothing but this report ties to the run two" in card
    assert "model-index" not in card


def test_figures_of_earlier_weights(run: MakeRun, data: Path) -> None:
    """A warning says so, the gallery is not sorted by them, and figures that are measured now come first."""
    path = run()
    tiny.inverter(path / "onnx" / "a2b.onnx", replace(tiny.RGB, recipe={"step": 20}))
    i2i.evaluate(path, metrics="L1").save(path / "metrics.json")
    stale = "metrics.json: measured on weights of step 20, and the run translates with those of step 40 now"
    page = Reader(i2i.report(path, images=4))
    assert "sorted by L1" in page.text
    assert stale not in page.text
    tiny.inverter(path / "onnx" / "a2b.onnx", replace(tiny.RGB, recipe={"step": 40}))
    page = Reader(i2i.report(path, images=4))
    assert f"{path / stale}; measure it again with i2i evaluate {path} -o {path / 'metrics.json'}" in page.text
    assert "sorted by SSIM" in page.text
    page = Reader(i2i.report(path, images=4, evaluate=True))
    assert page.text.index("From: measured for this report") < page.text.index(f"From: {path / 'metrics.json'}")


def test_the_gallery_is_sorted_by_figures_of_its_own_direction_and_size(run: MakeRun, tmp_path: Path) -> None:
    """Both domains lie in the same files, A | B."""
    for split, numbers in (("train", range(20, 23)), ("test", range(6))):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for n in numbers:
            write_image(tmp_path / "pairs" / split / f"n{n}.png", Image(np.hstack([drawing(n), 255 - drawing(n)])))
    path = run(settings={"data": str(tmp_path / "pairs")})
    tiny.inverter(path / "onnx" / "b2a.onnx", tiny.replace(tiny.RGB, direction="b2a"))
    values = {f"n{n}.png": 0.1 * n for n in range(6)}
    for direction, size, expected in (("a2b", None, 1), ("b2a", None, 1), ("a2b", 16, 0)):
        found = i2i.evaluate(path, metrics="edges", paired=False, direction=direction, size=size).to_dict()
        found["tables"][0]["by_image"]["the results"] = {"edges": values}
        (path / "metrics.json").write_text(json.dumps(found))
        page = Reader(i2i.report(path, images=4))
        galleries = page.text.partition("Gallery")[2]
        assert galleries.count("of 6 results, sorted by edges") == 2
        assert galleries.count("of 6, edges 0.1 n1.png") == expected, galleries


def test_a_video_leaves_the_gallery_as_the_images_have_it(run: MakeRun) -> None:
    path = run()
    found = i2i.evaluate(path, metrics="L1").to_dict()
    clip = {**found["tables"][0], "title": "a clip", "by_image": {}}
    clip["protocol"] = {**clip["protocol"], "real": 0, "paired": False, "split": None}
    (path / "metrics.json").write_text(json.dumps({**found, "tables": [clip, *found["tables"]]}))
    page = Reader(i2i.report(path, images=4))
    assert "sorted by L1" in page.text
    assert page.pictures("truth of ")


def test_unpaired_results_are_measured_on_the_way(run: MakeRun, data: Path, features: str) -> None:  # noqa: F811
    """Two folders without pairs: sorted by content, of a run that is measured for its report."""
    for file in (data / "testB").iterdir():
        file.rename(file.with_name(f"other-{file.name}"))
    page = Reader(i2i.report(run(), evaluate=True, features=features, images=8))
    assert "From: measured for this report" in page.text
    assert "KID-squares x1000" in page.text
    assert "8 of 8 results, sorted by structure-squares (lower is better)" in page.text
    assert not page.pictures("truth of ")
    assert "by features squares, of 8 results and 6 training images" in page.text
    unmeasured = Reader(i2i.report(run("other"), features=features, images=2))
    assert "2 of 8 results, sorted by edges (higher is better)" in unmeasured.text


def test_a_model_of_several_domains_has_a_gallery_for_each(run: MakeRun, tmp_path: Path) -> None:
    names = ("cloudy", "rain", "shine")
    for split, numbers in (("train", range(9, 12)), ("test", range(2))):
        for name in names:
            folder = tmp_path / "weather" / split / name
            folder.mkdir(parents=True)
            for each in numbers:
                write_image(folder / f"{each}.png", Image(drawing(each)))
    path = run(settings={"data": str(tmp_path / "weather")}, domains=list(names))
    (path / "onnx" / "a2b.onnx").unlink()
    tiny.brighter(path / "onnx" / "any.onnx")
    page = Reader(i2i.report(path, images=6))
    for name in names:
        assert f"weather -> {name} 2 of 4 results, sorted by edges (higher is better), split test" in page.text
    assert [tag for tag, _ in page.elements].count("select") == 3
    brighter = {
        int(np.asarray(result)[0, 0, 0]) - int(drawing(0)[0, 0, 0]) for result in page.pictures("result of cloudy/0")
    }
    assert brighter == {30}  # of "shine"; none of the two shown for "rain" is this one


def test_a_run_of_both_directions_shows_both(run: MakeRun) -> None:
    """Also where it is measured for its report; what leads from a domain to itself is no translation."""
    path = run()
    for direction in ("b2a", "a2a"):
        tiny.inverter(path / "onnx" / f"{direction}.onnx", tiny.replace(tiny.RGB, direction=direction))
    page = Reader(i2i.report(path, images=8, evaluate=True))
    assert page.text.count("4 of 8 results, sorted by ") == 2
    assert page.text.count("From: measured for this report") == 2
    assert [tag for tag, _ in page.elements].count("select") == 2
    result = page.pictures("result of n0.png")[-1]  # of the second gallery: of the negative
    assert np.asarray(result)[0, 0, 0] == source_of(0)[0, 0, 0]


def test_a_copied_training_image_is_found(run: MakeRun, data: Path) -> None:
    """Test image 3 repeats training image 21, so that its result is that image of B."""
    for side in "AB":
        (data / f"test{side}" / "n3.png").write_bytes((data / f"train{side}" / "n21.png").read_bytes())
    page = Reader(i2i.report(run(), features=None))
    part = page.text.partition("Has it memorised?")[2]
    first = re.search(r"distance (\S+) (\S+) / (\S+)", part)
    assert first
    assert first.groups() == ("0", "n3.png", "n21.png")
    assert "of 8 results and 6 training images" in part


def test_nearest_by_pixels_where_no_features_are_installed(run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.reporting.api.has_lite0", lambda: False)
    page = Reader(i2i.report(run(), images=4))
    assert "by pixels, reduced to 16 x 16, of 8 results and 6 training images" in page.text


def test_names_of_files_and_settings_are_text_and_nothing_else(run: MakeRun, data: Path) -> None:
    name = HOSTILE.replace("/", "") + ".png"
    for side in "AB":
        (data / f"test{side}" / "n5.png").rename(data / f"test{side}" / name)
    path = run("run" + HOSTILE.replace("/", ""), {"select": HOSTILE}, status=HOSTILE, versions={HOSTILE: HOSTILE})
    log = path / "log.jsonl"
    log.write_text(log.read_text() + json.dumps({"step": 50, f"G/{HOSTILE}": 1.0, HOSTILE: 2.0}) + "\n")
    page = Reader(i2i.report(path))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [attributes for _, attributes in page.elements if any(key.startswith("on") for key in attributes)]
    assert all((a["src"] or "").startswith("data:image/webp") for tag, a in page.elements if tag == "img")
    assert name in page.results
    assert page.text.count(HOSTILE) >= 5


def test_damage_and_what_is_missing_is_named(run: MakeRun, data: Path) -> None:
    path = run()
    log = path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 50, "G/gan": NaN}\n{"step": 60, "G/g\n[1]\n')
    (path / "samples" / "000000020.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    for folder in sorted(data.iterdir()):
        folder.rename(data.parent / f"moved-{folder.name}")
    data.rmdir()
    page = Reader(i2i.report(path))
    part = page.text.partition("Not in this report")[2]
    assert "2 damaged lines of log.jsonl left out" in part
    assert "values that are not finite, left out of the curves: G/gan" in part
    assert "000000020.png: this sample sheet cannot be read" in part
    assert f"no gallery: {path}: trained on {data}, which is not there" in part
    assert len(page.pictures("sample sheet at step ")) == 1


def test_a_run_without_log_and_samples(run: MakeRun) -> None:
    path = run()
    (path / "log.jsonl").unlink()
    for file in (path / "samples").iterdir():
        file.unlink()
    page = Reader(i2i.report(path, images=0))
    assert "no curves: it has no log.jsonl" in page.text
    assert "no sample sheets" in page.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere: no such run"),
        (["data"], "data: no run; a run is a folder with the run.json"),
        (["damaged"], "damaged, it does not describe a run"),
        (["good", "--metrics", "good/run.json"], "not a file that i2i evaluate -o wrote"),
        (["good", "--metrics", "none.json"], "none.json: cannot be read as the file of i2i evaluate -o"),
        (["good", "-o", "none/report.html"], "none: no such folder to write report.html to"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], expected: str, run: MakeRun, tmp_path: Path, i2i_inside: Command
) -> None:
    run("good")
    (run("damaged") / "run.json").write_text('{"method": "pix2pix"')
    done = i2i_inside("report", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("report.*"))


def test_figures_of_validation_and_the_best_step_are_drawn(run: MakeRun) -> None:
    test = i2i.evaluate(run(), metrics="L1").to_dict()
    validation = {
        "metric": "KID-lite0",
        "best": {"a2b": {"step": 20, "value": 0.45}},
        "protocol": {"a2b": {"line": "how it was"}},
    }
    path = run(validation=validation, test={"tables": test["tables"]}, reason="stopped early")
    lines = [json.dumps({"step": step, "val": {"a2b": {"KID": 9.0 / step}}, "protocol": {}}) for step in (20, 40)]
    (path / "log.jsonl").write_text((path / "log.jsonl").read_text() + "\n".join(lines))
    page = Reader(i2i.report(path, images=0))
    assert "Figures of validation images a2b/KID" in page.text
    assert "Protocol of validation a2b: how it was" in page.text
    assert "best weights a2b of step 20, by KID-lite0 of validation images" in page.text
    assert "ended stopped early" in page.text
    assert "From: the end of training" in page.text
    assert "best" in [a.get("class") for tag, a in page.elements if tag == "path"]
    assert page.text.index("Figures of validation images") < page.text.index("Losses of player G")
    assert "A dotted line marks the step whose weights were chosen." in page.text
    both = Reader(i2i.report([path, run("other")], images=0, out=path / "both.html"))
    assert "Protocol of validation a2b:" in both.text
    assert "A dotted line" not in both.text


def test_pictures_are_small_and_few(run: MakeRun, data: Path) -> None:
    path = run()
    for side in "AB":
        write_image(data / f"test{side}" / "n7.png", Image(drawing(7, 700)))
    for step in range(100, 120):
        PilImage.new("RGB", (1600, 40)).save(path / "samples" / f"{step:09d}.png")
    page = Reader(i2i.report(path))
    sheets = page.pictures("sample sheet at step ")
    assert len(sheets) == 12
    assert max(max(sheet.size) for sheet in sheets) == 1280
    assert "12 of 22 sheets" in page.text
    (source,) = page.pictures("source n7.png")
    assert source.size == (256, 256)


def test_a_model_card(run: MakeRun, tmp_path: Path, i2i_inside: Command) -> None:
    path = run("a|b*c", {"select": HOSTILE})
    found = i2i.evaluate(path, metrics="L1,SSIM")
    found.save(path / "metrics.json")
    done = i2i_inside("report", path, "--format", "md", "--license", "apache-2.0")
    assert (done.returncode, done.stdout.strip()) == (0, str(path / "report.md")), done.stderr
    text = (path / "report.md").read_text()
    _, header, body = text.split("---\n", 2)
    card: dict[str, Any] = yaml.safe_load(header)
    assert (card["library_name"], card["pipeline_tag"]) == ("i2i", "image-to-image")
    assert card["license"] == "apache-2.0"
    (entry,) = card["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "a|b*c"
    assert result["dataset"]["split"] == "test"
    assert {each["name"]: each["value"] for each in result["metrics"]} == pytest.approx(
        {name: found[name].value for name in ("L1", "SSIM")}
    )
    assert "# a\\|b\\*c" in body
    code = re.compile(r"^(`{3,})sh\n(.*?)^\1$", re.M | re.S)
    assert "<img" not in code.sub("", body)
    assert HOSTILE.split("'")[0] in "".join(block for _, block in code.findall(body))
    assert f"protocol: {found.tables[0].protocol.line}".lower().replace("_", "\\_") in body.lower()
    tables = re.findall(r"(?:^\|.*\n)+", body, re.M)
    assert [len(table.splitlines()) for table in tables] == [4, 10]
    assert "data:image" not in text


def test_the_card_and_the_page_of_a_generator(tmp_path: Path) -> None:
    path = tmp_path / "faces"
    tiny.draws(path / "onnx" / "generate.onnx", replace(tiny.SHAPES, domains=("cat", "dog")))
    hyper = {"ngf": 8, "domains": 2, "attributes": False, "height": 6, "width": 5}
    facts = {"method": "dcgan", "status": "finished", "step": 9, "domains": ["cat", "dog"], "hyperparameters": hyper}
    facts["settings"] = {"method": "dcgan", "data": "photos", "attributes": None, "size": [6, 5]}
    (path / "run.json").write_text(json.dumps(facts))
    text = i2i.report(path, out=tmp_path / "card.md").read_text()
    card = yaml.safe_load(text.split("---\n", 2)[1])
    assert (card["pipeline_tag"], card["tags"]) == ("unconditional-image-generation", [card["pipeline_tag"], "dcgan"])
    assert f"```sh\ni2i generate {path} -n 64 --grid --to cat\n```" in text
    assert "- data: photos\n" in text
    assert all(f"--set={name}={hyper[name]}" in text for name in ("ngf", "domains", "height", "width"))
    assert "attributes=" not in text  # which the command line refuses: the data decides it
    page = Reader(i2i.report(path, out=tmp_path / "page.html"))
    assert "is a generator, which has no source images: write some of its images" in page.text


def test_worst_to_best() -> None:
    assert worst_to_best(3, 5) == [0, 1, 2]
    assert worst_to_best(100, 8) == [0, 1, 2, 3, 4, 51, 98, 99]
    for total in range(1, 60):
        for count in range(1, 30):
            places = worst_to_best(total, count)
            assert places == sorted(set(places))
            assert len(places) == min(total, count)


def test_charts() -> None:
    assert ticks(0, 200, 3) == [0, 100, 200]
    assert ticks(5.0, 5.0, 4)[0] < 5 < ticks(5.0, 5.0, 4)[-1]
    assert [number(x) for x in (0.25, 12000, 0.00001, 0, -3.5, 1234.5)] == ["0.25", "12k", "1e-05", "0", "-3.5", "1234"]
    many = [(float(n), float(n % 2)) for n in range(8000)]
    few = thinned(many)
    assert len(few) == 400
    assert all(y == pytest.approx(0.5) for _, y in few)
    assert [duration(s) for s in (0.2, 40, 725, 12300, 90000)] == ["0 s", "40 s", "12 min 5 s", "3 h 25 min", "1 d 1 h"]
    from i2i.reporting.charts import Line

    drawn = chart("loss", [Line(0, "a<b", [(1.0, 2.0), (2.0, 1.0)])])
    assert 'aria-label="loss by step. a&lt;b: from 2 to 1"' in drawn


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_have_enough_contrast_in_light_and_dark(scheme: int) -> None:
    """At least 4.5 for text and 3 for lines, as the WCAG demand of level AA."""
    style = (Path(i2i.__file__).parent / "reporting" / "templates" / "page.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", re.findall(r":root \{(.*?)\}", style, re.S)[scheme]))
    assert len(colours) == 14

    def luminance(name: str) -> float:
        parts = [int(colours[name][n : n + 2], 16) / 255 for n in (0, 2, 4)]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    for text, ground in (("ink", "paper"), ("soft", "paper"), ("accent", "paper"), ("ink", "panel"), ("ink", "warn")):
        assert contrast(text, ground) >= 4.5, (text, ground)
    assert min(contrast(f"line-{n}", "paper") for n in range(6)) >= 3
