from pathlib import Path

import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import SpeechConfig, parse_config
from granite_mlx.model.family import FAMILY_KEY, checkpoint_family, model_family

from .tiny import CONFIG, changed

PLAIN = parse_config(CONFIG)
YARN = parse_config(
    changed("text_config.rope_parameters", {"rope_type": "yarn", "factor": 4.0})
)  # fmt: skip
CONCATENATING = changed("encoder_config.cat_hidden_layers", [1])
PLUS = parse_config(changed("projector_config.encoder_hidden_size", 52, CONCATENATING))


@pytest.mark.parametrize(
    ("name", "config", "has_second_head", "family"),
    [
        ("granite-4.0-1b-speech", PLAIN, False, "4.0"),
        ("granite-speech-4.1-2b", PLAIN, True, "4.1"),
        ("granite-speech-4.1-2b:q8", PLAIN, False, "4.1"),
        ("granite-speech-4.1-2b-plus", PLUS, False, "4.1-plus"),
        ("granite-speech-5.0-2b", YARN, True, "5.0"),
        ("granite-speech-5.0-2b-q8", PLAIN, False, "5.0"),
        # Names that do not tell: of folders, and of conversions.
        ("model", PLUS, True, "4.1-plus"),
        ("model", YARN, True, "5.0"),
        ("model", PLAIN, True, "4.1"),
        ("model", PLAIN, False, "4.0"),
        ("demo", PLAIN, False, "4.0"),
        ("run-14.0", PLAIN, True, "4.1"),
        ("run-4.01", PLAIN, True, "4.1"),
        # A later revision of a model with another context.
        ("granite-speech-4.1-2b", YARN, True, "4.1"),
    ],
)
def test_families(name: str, config: SpeechConfig, has_second_head: bool, family: str) -> None:
    assert model_family(name, config, has_second_head) == family


def test_what_config_json_says_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "granite-4.0-1b-speech"
    assert checkpoint_family(folder, CONFIG, PLAIN) == "4.0"
    assert checkpoint_family(folder, CONFIG | {FAMILY_KEY: "4.1"}, PLAIN) == "4.1"
    with pytest.raises(CheckpointError, match=rf"{FAMILY_KEY} is '6.0', and known are 4.0, 4.1"):
        checkpoint_family(folder, CONFIG | {FAMILY_KEY: "6.0"}, PLAIN)


def test_the_name_in_the_hubs_cache_is_that_of_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "models--ibm-granite--granite-speech-5.0-2b" / "snapshots" / "0123"
    assert checkpoint_family(folder, CONFIG, PLAIN) == "5.0"
