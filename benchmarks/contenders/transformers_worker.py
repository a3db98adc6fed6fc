"""transformers' GraniteSpeech on torch, stage by stage and as a whole, in its own environment.

Features are computed with `torch.stft`, so that torchaudio is not needed; the rest is what
`generate` does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.contenders.protocol import QUESTION, Answer, Request, serve, with_resident_peak
from granite_mlx.bench.machine import installed
from granite_mlx.bench.wav import read_wav

PACKAGES = ("transformers", "torch", "tokenizers")
N_FFT, HOP, WINDOW, N_MELS, SAMPLE_RATE = 512, 160, 400, 80, 16000


class Worker:
    """Holds the model between requests."""

    def __init__(self) -> None:
        self.model: Any = None
        self.tokenizer: Any = None
        self.device = device()

    def load(self, folder: str, dtype: str) -> Answer:
        """Load model and tokenizer."""
        from transformers import AutoTokenizer, GraniteSpeechForConditionalGeneration

        start_s = time.perf_counter()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = GraniteSpeechForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, dtype)
        )
        self.model = model.eval().to(self.device)
        wait(self.device)
        return Answer({"load_s": time.perf_counter() - start_s})

    def stages(self, request: Request) -> Answer:
        """Each stage, waited for; the decoder through `generate`, from embeddings."""
        model, samples = self.model, torch.from_numpy(read_wav(request.audio))
        features, features_s = self._timed(lambda: self._features(samples))
        frames, encoder_s = self._timed(lambda: model.model.encoder(features).last_hidden_state)
        audio, projector_s = self._timed(lambda: model.model.projector(frames))
        start_s = time.perf_counter()
        ids = self._prompt(audio.shape[1])
        is_audio = ids == model.config.audio_token_id
        embedded = model.get_input_embeddings()(ids.masked_fill(is_audio, 0))
        embedded[is_audio] = audio[0].to(embedded.dtype)
        times_s = Times(start_s)
        tokens = model.generate(
            inputs_embeds=embedded,
            attention_mask=torch.ones_like(ids),
            streamer=times_s,
            **self._length(request.n_tokens, forced=True),
        )[0]
        values = {
            "features_s": features_s,
            "encoder_s": encoder_s,
            "projector_s": projector_s,
            "prefill_s": times_s.tokens[0],
            "decode_s": times_s.tokens[-1] - times_s.tokens[0],
            "n_frames": features.shape[1],
            "n_positions": ids.shape[1],
            "n_tokens": len(times_s.tokens),
        }
        return Answer(values, self.tokenizer.decode(tokens, skip_special_tokens=True))

    def end_to_end(self, request: Request) -> Answer:
        """From the file to the text."""
        start_s = time.perf_counter()
        features = self._features(torch.from_numpy(read_wav(request.audio)))
        ids = self._prompt(n_audio_tokens(self.model.config, features.shape[1]))
        times_s = Times(start_s)
        tokens = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=features,
            streamer=times_s,
            **self._length(request.n_tokens, request.forced),
        )[0, ids.shape[1] :]
        text = self.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        total_s = time.perf_counter() - start_s
        return Answer({"total_s": total_s, "first_token_s": times_s.tokens[0]}, text)

    def _features(self, samples: torch.Tensor) -> torch.Tensor:
        return log_mel(samples.to(self.device)).to(self.model.dtype)

    def _prompt(self, n_audio: int) -> torch.Tensor:
        """(1, n) token ids of the conversation, with a place for each audio token."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": f"<|audio|>{QUESTION}"}],
            tokenize=False,
            add_generation_prompt=True,
        ).replace("<|audio|>", "<|audio|>" * n_audio)
        encoded = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        ids: torch.Tensor = encoded.input_ids.to(self.device)
        return ids

    def _length(self, n_tokens: int, forced: bool) -> dict[str, Any]:
        """What `generate` is told: greedy, and with `forced` no token that ends the text early."""
        least = {"min_new_tokens": n_tokens} if forced else {}
        pad = self.tokenizer.pad_token_id
        return {"do_sample": False, "max_new_tokens": n_tokens, "pad_token_id": pad, **least}

    def _timed(self, compute: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        start_s = time.perf_counter()
        tensor = compute()
        wait(self.device)
        return tensor, time.perf_counter() - start_s


class Times:
    """A streamer for `generate` that notes when each token comes, behind the prompt."""

    def __init__(self, start_s: float) -> None:
        self.tokens: list[float] = []
        self._start_s, self._has_prompt = start_s, False

    def put(self, value: torch.Tensor) -> None:
        """The prompt, and then a token at a time."""
        if self._has_prompt:
            self.tokens.append(time.perf_counter() - self._start_s)
        self._has_prompt = True

    def end(self) -> None:
        """Nothing more comes."""


def device() -> str:
    """Where torch computes: a GPU if there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def wait(where: str) -> None:
    """Until the GPU has done what it was given."""
    if where == "cuda":
        torch.cuda.synchronize()
    elif where == "mps":
        torch.mps.synchronize()


def n_audio_tokens(config: Any, n_frames: int) -> int:
    """Audio tokens of so many encoder frames."""
    n_windows: int = math.ceil(n_frames / config.window_size)
    return n_windows * int(config.window_size // config.downsample_rate)


def log_mel(samples: torch.Tensor) -> torch.Tensor:
    """GraniteSpeechFeatureExtractor's arithmetic: (n,) samples -> (1, T, 160)."""
    spectrum = torch.stft(
        samples[None], N_FFT, HOP, WINDOW, torch.hann_window(WINDOW, device=samples.device),
        center=True, pad_mode="reflect", return_complex=True,
    )  # fmt: skip
    power = spectrum.abs().square().transpose(1, 2)
    logmel = (power @ filters().to(samples.device)).clip(min=1e-10).log10()
    logmel = torch.maximum(logmel, logmel.amax((1, 2), keepdim=True) - 8) / 4 + 1
    return logmel[:, : logmel.shape[1] // 2 * 2].reshape(1, -1, 2 * N_MELS)


def filters() -> torch.Tensor:
    """(bins, mels): triangles on HTK's mel scale."""
    half = SAMPLE_RATE / 2
    points = torch.linspace(0, 2595 * math.log10(1 + half / 700), N_MELS + 2, dtype=torch.float64)
    corners = 700 * (10 ** (points / 2595) - 1)
    bins = torch.linspace(0, half, N_FFT // 2 + 1, dtype=torch.float64)
    slopes, gaps = corners[None] - bins[:, None], corners.diff()
    bank = torch.minimum(-slopes[:, :-2] / gaps[:-1], slopes[:, 2:] / gaps[1:])
    return bank.clamp(min=0).float()


def with_peaks(work: Callable[[], Answer]) -> Answer:
    """Add the largest resident size, and what a GPU held."""
    if not torch.cuda.is_available():
        return with_resident_peak(work)
    torch.cuda.reset_peak_memory_stats()
    answer = with_resident_peak(work)
    peak_bytes = torch.cuda.max_memory_allocated()
    return Answer({**answer.values, "peak_device_bytes": peak_bytes}, answer.text)


def main() -> None:
    """Answer the harness."""
    worker = Worker()
    kinds = {"stages": worker.stages, "end_to_end": worker.end_to_end}
    with torch.inference_mode():
        serve(installed(PACKAGES), worker.load, kinds, with_peaks)


if __name__ == "__main__":
    main()
