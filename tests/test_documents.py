# SPDX-License-Identifier: Apache-2.0
"""What the documents say can be done: configurations to copy are good ones, and links lead somewhere."""
import re

import pytest

from harness.processes import REPOSITORY, run_to_end

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def test_configuration_to_copy(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 1
    (tmp_path / "edge.yaml").write_text(blocks[0])
    done = run_to_end("edge", "--check", "edge.yaml", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []
