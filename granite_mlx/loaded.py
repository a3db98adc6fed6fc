"""A checkpoint in memory: its parts, the thread that they belong to, and their end."""

from __future__ import annotations

from typing import Self

import mlx.core as mx

from granite_mlx.audio.features import FeatureConfig
from granite_mlx.biasing.prompting import TERMS_PER_PROMPT, largest
from granite_mlx.ctc.second_head import SecondHead
from granite_mlx.decoding.budget import answer_rate, longest_audio_s
from granite_mlx.decoding.prompts import Task, instruction, system_prompt
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread
from granite_mlx.listening import Checkpoint, Listener
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.family import Family
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES
from granite_mlx.recognition import Recogniser
from granite_mlx.segments.limits import SMALLEST_GREATEST_S, SegmentLimits


class LoadedModel:
    """The networks and what belongs to them; what they are asked is the business of a subclass."""

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
        self.family = family
        self._thread = thread
        self._second_head = second_head
        self.segment_limits = segment_limits or SegmentLimits()
        self.keywords_per_prompt = keywords_per_prompt

    @property
    def network(self) -> SpeechModel:
        """The weights, for work on the MLX thread. RuntimeError once the model is closed."""
        if self._network is None:
            raise RuntimeError(f"the model {self.model_id} is closed; load it again.")
        return self._network

    @property
    def dtype(self) -> str:
        """The weights' type: "bfloat16", say."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.network.dtype)

    @property
    def max_duration_s(self) -> float:
        """The longest stretch, in seconds, that the model hears at once."""
        return self._longest_audio_s(Task(), None)

    def prompt_ids(self, instruction: str) -> tuple[list[int], int]:
        """Token ids of the prompt around an instruction, and where in it the audio belongs."""
        prompt = self.tokenizer.prompt(instruction, system_prompt(self.family))
        return self.tokenizer.encode_prompt(prompt)

    def close(self) -> None:
        """Free the weights. The model cannot be used afterwards; closing it twice does no harm."""
        self._thread.run(self._unload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _listener(self) -> Listener:
        return Listener(self.family, self.tokenizer, self._thread, self._recogniser)

    def _recogniser(self, checkpoint: Checkpoint) -> Recogniser:
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

    def _unload(self) -> None:
        self._network = self._second_head = None
        mx.clear_cache()
