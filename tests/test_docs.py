"""Links and file names in the documents lead somewhere, and the README's tree is complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("data/models/*/README.md"),
]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_to_a_file(document):
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (document.parent / target.split("#")[0]).exists(), f"{document.name}: {target}"


def test_there_are_documents_to_check():
    assert {"README.md", "CHANGELOG.md"} <= {d.name for d in DOCUMENTS}


def test_the_readme_names_every_room():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for room in sorted(p.parent.name for p in ROOT.glob("*/__init__.py")):
        assert f"{room}/" in text, f"README's tree lacks {room}/"


def test_no_document_tells_of_a_machine():
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|/home/", text), document
