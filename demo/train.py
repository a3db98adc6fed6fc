"""Trains the demo checkpoint in four phases, two of which run side by side.

    python -m demo.train encoder --steps 1500 &   # CTC over characters, then over tokens as well
    python -m demo.train decoder --steps 1500     # the decoder on imitated audio, text only
    python -m demo.train joint   --steps 5000     # everything, on two processes
    python -m demo.train answers --steps 1000     # the decoder alone, on what the encoder hears

Each phase saves every 100 steps to demo/work/PHASE.pt and goes on from there when started again.
Where those files are gone, `--checkpoint FOLDER` makes any phase go on from exported weights.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import GraniteSpeechForConditionalGeneration

from demo import imitation, joins, tokens
from demo.batches import Batch, Corpus, Rows, Share, stream
from demo.corpus import NamePools, read_pools
from demo.guide import ListGuide
from demo.model import AUDIO, EOS, PAD, build, encode, n_audio_tokens
from demo.muon import MuonAdamW

Model = GraniteSpeechForConditionalGeneration
Loss = dict[str, Tensor]

RANDOM_STRINGS, ROLL_CALLS = 0.1, 0.3
"""Shares of the decoder's batches of texts, after the first ones: strings of random tokens, and names
with their lists. In sentences alone, lists of ten were not read after 2,500 steps: each has one
name to learn from."""

GUIDANCE = 0.2
"""Weight of the guide's loss (`demo.guide`) beside the cross-entropy of the answers."""


