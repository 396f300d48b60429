"""The pictures of docs/architecture.md are up to date, and name files and packages that exist."""

from xml.etree import ElementTree

import pytest

from config import ROOT
from tests.architecture.layout import arrange, with_bends
from tests.architecture.packages import PURPOSES, imports, reduced
from tests.architecture.request import files
from tests.architecture.run import FOLDER, PICTURES
from tests.support.layers import LEVELS


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == PICTURES[name](), "run scripts/architecture"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_svg_and_linked_from_the_page(name: str) -> None:
    root = ElementTree.parse(FOLDER / name).getroot()
    assert root.attrib["viewBox"].startswith("0 0 ")
    assert f"(architecture/{name})" in (ROOT / "docs/architecture.md").read_text()


def test_the_picture_of_a_request_names_files_that_exist() -> None:
    assert {name for name in files() if not (ROOT / name).is_file()} == set()


def test_every_package_is_in_the_picture_with_its_purpose() -> None:
    assert set(imports()) == set(LEVELS) == set(PURPOSES)


def test_an_import_is_left_out_only_if_a_longer_path_implies_it() -> None:
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert reduced(edges) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}


def test_boxes_of_a_layer_do_not_overlap_and_lines_go_around_them() -> None:
    layers, lines = with_bends([["a"], ["b", "c"], ["d"]], {"a": {"b", "c", "d"}, "c": {"d"}})
    assert ("a", "d@1") in lines
    assert ("d@1", "d") in lines
    widths = {name: 50.0 for names in layers for name in names}
    middles = arrange(layers, lines, widths)
    row = sorted(middles[name] for name in ("b", "c", "d@1"))
    assert row[1] - row[0] >= 49.9
    assert row[2] - row[1] >= 49.9
