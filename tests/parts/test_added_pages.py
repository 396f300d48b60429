"""Pages that a developer adds, in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.engine import URL

from tests.support.fastapi_application import new_app
from tests.support.serving import serving

pytestmark = pytest.mark.parts


def test_an_added_page_runs_its_scripts_also_when_the_browser_has_stored_it(
    chromium: Any, postgres: URL, tmp_path: Path
) -> None:
    """The second visit gets a 304, whose headers replace those of the browser's copy."""
    (tmp_path / "index.html").write_text("<script src=page.js></script>")
    (tmp_path / "page.js").write_text("document.title = 'ran'")
    app = new_app(postgres)
    app.mount("/static", StaticFiles(directory=tmp_path, html=True))
    app.get("/page", response_class=HTMLResponse)(lambda: "<script>document.title = 'ran'</script>")
    app.frontend("/frontend", directory=tmp_path)
    with serving(app) as base_url:
        context = chromium.new_context(base_url=base_url)
        page = context.new_page()
        for path in ("/static/", "/page", "/frontend/") * 2:
            page.goto(path)
            assert page.title() == "ran", path
        context.close()