class Recipe:
    """What every phase needs: model, tokenizer, names, corpora, and the losses over them."""

    def __init__(
        self, work: Path, seed: int, rank: int, n_processes: int, joined: float = 0.0
    ) -> None:
        self.work, self.seed, self.rank, self.joined = work, seed, rank, joined
        self.share = Share(rank, n_processes, np.random.default_rng())
        self.pools: NamePools = read_pools(work / "names.json")
        self.tokenizer = self._tokenizer(seed)
        self.pad, self.eos, self.audio = map(self.tokenizer.token_to_id, (PAD, EOS, AUDIO))
        torch.manual_seed(seed)
        self.model: Model = build(self.pad, self.eos, self.audio)
        self.guide = ListGuide(self.model.model.language_model)
        self.rng = np.random.default_rng()
        self.prefix = self.tokenizer.encode(tokens.PREFIX).ids

    def _tokenizer(self, seed: int):
        path = self.work / "tokenizer.json"
        if not path.exists():
            tokens.train(self.pools, seed).save(str(path))
        return tokens.load(path)

    def reseed(self, step: int) -> None:
        """Make what is drawn from here on follow from the seed and the step that is resumed."""
        seeds = [self.seed, self.rank, step]
        for rng, own in ((self.rng, seeds), (self.share.plan_rng, [self.seed, step])):
            rng.bit_generator.state = np.random.default_rng(own).bit_generator.state
        torch.manual_seed(hash(tuple(seeds)) % 2**31)

    @property
    def table(self) -> Tensor:
        return self.model.model.language_model.embed_tokens.weight

    def batches(self, size: int, n_questions: int = 1) -> Iterator[Batch]:
        sets = ("en", "fr", "names_en", "names_fr", "digits")
        corpora = [Corpus.open(self.work / f"train_{s}") for s in sets]
        drawn_with = (size, self.tokenizer, self.pools, self.rng, self.share, n_questions)
        usual = stream(corpora, *drawn_with)
        return (
            self._mixed(usual, joins.stream(joins.Joins(self.work), *drawn_with))
            if self.joined
            else usual
        )

    def _mixed(self, usual: Iterator[Batch], joined: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            yield next(joined if self.share.plan_rng.random() < self.joined else usual)

    def letter_losses(self, hidden: Tensor, mid: Tensor, r: Rows) -> Loss:
        last = self.model.model.encoder.out(hidden)
        return {"ctc": ctc(last, r.letters, 0), "mid": ctc(mid, r.letters, 0)}

    def token_loss(self, projected: Tensor, r: Rows, table: Tensor) -> Tensor:
        """CTC over tokens with the embedding table as classifier: audio becomes like embeddings."""
        sharpness = 16.0 / table.detach().square().sum(-1).mean()
        return ctc(sharpness * projected.float() @ table.T, r.heard, self.pad)

    def answer_losses(self, audio: Tensor, r: Rows) -> tuple[Tensor, Tensor]:
        """Of the answers after `USER: <audio> instruction ASSISTANT:`: cross-entropy, and the guide's."""
        n_prefix, n_audio = len(self.prefix), audio.shape[1]
        texts = [p + a for p, a in zip(r.prompts, r.answers, strict=True)]
        width = max(map(len, texts))
        ids = torch.tensor([t + [self.pad] * (width - len(t)) for t in texts])
        prefix = self.table[torch.tensor(self.prefix)].expand(len(texts), -1, -1)
        embeds = torch.cat([prefix, audio, F.embedding(ids, self.table)], dim=1)
        hidden = self.model.model.language_model(
            inputs_embeds=embeds, use_cache=False
        ).last_hidden_state[:, n_prefix + n_audio - 1 : -1]
        position = torch.arange(width)[None]
        start = torch.tensor([len(p) for p in r.prompts])[:, None]
        end = torch.tensor([len(t) for t in texts])[:, None]
        chosen = (position >= start) & (position < end)
        logits = hidden[chosen] @ self.table.T / self.model.config.text_config.logits_scaling
        written = F.cross_entropy(logits.float(), ids[chosen])
        return written, self._list_loss(n_prefix + n_audio, r)

    def _list_loss(self, begin: int, r: Rows) -> Tensor:
        """The guide's loss over all listed terms of the answers; the prompts start at `begin`."""
        places = [(row, begin + len(prompt) + a - 1, begin + p)
                  for row, (prompt, pairs) in enumerate(zip(r.prompts, r.listed, strict=True))
                  for a, p in pairs]  # fmt: skip
        return self.guide.loss(*torch.tensor(places, dtype=torch.long).reshape(-1, 3).unbind(1))


def named(losses: Loss, batch: Batch) -> Loss:
    """Those of joined speech have names of their own, to be looked at apart."""
    return {f"{name}+": value for name, value in losses.items()} if batch.is_joined else losses


def ctc(logits: Tensor, targets: list[list[int]], blank: int) -> Tensor:
    """Mean CTC loss per target symbol; logits (B, T, V)."""
    lengths = torch.tensor([len(t) for t in targets])
    flat = torch.tensor([i for t in targets for i in t], dtype=torch.long)
    frames = torch.full((len(targets),), logits.shape[1])
    log_p = logits.float().log_softmax(-1).transpose(0, 1)
    total = F.ctc_loss(log_p, flat, frames, lengths, blank, reduction="sum", zero_infinity=True)
    return total / max(1, len(flat))


def encoder_phase(recipe: Recipe, size: int, tokens_after: int) -> Callable[[int], Loss]:
    """Character CTC; later also token CTC against the decoder phase's embeddings as they stand."""
    batches, core = recipe.batches(size), recipe.model.model
    table: list[Tensor] = []

    def loss(step: int) -> Loss:
        batch = next(batches)
        hidden, mid = encode(core.encoder, batch.features)
        losses = recipe.letter_losses(hidden, mid, batch.rows)
        losses["mid"] = 0.3 * losses["mid"]
        if step >= tokens_after:
            if not table or step % 100 == 0:
                table[:] = [_decoder_table(recipe)]
            losses["tok"] = recipe.token_loss(core.projector(hidden), batch.rows, table[0])
        return named(losses, batch)

    return loss


def _decoder_table(recipe: Recipe) -> Tensor:
    """The decoder phase's. Joined speech is for a model that is trained already: its own."""
    if recipe.joined:
        return recipe.table.detach()
    state = torch.load(recipe.work / "decoder.pt", weights_only=True)["model"]
    return state["model.language_model.embed_tokens.weight"]


def decoder_phase(
    recipe: Recipe, size: int, copy_steps: int = 0, names_until: int = 0
) -> Callable[[int], Loss]:
    """The decoder alone: audio is imitated by the transcript's embeddings, blanks and noise.

    Sentences are predictable, so a decoder that reads only them learns their grammar and never
    looks at the audio. Strings of random tokens can only be copied: they come first, and some
    batches are made of them later on. Others are names and lists of names and nothing else.
    """
    sentences = imitation.texts(recipe, size, imitation.questions)
    names = imitation.texts(recipe, size, imitation.roll_calls)

    def loss(step: int) -> Loss:
        kind = recipe.rng.random()
        if step < copy_steps or kind < RANDOM_STRINGS:
            name, r = "copy", imitation.random_strings(recipe, size)
        elif step < names_until or kind < RANDOM_STRINGS + ROLL_CALLS:
            name, r = "names", next(names)
        else:
            name, r = "ce", next(sentences)
        roughness = min(1.0, step / max(1, copy_steps))
        if name == "names":  # what is hard here is the list: now and then it is heard clearly
            roughness *= recipe.rng.random() ** 2
        written, looked_up = recipe.answer_losses(imitation.imitate(recipe, r, roughness), r)
        return {name: written, "list": GUIDANCE * looked_up}

    return loss


def joint_phase(recipe: Recipe, size: int, n_answers: int) -> Callable[[int], Loss]:
    """All losses at once: characters and tokens of every row, answers of the first `n_answers`.

    Without a few texts of the decoder phase beside them, the decoder unlearns to copy what is
    unlikely: its loss over random strings rose from 0.5 to 3.6 in one joint phase.
    """
    batches, core = recipe.batches(size), recipe.model.model
    texts = decoder_phase(recipe, n_answers)

    def loss(step: int) -> Loss:
        batch = next(batches)
        hidden, mid = encode(core.encoder, batch.features)
        projected = core.projector(hidden)
        assert projected.shape[1] == n_audio_tokens(hidden.shape[1])
        losses = recipe.letter_losses(hidden, mid, batch.rows)
        answered = batch.rows.take(range(min(n_answers, len(batch.rows.answers))))
        written, looked_up = recipe.answer_losses(projected[:n_answers].float(), answered)
        heard = {
            "ctc": losses["ctc"],
            "mid": 0.3 * losses["mid"],
            "tok": 0.5 * recipe.token_loss(projected, batch.rows, recipe.table),
            "ce": 0.5 * written,
            "list": 0.5 * GUIDANCE * looked_up,
        }
        return {**named(heard, batch), "text": 0.3 * sum(texts(step).values())}

    return loss


def answer_phase(recipe: Recipe, size: int, n_questions: int) -> Callable[[int], Loss]:
    """The decoder alone, on real sound: encoder and projector stay as they are and cost a third.

    Every recording is asked several things. Every other batch is text.
    """
    batches, core = recipe.batches(size, n_questions), recipe.model.model
    texts = decoder_phase(recipe, size * n_questions)

    def loss(step: int) -> Loss:
        if step % 2 == 0:
            return texts(step)
        batch = next(batches)
        core.encoder.eval()
        core.projector.eval()
        with torch.no_grad():
            hidden, _ = encode(core.encoder, batch.features)
            audio = core.projector(hidden).float()
        written, looked_up = recipe.answer_losses(audio.repeat(n_questions, 1, 1), batch.rows)
        return named({"heard": written, "list": GUIDANCE * looked_up}, batch)

    return loss


def _start_joint(recipe: Recipe) -> None:
    """Encoder and projector from one phase, decoder from the other."""
    heard = torch.load(recipe.work / "encoder.pt", weights_only=True)["model"]
    written = torch.load(recipe.work / "decoder.pt", weights_only=True)["model"]
    parts = {k: (written if "language_model" in k or k == "lm_head.weight" else heard)[k]
             for k in recipe.model.state_dict()}  # fmt: skip
    recipe.model.load_state_dict(parts)


def _after_joint(work: Path) -> dict[str, Tensor]:
    path = work / "joint.pt"
    if not path.exists():
        raise SystemExit(f"{path} is not there: the answers phase follows the joint phase")
    return torch.load(path, weights_only=True)["model"]


def rate(step: int, steps: int, peak: float, floor: float = 0.02, warm: int = 150) -> float:
    """Warm up, then a cosine down to `floor` of the peak."""
    if step < warm:
        return peak * (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, steps - warm))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def average_gradients(parameters: list[Tensor]) -> None:
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, g in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad.copy_(g.view_as(p))


