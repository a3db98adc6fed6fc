"""The reference features in torch: `torch.stft` and an HTK mel bank (there is no CPU torchaudio)."""

import math

import torch
from torch import Tensor


def mel_bank(
    n_mels: int = 80, n_fft: int = 512, sample_rate: int = 16000, warp: float = 1.0
) -> Tensor:
    """(n_fft / 2 + 1, n_mels), as torchaudio.functional.melscale_fbanks(norm=None, mel_scale="htk").

    With a `warp` every sound is taken for `warp` times as high: a shorter or longer vocal tract.
    """
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    points = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    bins = warp * torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    gap = points.diff()
    slopes = points[None] - bins[:, None]
    return torch.minimum(-slopes[:, :-2] / gap[:-1], slopes[:, 2:] / gap[1:]).clamp(min=0)


_BANK = mel_bank()
WARPS = tuple(1.05**i for i in range(-2, 6))  # 0.91 to 1.28
_WARPED = torch.stack([mel_bank(warp=w) for w in WARPS])
_WINDOW = torch.hann_window(400)


def log_mel(samples: Tensor, warps: Tensor | None = None) -> Tensor:
    """(B, n_samples) -> (B, T, 160) at 50 Hz, normalised as GraniteSpeechFeatureExtractor does.

    `warps` (B,) are indices into `WARPS`: vocal tract length perturbation (Jaitly and Hinton, 2013).
    """
    bank = _BANK if warps is None else _WARPED[warps]
    spectrum = torch.stft(samples, 512, 160, 400, _WINDOW, center=True, pad_mode="reflect",
                          return_complex=True)  # fmt: skip
    mel = spectrum.abs().square().transpose(1, 2) @ bank
    logmel = mel.clip(min=1e-10).log10()
    logmel = torch.maximum(logmel, logmel.amax((1, 2), keepdim=True) - 8) / 4 + 1
    n_frames = logmel.shape[1] // 2 * 2
    return logmel[:, :n_frames].reshape(len(samples), -1, 160)
