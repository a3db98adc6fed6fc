"""A conversion to the Hugging Face hub. huggingface_hub is imported where it is used."""

from __future__ import annotations

from pathlib import Path

from granite_mlx.convert.beside import LOADED
from granite_mlx.errors import ConversionError
from granite_mlx.model.folder import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME
from granite_mlx.model.hub import brief
from granite_mlx.model.shards import INDEX_NAME

REPLACED = (
    "model*.safetensors",
    INDEX_NAME,
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS_NAME,
    *LOADED,
)
"""Patterns of what an upload deletes in the repository unless it brings it: files of an earlier one
that would be loaded together with the new ones."""


def check_upload(repo_id: str) -> None:
    """Whether an upload can succeed, as far as can be told before the conversion.

    Raises:
        ConversionError: the id is malformed, nobody is logged in, or the hub is out of reach.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
        HfApi().whoami()
    except HFValidationError as error:
        raise ConversionError(f"{repo_id!r} is no id of the hub such as owner/name.") from error
    except Exception as error:  # the errors of httpx, the hub and its parser share no other base
        raise ConversionError(f"{repo_id}: {_why_not(error)}") from error


def _why_not(error: Exception) -> str:
    """Why the hub does not tell who we are, and what to do about it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    if isinstance(error, LocalTokenNotFoundError):
        return "nobody is logged in to the hub; log in with `hf auth login`."
    if not isinstance(error, HfHubHTTPError):
        return (
            f"{constants.ENDPOINT} is out of reach ({brief(error)}); connect, or leave out "
            "--upload-repo."
        )
    code = error.response.status_code
    if code in (401, 403):
        return f"the hub does not know you (HTTP {code}); log in anew with `hf auth login`."
    return f"the hub answered with HTTP {code}; try again later, or leave out --upload-repo."


def upload(folder: Path, repo_id: str) -> str:
    """Upload all files of a folder, to a new repository if need be; returns its address.

    Of an earlier checkpoint in the repository nothing stays that would be loaded with this one.

    Raises:
        ConversionError: the upload failed. The folder is as it was.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        url = api.create_repo(repo_id, exist_ok=True)
        api.upload_folder(
            repo_id=url.repo_id,  # with the owner, where only a name was given
            folder_path=folder,
            commit_message="Upload a granite-mlx conversion",
            delete_patterns=list(REPLACED),
        )
    except Exception as error:  # as above
        raise ConversionError(
            f"{folder} is whole, but its upload to {repo_id} failed ({brief(error)})."
        ) from error
    return str(url)
