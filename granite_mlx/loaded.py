"""A checkpoint in memory: its parts, the thread that they belong to, and their end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Self

import mlx.core as mx

from granite_mlx.audio.features import FeatureConfig
from granite_mlx.biasing.prompting import TERMS_PER_PROMPT, largest
from granite_mlx.ctc.second_head import SecondHead
from granite_mlx.decoding.budget import answer_rate, longest_audio_s
from granite_mlx.decoding.prompts import Task, instruction, system_prompt
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread
from granite_mlx.idle import IdleWatch
from granite_mlx.listening import Listener
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.family import Family
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES
from granite_mlx.options import whole_number
from granite_mlx.recognition import Recogniser
from granite_mlx.running import Checkpoint
from granite_mlx.scheduling import Scheduler
from granite_mlx.segments.limits import SMALLEST_GREATEST_S, SegmentLimits

MOST_REQUESTS = 1_000_000
"""A larger limit is none."""


class LoadedModel:
    """The networks and what belongs to them; what they are asked is the business of a subclass.

    `reopen` reads the same checkpoint again, on the MLX thread; without it the weights stay.
    """

    def __init__(
        self,
        model_id: str,
        family: Family,
        config: SpeechConfig,
        features: FeatureConfig,
        tokenizer: SpeechTokenizer,
        network: SpeechModel,
        thread: MLXThread,
        second_head: SecondHead | None = None,
        segment_limits: SegmentLimits | None = None,
        keywords_per_prompt: int = TERMS_PER_PROMPT,
    ) -> None:
        self.model_id = model_id
        self.config = config
        self.features = features
        self.tokenizer = tokenizer
        self._network: SpeechModel | None = network
        self._is_closed = False
        self._dtype = ""
        self._idle: IdleWatch | None = None
        self.reopen: Callable[[], LoadedModel] | None = None
        self.family = family
        self._thread = thread
        self._second_head = second_head
        self.segment_limits = segment_limits or SegmentLimits()
        self.keywords_per_prompt = keywords_per_prompt
        self._scheduler = Scheduler(thread, self._recogniser, self._touch)

    @property
    def network(self) -> SpeechModel:
        """The weights, for work on the MLX thread; read again where they were unloaded.

        RuntimeError once the model is closed.
        """
        self._check_open()
        if self._network is None:
            self._thread.run(self._wake)
        assert self._network is not None
        return self._network

    @property
    def dtype(self) -> str:
        """The weights' type: "bfloat16", say."""
        self._check_open()
        if self._network is None:
            return self._dtype
        return next(name for name, dtype in DTYPES.items() if dtype == self._network.dtype)

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._network is not None

    @property
    def max_duration_s(self) -> float:
        """The longest stretch, in seconds, that the model hears at once."""
        return self._longest_audio_s(Task(), None)

    def prompt_ids(self, instruction: str) -> tuple[list[int], int]:
        """Token ids of the prompt around an instruction, and where in it the audio belongs."""
        prompt = self.tokenizer.prompt(instruction, system_prompt(self.family))
        return self.tokenizer.encode_prompt(prompt)

    def close(self) -> None:
        """Free the weights. The model cannot be used afterwards; closing it twice does no harm.

        Calls of other threads that wait for it raise RuntimeError.
        """
        if self._idle is not None:
            self._idle.stop()
        self._thread.run(self._close)

    def unload(self) -> bool:
        """Free the weights until the model is used again; a call then takes longer to begin.

        Nothing happens while it is at work. Whether the weights are gone.
        """
        self._check_open()
        return self._thread.run(self._unload)

    def unload_when_idle(self, idle_s: float | None) -> None:
        """Likewise by itself, whenever the model was not used for so many seconds; None: never.

        Raises:
            ValueError: not more than 0.
        """
        if idle_s is not None and not idle_s > 0:
            raise ValueError(f"idle_s must be more than 0, not {idle_s}.")
        self._check_open()
        if self._idle is not None:
            self._idle.stop()
        self._idle = None if idle_s is None else IdleWatch(idle_s, self._unload_if_idle)

    def limit_requests(self, most: int | None) -> None:
        """Refuse calls with `BusyError` while so many are at work; None has all of them wait.

        A stream counts from its first segment to its last. Live sessions do not count.

        Raises:
            TypeError, ValueError: no whole number, or less than 1.
        """
        if most is not None:
            most = whole_number("most", most, MOST_REQUESTS)
        self._scheduler.most_requests = most

    @property
    def n_requests(self) -> int:
        """Calls that are at work or wait."""
        return self._scheduler.n_requests

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _listener(self) -> Listener:
        return Listener(
            self.family, self.tokenizer, self._thread, self._scheduler, self._recogniser
        )

    def _recogniser(self, checkpoint: Checkpoint) -> Recogniser:
        self._touch()
        return Recogniser(
            self.network, self.config, self.features, self.tokenizer, self._second_head, checkpoint
        )

    def _checked_limit_s(self, task: Task, max_new_tokens: int | None) -> float:
        """How many seconds of audio there is room for; ValueError where there is none."""
        limit_s = self._longest_audio_s(task, max_new_tokens)
        if limit_s < SMALLEST_GREATEST_S:
            raise ValueError(
                "keywords and max_new_tokens leave no room for audio in the model's context of "
                f"{self.config.text.max_position_embeddings} tokens; give fewer."
            )
        return limit_s

    def _longest_audio_s(self, task: Task, max_new_tokens: int | None) -> float:
        longest = instruction(largest(task, self.keywords_per_prompt), self.family)
        n_text_tokens = len(self.prompt_ids(longest)[0])
        frames_per_second, rate = self.features.frames_per_second, answer_rate(task)
        return longest_audio_s(self.config, frames_per_second, n_text_tokens, max_new_tokens, rate)

    def _check_open(self) -> None:
        """Nothing is begun for a closed model."""
        if self._is_closed:
            raise RuntimeError(f"the model {self.model_id} is closed; load it again.")

    def _touch(self) -> None:
        if self._idle is not None:
            self._idle.touch()

    def _close(self) -> None:
        self._is_closed = True
        self._scheduler.stop(RuntimeError(f"the model {self.model_id} was closed meanwhile."))
        self._free()

    def _unload_if_idle(self) -> None:
        """Called by the watch, on its own thread."""
        with contextlib.suppress(RuntimeError):  # the model was closed, or the process was forked
            self._thread.run(self._unload)

    def _unload(self) -> bool:
        if self.reopen is None or not self._scheduler.is_idle or self._is_closed:
            return False
        if self._network is not None:
            self._dtype = self.dtype
            self._free()
        return True

    def _wake(self) -> None:
        if self._network is None and self.reopen is not None:
            again = self.reopen()
            self._network, self._second_head = again._network, again._second_head

    def _free(self) -> None:
        self._network = self._second_head = None
        mx.clear_cache()
