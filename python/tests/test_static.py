"""The scripts as ``collectstatic`` leaves them, with hashes in their names."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.core.management import call_command

APP = 'import updates from "../pushserver/updates.module.js";\nwindow.updates = updates;\n'


class FollowsImports(ManifestStaticFilesStorage):
    """Rewrites the imports of modules."""

    support_js_module_import_aggregation = True


def collect(settings: Any, directory: Path, storage: type[ManifestStaticFilesStorage]) -> None:
    """Collects static files, and a module of the project's own that imports ours."""
    app = directory / "assets" / "site" / "app.js"
    app.parent.mkdir(parents=True)
    app.write_text(APP)
    settings.STATICFILES_DIRS = [directory / "assets"]
    settings.STATIC_ROOT = directory / "static"
    backend = f"{storage.__module__}.{storage.__qualname__}"
    settings.STORAGES = {"staticfiles": {"BACKEND": backend}}
    call_command("collectstatic", verbosity=0, interactive=False)


@pytest.mark.parametrize("storage", [ManifestStaticFilesStorage, FollowsImports])
@pytest.mark.parametrize("name", ["auto.js", "updates.module.js", "updates.js", "updates.mjs"])
def test_the_scripts_get_hashed_names_and_stay_as_they_are(settings, tmp_path, storage, name):
    collect(settings, tmp_path, storage)
    url = staticfiles_storage.url(f"pushserver/{name}")
    stem, _, suffix = name.rpartition(".")
    assert re.fullmatch(rf"/static/pushserver/{re.escape(stem)}\.[0-9a-f]{{12}}\.{suffix}", url)
    source = Path(__file__).parents[1] / "pushserver" / "static" / "pushserver" / name
    collected = tmp_path / "static" / url.removeprefix("/static/")
    assert collected.read_bytes() == source.read_bytes()
    assert not collected.is_symlink()
    # With WhiteNoise only the hashed files may be kept: then no file may need a plain one.
    assert not re.search(rb"""(?:from|import)\s*\(?["'][./]""", collected.read_bytes())


def test_the_modules_are_what_their_parts_make():
    join = runpy.run_path(str(Path(__file__).parents[1] / "client" / "join.py"))
    for module, names in join["MODULES"].items():
        assert module.read_text() == join["joined"](names), "run python/client/join.py"


def test_an_import_in_a_module_of_the_projects_own_is_followed(settings, tmp_path):
    collect(settings, tmp_path, FollowsImports)
    app = tmp_path / "static" / staticfiles_storage.url("site/app.js").removeprefix("/static/")
    ours = staticfiles_storage.url("pushserver/updates.module.js").rpartition("/")[2]
    assert f'from "../pushserver/{ours}"' in app.read_text()
