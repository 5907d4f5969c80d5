"""The documentation's build finds broken links and undocumented public names."""

import shutil
import subprocess
import sys
from pathlib import Path

import i2i
from i2i.gan import CONSTRAINTS, OBJECTIVES
from i2i.networks import DISCRIMINATORS, GENERATORS
from tools.check import CHECKS

ROOT = Path(__file__).resolve().parent.parent
PAGE = """# Page

[good](../README.md#a-heading) [file](../there.txt) [heading](../README.md#no-heading) [page](none.md)
[other](../none.txt) [here](#nowhere) ![picture](none.png)

```{eval-rst}
.. autofunction:: i2i.load
.. autoclass:: i2i.Domain
   :members: peak
```
"""


def test_broken_links_and_missing_names_fail(tmp_path):
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path / "docs")
    (tmp_path / "there.txt").write_text("text")
    (tmp_path / "README.md").write_text("# Title\n\n## A heading\n\n[broken](docs/none.md)\n")
    (tmp_path / "docs" / "index.md").write_text("# Index\n\n```{toctree}\n../README\npage\n```\n")
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    done = subprocess.run([sys.executable, "-m", *CHECKS["docs"]], cwd=tmp_path, capture_output=True, text=True)
    found = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert done.returncode == 1, done.stderr
    for broken in ("'no-heading'", "'none.md'", "'../none.txt'", "'nowhere'", "docs/none.png", "'docs/none.md'"):
        assert sum(broken in line for line in found) == 1, (broken, done.stderr)
    public = [name for name in i2i.__all__ if name not in ("load", "Domain", "__version__")]
    for name in public:
        assert sum(f"i2i.{name} is public" in line for line in found) == 1, (name, done.stderr)
    assert len(found) == 6 + len(public), done.stderr
    built = (tmp_path / "build" / "docs" / "docs" / "page.html").read_text(encoding="utf-8")
    assert "Largest value of a pixel: 255 or 65535." in built


def test_every_page_is_listed():
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"} <= set(listed)


def test_the_values_of_networks_and_games_are_listed():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    names = [*OBJECTIVES, *CONSTRAINTS]
    for family, row in (GENERATORS | DISCRIMINATORS).items():
        if family != "csc321":  # the networks of checkpoints that are imported
            names.append(f"{family}_N" if row.number else family)
    assert [name for name in names if f"`{name}`" not in text] == []
