"""mlx-audio's granite_speech, stage by stage and as a whole, in mlx-audio's own environment.

Stages are timed by calling what its `generate` calls, in the same order. It computes in whatever
its loader and `set_dtype` give.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from benchmarks.contenders.mlx_memory import with_mlx_peak
from benchmarks.contenders.protocol import QUESTION, Answer, Request, serve
from granite_mlx.bench.machine import installed
from granite_mlx.bench.wav import read_wav

PACKAGES = (
    "mlx-audio",
    "mlx",
    "mlx-cpu",
    "mlx-metal",
    "mlx-cuda-12",
    "mlx-cuda-13",
    "transformers",
)
NO_TOKEN = -1


class Worker:
    """Holds the model between requests."""

    def __init__(self) -> None:
        self.model: Any = None

    def load(self, folder: str, dtype: str) -> Answer:
        """Load, and wait for the weights."""
        from mlx_audio.stt import load

        start_s = time.perf_counter()
        self.model = load(folder)
        self.model.set_dtype(getattr(mx, dtype))
        for named in tree_flatten(self.model.parameters()):
            mx.eval(named[1])
            mx.clear_cache()  # or the old type's buffers would stay beside the new one's
        return Answer({"load_s": time.perf_counter() - start_s})

    def stages(self, request: Request) -> Answer:
        """What `generate` calls, each waited for."""
        from mlx_audio.lm.generate import generate_step
        from mlx_audio.lm.sample_utils import make_sampler

        model, samples = self.model, mx.array(read_wav(request.audio))
        clock = Clock()
        features, n_audio = model._extract_features(samples)
        mx.eval(features)
        features_s = clock.lap_s()
        frames = model.encoder(features)
        mx.eval(frames)
        encoder_s = clock.lap_s()
        audio = model.projector(frames)
        mx.eval(audio)
        projector_s = clock.lap_s()
        ids = model._build_prompt(n_audio, QUESTION)
        embedded = model._build_inputs_embeds(ids, audio)
        steps = generate_step(
            prompt=ids,
            input_embeddings=embedded.squeeze(0),
            model=model,
            max_tokens=request.n_tokens,
            sampler=make_sampler(0.0),
            logits_processors=[],
        )
        tokens = [int(next(steps)[0])]
        prefill_s = clock.lap_s()
        tokens += [int(token) for token, _ in steps]
        decode_s = clock.lap_s()
        finish_what_was_begun()
        values = {
            "features_s": features_s,
            "encoder_s": encoder_s,
            "projector_s": projector_s,
            "prefill_s": prefill_s,
            "decode_s": decode_s,
            "n_frames": features.shape[1],
            "n_positions": len(ids),
            "n_tokens": len(tokens),
        }
        return Answer(values, model._tokenizer.decode(tokens, skip_special_tokens=True))

    def end_to_end(self, request: Request) -> Answer:
        """From the file to the text."""
        tokenizer = self.model._tokenizer
        if request.forced:
            # `generate` stops at the tokenizer's end token; an id that no token has is never met.
            self.model._tokenizer = Endless(tokenizer)
        try:
            return self._transcribed(request)
        finally:
            self.model._tokenizer = tokenizer

    def _transcribed(self, request: Request) -> Answer:
        first_token_s: list[float] = []
        start_s = time.perf_counter()
        with noting_the_first_token(first_token_s, start_s):
            result = self.model.generate(
                str(request.audio), max_tokens=request.n_tokens, prompt=QUESTION
            )
        total_s = time.perf_counter() - start_s
        finish_what_was_begun()
        values = {"total_s": total_s}
        if first_token_s:
            values["first_token_s"] = first_token_s[0]
        return Answer(values, result.text.strip())


def finish_what_was_begun() -> None:
    """Wait for the token that it computes ahead and nobody reads; the next request would pay."""
    from mlx_audio.lm.generate import generation_stream

    mx.synchronize(generation_stream)


class Clock:
    """Seconds from lap to lap."""

    def __init__(self) -> None:
        self._last_s = time.perf_counter()

    def lap_s(self) -> float:
        """Since the last one."""
        now_s = time.perf_counter()
        lap_s, self._last_s = now_s - self._last_s, now_s
        return lap_s


class Endless:
    """A tokenizer whose end token no model writes."""

    eos_token_id = NO_TOKEN

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@contextmanager
def noting_the_first_token(times_s: list[float], start_s: float) -> Iterator[None]:
    """Note when `generate_step`, which `generate` imports when it is called, gives a token."""
    from mlx_audio.lm import generate

    original = generate.generate_step

    def noted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for step in original(*args, **kwargs):
            if not times_s:
                times_s.append(time.perf_counter() - start_s)
            yield step

    generate.generate_step = noted
    try:
        yield
    finally:
        generate.generate_step = original


def main() -> None:
    """Answer the harness."""
    worker = Worker()
    kinds = {"stages": worker.stages, "end_to_end": worker.end_to_end}
    serve(installed(PACKAGES), worker.load, kinds, with_mlx_peak)


if __name__ == "__main__":
    main()
