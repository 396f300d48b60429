"""No link between the pages is broken, and docs/README.md links to every page."""

import os
from pathlib import Path

from config import ROOT
from tests.documentation.files import repository_files
from tests.documentation.links import anchors, broken, links

PAGES = {path: text for path, text in repository_files() if path.suffix == ".md"}
INDEX = Path("docs/README.md")


def test_every_relative_link_points_to_an_existing_file_and_heading() -> None:
    found = [each for page, text in PAGES.items() for each in broken(page, text, ROOT)]
    assert not found, "\n".join(["", *found])


def test_the_index_links_to_every_page_of_the_documentation() -> None:
    linked = {os.path.normpath(INDEX.parent / target) for target in links(PAGES[INDEX])}
    pages = {str(page) for page in PAGES if page.parts[0] == "docs"}
    assert not pages - linked - {str(INDEX)}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `title`: here\n\n## Twice\n\n## Twice\n")
    text = (
        "[a](other.md#a-title-here) [b](other.md#twice-1) [c](https://host/none) `[d](none.md)`\n"
        "[e](none.md) [f](other.md#twice-2) [g](#here)\n"
    )
    (tmp_path / "page.md").write_text(text)
    assert list(broken(Path("page.md"), text, tmp_path)) == [
        "page.md: none.md: no such file",
        "page.md: other.md#twice-2: no such heading",
        "page.md: #here: no such heading",
    ]


def test_an_anchor_is_the_heading_in_lower_case_with_hyphens() -> None:
    text = "# What the log and `/health` say\n```sh\n# no heading\n```\n## [A link](x.md), _here_\n"
    assert anchors(text) == {"what-the-log-and-health-say", "a-link-_here_"}
