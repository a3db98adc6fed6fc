"""The second pass: questions about a transcript, asked of a Granite text model in a second call.

    from granite_mlx.second_pass import SecondPass, load_text_model
    second = SecondPass(load_text_model())          # needs the extra `ask`
    print(second.ask(transcript, "What was decided?").text)

Importing this module loads nothing heavy: the models are fetched when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from granite_mlx.second_pass.answers import Answer, AnswerWarning, Citation
from granite_mlx.second_pass.asking import SecondPass
from granite_mlx.second_pass.cleaning import cleaned
from granite_mlx.second_pass.quotes import Quote
from granite_mlx.second_pass.tasks import (
    TASKS,
    Task,
    load_task,
    read_schema,
    task_of_prompt,
    write_tasks,
)
from granite_mlx.second_pass.text_model import Piece, TextModel

if TYPE_CHECKING:
    from granite_mlx.second_pass.mlx_lm_model import MlxLmModel, load_text_model
    from granite_mlx.second_pass.speech_decoder import SpeechDecoder

__all__ = [
    "TASKS",
    "Answer",
    "AnswerWarning",
    "Citation",
    "MlxLmModel",
    "Piece",
    "Quote",
    "SecondPass",
    "SpeechDecoder",
    "Task",
    "TextModel",
    "cleaned",
    "load_task",
    "load_text_model",
    "read_schema",
    "task_of_prompt",
    "write_tasks",
]

_LAZY = {
    "MlxLmModel": "granite_mlx.second_pass.mlx_lm_model",
    "load_text_model": "granite_mlx.second_pass.mlx_lm_model",
    "SpeechDecoder": "granite_mlx.second_pass.speech_decoder",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'granite_mlx.second_pass' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
