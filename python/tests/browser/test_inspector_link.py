"""The link that ``runpushserver`` prints opens the inspector, which speaks of the project's own
settings.
"""

from __future__ import annotations

import re

from tests.browser.inspector import Inspector
from tests.project import Project


def test_the_link_opens_it_and_locations_have_the_numbers_of_the_project(browser, tmp_path):
    with Project(tmp_path) as project:
        [link] = re.findall(r"Inspector: (\S+)", project.log())
        origin = project.url.replace("127.0.0.1", "localhost")
        browser.open(f"{origin}/a-page")
        publish = "fetch(arguments[0], {method: 'POST', body: 'x'}).catch(() => {})"
        browser.run(publish, f"{project.url}/send-update/room")
        inspector = Inspector(browser, link)
        inspector.open()
        # The location of the status is another one, which the project does not have.
        fix = f'set locations[3].allow_origin to ["{origin}"], if its pages may'
        inspector.wait_for_fix(fix)
        browser.open("about:blank")
    browser.log()