def run(recipe: Recipe, phase: str, loss: Callable[[int], Loss], args, rank: int) -> None:
    """The training loop: resumes, saves, reports."""
    path = recipe.work / f"{phase}.pt"
    model = recipe.model.train()
    if recipe.joined:
        keep_statistics(model)
    optimizer = MuonAdamW(model)
    step, began = 0, time.time()
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        if "optimizer" in saved:  # weights alone start afresh
            optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    elif args.checkpoint is not None:
        trained = Model.from_pretrained(args.checkpoint, dtype=torch.float32)
        model.load_state_dict(trained.state_dict())
    elif phase == "joint":
        _start_joint(recipe)
    elif phase == "answers":
        model.load_state_dict(_after_joint(recipe.work))
    recipe.reseed(step)
    means: dict[str, float] = {}
    while step < args.steps:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            losses = loss(step)
        sum(losses.values()).backward()
        moved = [p for p in model.parameters() if p.grad is not None]
        if dist.is_initialized():
            average_gradients(moved)
        torch.nn.utils.clip_grad_norm_(moved, 1.0)
        optimizer.step(rate(step, args.steps, args.rate, args.floor))
        model.zero_grad(set_to_none=True)
        step += 1
        for k, value in losses.items():
            means[k] = 0.98 * means.get(k, value.item()) + 0.02 * value.item()
        if rank == 0 and (step % 50 == 0 or step == args.steps):
            said = " ".join(f"{k} {value:.3f}" for k, value in means.items())
            print(f"{phase} {step}/{args.steps} {said} {time.time() - began:.0f} s", flush=True)
        if rank == 0 and (step % 100 == 0 or step == args.steps):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)


