"""Which MLX operations the hot path is made of, and which back ends have them.

    python -m benchmarks.operations

takes the graphs of the demo checkpoint, floating and quantised, alone and in a batch, apart into
their operations. On the CPU MLX composes its fused ones (`mx.fast`) of others, so those are listed
from what it does not tell: that Metal and CUDA have kernels of their own for them.

MLX never moves an operation that a GPU lacks to the CPU by itself: it raises. What they lack is in
mlx/backend/metal/*.cpp and mlx/backend/cuda/primitives.cpp.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator

import mlx.core as mx

import granite_mlx
from granite_mlx.engine import shared_thread
from granite_mlx.model.row_cache import RowCache
from granite_mlx.speech import GraniteSpeech

LINEAR_ALGEBRA = frozenset("Cholesky Eig Eigh Inverse LUF QRF SVD".split())

MISSING = {
    "CPU": frozenset[str](),
    "Metal": LINEAR_ALGEBRA,
    "CUDA": LINEAR_ALGEBRA - {"Cholesky"} | {"GatedDeltaUpdate", "Send", "Recv"},
}
"""What each back end of MLX 0.32 has no kernel for."""

FUSED = ("LayerNorm", "RMSNorm", "RoPE", "ScaledDotProductAttention")
"""Of `mx.fast`: one kernel each on Metal and CUDA, several operations on the CPU."""

N_FRAMES = (617, 450)  # of a batch of two: blocks, a remainder, and padding


def operations(model: GraniteSpeech) -> Counter[str]:
    """How often each operation occurs from features to tokens; on the MLX thread."""
    return Counter(name for graph in _graphs(model) for name in _names(graph))


def _graphs(model: GraniteSpeech) -> Iterator[str]:
    """The steps of `granite_mlx.recognition`, each as a graph in the language of graphviz."""
    network, text = model.network, model.config.text
    decoder = network.language_model
    n_frames = mx.array(N_FRAMES)
    features = mx.zeros((2, max(N_FRAMES), model.config.encoder.input_dim), network.dtype)
    encoded = network.encoder(features, n_frames)
    audio = network.projector(encoded.frames, n_frames)
    letters = mx.argmax(network.encoder.ctc_logits(encoded.frames), axis=-1)
    yield _graph(audio, letters)

    ids, at = model.prompt_ids("transcribe")
    prompts = [network.embed_prompt(ids, at, row) for row in audio]
    mx.eval(prompts)
    cache = RowCache(text, network.dtype, 2, 512)
    cache.add(2)
    chosen = mx.argmax(decoder.logits(decoder(mx.stack(prompts), cache)[:, -1]), axis=-1)
    yield _graph(chosen)  # a prefill
    n_prompt = len(prompts[0])
    for lengths in ((n_prompt, n_prompt), (n_prompt, n_prompt - 5)):
        cache.keep(lengths)
        for n_tokens in (1, 8):  # a plain step, and a draft; rows alike and not
            embedded = decoder.embed(mx.zeros((2, n_tokens), mx.int32))
            yield _graph(mx.argmax(decoder.logits(decoder(embedded, cache)), axis=-1))
            cache.keep(lengths)


def _graph(*arrays: mx.array) -> str:
    text = io.StringIO()
    mx.export_to_dot(text, *arrays)
    mx.eval(*arrays)
    return text.getvalue()


def _names(graph: str) -> Iterator[str]:
    """The operations of a graph. A compiled one is named after its parts, and counts once."""
    for name in re.findall(r'\[label ="(\w+)", shape=rectangle\]', graph):
        yield "Compiled" if name.startswith("Compiled") else name


def lacking(names: Counter[str]) -> dict[str, list[str]]:
    """By back end, the operations that it has not."""
    return {backend: sorted(missing & names.keys()) for backend, missing in MISSING.items()}


def measure() -> Counter[str]:
    """Of the demo checkpoint as it is and with the recipe q4."""
    counted: Counter[str] = Counter()
    for name in ("demo", "demo:q4"):
        with granite_mlx.load(name) as model:
            counted += shared_thread().run(operations, model)
    return counted


def main() -> None:
    """Print the list."""
    names = measure()
    print(f"in {', '.join(sorted(names))};\nfused on Metal and CUDA: {', '.join(FUSED)}")
    for backend, missing in lacking(names).items():
        print(f"{backend}: {', '.join(missing) or 'has all of them'}")


if __name__ == "__main__":
    main()
