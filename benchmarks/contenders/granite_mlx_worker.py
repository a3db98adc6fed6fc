"""Us: every stage of `granite_mlx`, and `transcribe` as a whole.

Option `speculative`: "off" (plain decoding, the default here) or "exact", as the product has it;
a forced text is always written plainly, since the head's draft of one would mean nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import granite_mlx
from benchmarks.contenders.mlx_memory import with_mlx_peak
from benchmarks.contenders.protocol import QUESTION, Answer, Measure, Request, options, serve
from benchmarks.encoder_profile import profile_encoder
from benchmarks.models import without_end
from benchmarks.sources import our_version
from granite_mlx.audio.features import encoder_input
from granite_mlx.bench.machine import installed
from granite_mlx.bench.stages import time_stages, time_whole
from granite_mlx.bench.wav import read_wav
from granite_mlx.engine import shared_thread
from granite_mlx.speech import GraniteSpeech

PACKAGES = ("mlx", "mlx-cpu", "mlx-metal", "mlx-cuda-12", "mlx-cuda-13", "numpy", "tokenizers")


class Worker:
    """Holds the model between requests. Runs on the MLX thread."""

    def __init__(self) -> None:
        self._model: GraniteSpeech | None = None
        self._speculative = options().get("speculative", "off")

    @property
    def model(self) -> GraniteSpeech:
        """The loaded one."""
        if self._model is None:
            raise RuntimeError("nothing is loaded")
        return self._model

    def load(self, folder: str, dtype: str) -> Answer:
        """Load, and tell how many bytes a decoded token reads of the weights."""
        start_s = time.perf_counter()
        self._model = granite_mlx.load(folder, dtype=dtype)
        load_s = time.perf_counter() - start_s
        return Answer({"load_s": load_s, "token_weight_bytes": token_weight_bytes(self._model)})

    def stages(self, request: Request) -> Answer:
        """Each stage, waited for."""
        times = time_stages(self.model, read_wav(request.audio), request.n_tokens, QUESTION)
        return Answer(
            {
                "features_s": times.features_s,
                "encoder_s": times.encoder_s,
                "projector_s": times.projector_s,
                "prefill_s": times.prefill_s,
                "decode_s": times.decode_s,
                "n_frames": times.n_frames,
                "n_positions": times.n_positions,
                "n_tokens": times.n_tokens,
            },
            self.model.tokenizer.decode(times.ids),
        )

    def end_to_end(self, request: Request) -> Answer:
        """From the file to the text."""
        if not request.forced:
            return self._transcribed(self.model, request)
        with without_end(self.model):
            return self._transcribed(self.model, request)

    def _transcribed(self, speech: GraniteSpeech, request: Request) -> Answer:
        times = time_whole(
            speech,
            request.audio,
            max_new_tokens=request.n_tokens,
            speculative="off" if request.forced else self._speculative,
        )
        values = {"total_s": times.total_s}
        if times.first_token_s is not None:
            values["first_token_s"] = times.first_token_s
        return Answer(values, times.text)

    def profile(self, request: Request) -> Answer:
        """Where the encoder's time goes, each kind of operation on its own."""
        speech = self.model
        features = encoder_input(read_wav(request.audio), speech.features, speech.network.dtype)
        return Answer(profile_encoder(speech.network.encoder, speech.config.encoder, features))


def token_weight_bytes(speech: GraniteSpeech) -> int:
    """Of the language model's weights, those that every token reads: all but an untied table."""
    skipped = () if speech.config.tie_word_embeddings else ("language_model.model.embed_tokens.",)
    return sum(
        array.nbytes
        for name, array in speech.network.named_parameters()
        if name.startswith("language_model.") and not name.startswith(skipped)
    )


def versions() -> dict[str, str]:
    """Ours is that of the sources, not of an installed package."""
    return {"granite-mlx": our_version(), **installed(PACKAGES)}


def main() -> None:
    """Answer the harness, all of it on the thread on which MLX runs."""
    worker = Worker()
    kinds: Mapping[str, Measure] = {"end_to_end": worker.end_to_end}
    if not options().get("end_to_end_only"):
        kinds = {"stages": worker.stages, **kinds, "profile": worker.profile}
    shared_thread().run(serve, versions(), worker.load, kinds, with_mlx_peak)


if __name__ == "__main__":
    main()