def keep_statistics(model: torch.nn.Module) -> None:
    """Batch normalisation by the running statistics, which stay: joined speech has no silence, so
    those of its batches are others, and a model meets both."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()


def worker(rank: int, args) -> None:
    torch.set_num_threads(args.threads)
    if args.processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
        dist.init_process_group("gloo", rank=rank, world_size=args.processes)
    recipe = Recipe(args.work, args.seed, rank, args.processes, args.joined)
    loss = {
        "encoder": lambda: encoder_phase(recipe, args.batch, args.tokens_after),
        "decoder": lambda: decoder_phase(recipe, args.batch, args.copy_steps, args.names_until),
        "joint": lambda: joint_phase(recipe, args.batch, args.answers or args.batch),
        "answers": lambda: answer_phase(recipe, args.batch, args.questions),
    }[args.phase]()
    run(recipe, args.phase, loss, args, rank)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phase", choices=("encoder", "decoder", "joint", "answers"))
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=24, help="utterances a process")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--floor", type=float, default=0.02, help="last rate over the peak")
    parser.add_argument(
        "--tokens-after", type=int, default=800, help="encoder phase: token CTC from"
    )
    parser.add_argument("--copy-steps", type=int, default=1000, help="decoder phase: copying until")
    parser.add_argument(
        "--names-until", type=int, default=2000, help="decoder phase: names and lists alone until"
    )
    parser.add_argument("--answers", type=int, help="joint phase: rows that the decoder answers")
    parser.add_argument("--questions", type=int, default=2, help="answers phase: a recording")
    parser.add_argument(
        "--joined", type=float, default=0.0, help="share of joined speech (after demo.letter_times)"
    )
    parser.add_argument("--checkpoint", type=Path, help="start from this folder's weights")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="a process")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=False)
    args = parser.parse_args()
    if args.processes == 1:
        worker(0, args)
    else:
        torch.multiprocessing.spawn(worker, (args,), nprocs=args.processes)


if __name__ == "__main__":
    main()
