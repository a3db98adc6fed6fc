"""The page's files as they are served, and what they may hold."""

import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from granite_mlx.decoding.languages import LANGUAGE_NAMES, SPOKEN, TARGETS_FROM_ENGLISH
from granite_mlx.serve.page import page_files, page_routes

LONGEST = 250


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(Starlette(routes=page_routes())) as client:
        yield client


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {name: content.decode() for name, content in page_files().items()}


def test_every_file_is_served_with_its_type_under_a_strict_policy(client, sources):
    for name in sources:
        answer = client.get(f"/page/{name}")
        assert answer.status_code == 200
        assert answer.text == sources[name]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
    assert client.get("/page/app.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/").text == sources["index.html"]


@pytest.mark.parametrize("name", ["", "none.js", "..%2Fpage.py", "..%2F..%2Ferrors.py", "%00"])
def test_nothing_else_is_served(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_nothing_inline_and_nothing_of_others(sources):
    page = sources["index.html"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)
    for name, text in sources.items():
        links = re.findall(r"https?://[\w.]+", text)
        assert set(links) <= {"http://www.w3.org", "http://localhost"}, name
        assert "innerHTML" not in text
        assert "eval(" not in text


def test_every_import_and_link_is_there(sources):
    for name, text in sources.items():
        linked = re.findall(r'from "\./([^"]+)"|"page/([^"]+)"|URL\("\./([^"]+)"', text)
        for found in linked:
            assert "".join(found) in sources, name


def test_every_id_that_the_script_asks_for_is_there(sources):
    for name in set(re.findall(r'part\("([^"]+)"\)', sources["app.js"])):
        assert f'id="{name}"' in sources["index.html"]


def test_files_are_short(sources):
    assert {name for name, text in sources.items() if text.count("\n") > LONGEST} == set()


def test_the_languages_are_the_models(sources):
    spoken, to = re.findall(r"<select.*?</select>", sources["index.html"], re.DOTALL)
    options = re.compile(r'value="(\w+)">([^<]+)')
    assert dict(options.findall(spoken)) == {code: LANGUAGE_NAMES[code] for code in SPOKEN}
    assert dict(options.findall(to)) == LANGUAGE_NAMES
    from_english = re.search(r"FROM_ENGLISH = \[(.*?)\]", sources["settings.js"])
    assert from_english
    assert tuple(re.findall(r'"(\w+)"', from_english[1])) == TARGETS_FROM_ENGLISH
