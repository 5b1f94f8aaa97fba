"""What the site is built from, as far as that can be checked without Sphinx."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import typer.main

import earmark
from earmark.apps.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_site"))
commands, links = importlib.import_module("commands"), importlib.import_module("links")


def test_every_public_name_has_a_page():
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   ~?([\w.]+)$", page, re.M)) | {"__version__"}
    assert set(earmark.__all__) <= listed


def test_every_command_and_option_is_on_the_page_of_the_command_line():
    page = commands.markdown()
    assert commands.MARK in (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        for below, leaf in getattr(command, "commands", {"": command}).items():
            title = f"earmark {name} {below}".strip()
            section = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", page, re.M | re.S)
            assert section, title
            for option in leaf.params:
                if option.name != "help" and option.param_type_name == "option":
                    assert option.opts[-1] in section[1], f"{title} {option.opts[-1]}"
    assert "--head <auto|linear|logistic|mlp|prototype>" in page
    assert r"\[default: 5; x>=2\]" in page


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("[a](trust.md#scores)", "[a](/trust.md#scores)"),
        ("[a](../CHANGELOG.md)", "[a](/changelog.md)"),
        ("[a](decisions)", "[a](/decisions/index.md)"),
        (
            "[a](../benchmarks/results/trust.csv)",
            "{download}`a </../benchmarks/results/trust.csv>`",
        ),
        ("[a](https://semver.org)", "[a](https://semver.org)"),
        ("[a](#here)", "[a](#here)"),
        ("[a](nowhere.csv)", "[a](/nowhere.csv)"),
        ("```\n[a](trust.md)\n```\n", "```\n[a](trust.md)\n```\n"),
    ],
)
def test_a_link_leads_somewhere_in_the_site(link, leads_to):
    assert links.in_site(link, DOCS / "page.md") == leads_to
