"""The second pass: questions about a transcript, asked of a Granite text model in a second call.

    from granite_mlx.second_pass import SecondPass, load_text_model
    second = SecondPass(load_text_model())          # needs the extra `ask`
    print(second.ask(transcript, "What was decided?").text)

Importing this module loads nothing heavy.
"""

from granite_mlx.second_pass.answers import Answer, AnswerWarning, Citation
from granite_mlx.second_pass.asking import SecondPass
from granite_mlx.second_pass.cleaning import cleaned
from granite_mlx.second_pass.mlx_lm_model import MlxLmModel, load_text_model
from granite_mlx.second_pass.quotes import Quote
from granite_mlx.second_pass.speech_decoder import SpeechDecoder
from granite_mlx.second_pass.tasks import (
    TASKS,
    Task,
    load_task,
    read_schema,
    task_of_prompt,
    write_tasks,
)
from granite_mlx.second_pass.text_model import Piece, TextModel

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
