"""A conversion to the Hugging Face hub. huggingface_hub is imported where it is used."""

from __future__ import annotations

from pathlib import Path

from granite_mlx.errors import ConversionError


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
        raise ConversionError(
            f"{repo_id}: the hub does not know you ({_brief(error)}); log in with `hf auth login`."
        ) from error


def upload(folder: Path, repo_id: str) -> str:
    """Upload all files of a folder, to a new repository if need be; returns its address.

    Raises:
        ConversionError: the upload failed. The folder is as it was.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        url = api.create_repo(repo_id, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, commit_message="Upload a granite-mlx conversion"
        )
    except Exception as error:  # as above
        raise ConversionError(
            f"{folder} is whole, but its upload to {repo_id} failed ({_brief(error)})."
        ) from error
    return str(url)


def _brief(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
