"""The server against its own OpenAPI document: schemathesis asks all that it allows, and more."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from granite_mlx.serve.openapi import openapi

from .asking import Address, silence

schema = schemathesis.openapi.from_dict(openapi())
quick = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RECORDING = silence(0.2)
ENOUGH_S = 60


@schema.parametrize()
@quick
def test_answers_are_as_described(case: schemathesis.Case, address: Address) -> None:
    # What is generated is seldom a recording, a transcript or the name of the model.
    case.call_and_validate(
        base_url=address.url, excluded_checks=[positive_data_acceptance], timeout=ENOUGH_S
    )


@schema.include(path_regex="^/v1/audio/").parametrize()
@quick
def test_real_recordings_with_any_fields(case: schemathesis.Case, address: Address) -> None:
    """The answer is a transcript as described, or names what is wrong."""
    case.body = {**case.body, "file": RECORDING} if isinstance(case.body, dict) else {}
    response = case.call(base_url=address.url, timeout=ENOUGH_S)
    case.validate_response(
        response, excluded_checks=[positive_data_acceptance, negative_data_rejection]
    )
    assert response.status_code in (200, 400, 404, 405, 415)


def test_it_is_served(address: Address) -> None:
    assert address.ask("GET", "/openapi.json").json == json.loads(json.dumps(openapi()))


def test_the_page_shows_all_of_it(address: Address) -> None:
    answer = address.ask("GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    document = openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in answer.text
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                for name in content["schema"].get("properties", {}):
                    assert f"<code>{name}</code>" in answer.text
    for word in ("<script", "<style", "style=", "http://", "https://"):
        assert word not in answer.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health", "/"])
def test_pages_are_for_reading(address: Address, path: str) -> None:
    answer = address.ask("POST", path, b"x")
    assert answer.status == 405
    assert answer.error["code"] == "unknown_url"
