"""The training recipe at work: imitated audio, warped voices, batches, and every phase.

The corpus is noise with texts beside it: nothing is learnt from it, and espeak-ng is not needed.
"""

import importlib
import itertools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

N_UTTERANCES = 8  # of each set
SEED = 1
PHASES = ("decoder", "encoder", "joint", "answers")  # each needs what stands before it


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    return pytest.importorskip("torch", reason="needs the extra `reference`")


@pytest.fixture(scope="module")
def train(demo_recipe: ModuleType, torch: ModuleType) -> ModuleType:
    return importlib.import_module("demo.train")


@pytest.fixture(scope="module")
def features(demo_recipe: ModuleType, torch: ModuleType) -> ModuleType:
    return importlib.import_module("demo.features")


@pytest.fixture(scope="module")
def work(
    tmp_path_factory: pytest.TempPathFactory,
    demo_recipe: ModuleType,
    repository: Path,
    demo_checkpoint: Path,
) -> Path:
    """A work folder as `demo.corpus` leaves it, with a tokenizer that is trained already."""
    corpus = importlib.import_module("demo.corpus")
    folder = tmp_path_factory.mktemp("work")
    shutil.copyfile(repository / "demo" / "names.json", folder / "names.json")
    shutil.copyfile(demo_checkpoint / "tokenizer.json", folder / "tokenizer.json")
    pools = corpus.read_pools(folder / "names.json")
    rng = np.random.default_rng(11)

    def noise() -> np.ndarray:
        return 0.1 * rng.standard_normal(int(rng.integers(9000, 16000)))

    for name in ("train_en", "train_fr", "train_names_en", "train_names_fr"):
        texts = [corpus.compose_for(rng, name, pools) for _ in range(N_UTTERANCES)]
        corpus.write(folder / name, ((text, noise()) for text in texts))
    strings = [
        corpus.digit_texts(rng.integers(0, 10, size=4).tolist()) for _ in range(N_UTTERANCES)
    ]
    digits = [
        corpus.Utterance("en", "digits", ("digits", "-", "-"), en, fr, [], False, "fsdd")
        for en, fr in strings
    ]
    corpus.write(folder / "train_digits", ((text, noise()) for text in digits))
    return folder


@pytest.fixture
def recipe(train: ModuleType, work: Path) -> Any:
    recipe = train.Recipe(work, seed=SEED, rank=0, n_processes=1)
    recipe.reseed(0)
    return recipe


def test_imitated_audio_collapses_to_what_is_heard(
    train: ModuleType, torch: ModuleType, recipe: Any
) -> None:
    """By the rules of CTC: drop repetitions, then blanks. Without roughness nothing is lost."""
    rng = np.random.default_rng(12)
    few = [rng.choice([300, 301, 302], size=n).tolist() for n in range(15) for _ in range(4)]
    copied = train.imitation.random_strings(recipe, 40).heard
    for heard in (few, copied):
        assert any(a == b for h in heard for a, b in itertools.pairwise(h))
        rows = train.Rows([], [], heard, [], [])
        audio = train.imitation.imitate(recipe, rows, roughness=0.0)
        nearest = torch.cdist(audio, recipe.table).argmin(-1).tolist()
        collapsed = [
            [token for token, _ in itertools.groupby(row) if token != recipe.pad] for row in nearest
        ]
        assert collapsed == heard


def test_a_warp_of_one_changes_nothing(features: ModuleType, torch: ModuleType) -> None:
    samples = torch.from_numpy(np.random.default_rng(13).standard_normal((2, 8000), np.float32))
    same = torch.full((2,), features.WARPS.index(1.0))
    warped, plain = features.log_mel(samples, same), features.log_mel(samples)
    assert torch.allclose(warped, plain, rtol=0, atol=1e-5)  # a batched product rounds otherwise


@pytest.mark.parametrize("band", [50, 60, 70])
def test_a_warp_moves_a_tone_to_where_a_higher_one_is(
    band: int, features: ModuleType, torch: ModuleType
) -> None:
    hertz = _centre_hertz(band)

    def peaks(tones_hertz: list[float], warps: Any = None) -> list[int]:
        phase = 2 * np.pi * np.outer(tones_hertz, np.arange(8000)) / 16000
        mel = features.log_mel(torch.from_numpy(np.sin(phase).astype(np.float32)), warps)
        return mel[:, mel.shape[1] // 2, :80].argmax(-1).tolist()

    lower = [hertz / warp for warp in features.WARPS]
    assert peaks(lower, torch.arange(len(lower))) == [band] * len(lower) == peaks([hertz] * 8)
    assert len(set(peaks(lower))) == len(lower)


def _centre_hertz(band: int) -> float:
    """The middle of one of 80 HTK mel bands up to 8 kHz."""
    top = 2595 * np.log10(1 + 8000 / 700)
    return float(700 * (10 ** ((band + 1) * top / 81 / 2595) - 1))


def test_each_recording_is_asked_as_many_things_as_told(recipe: Any) -> None:
    n_differ = n_silent = 0
    for batch in itertools.islice(recipe.batches(4, n_questions=2), 40):
        rows = batch.rows
        assert len(batch.features) == 4
        assert len(rows.prompts) == len(rows.answers) == 8
        assert rows.heard[:4] == rows.heard[4:]
        assert rows.letters[:4] == rows.letters[4:]
        n_differ += sum(a != b for a, b in zip(rows.prompts[:4], rows.prompts[4:], strict=True))
        silent = [a for a, heard in zip(rows.answers, rows.heard, strict=True) if not heard]
        assert silent == [[recipe.eos]] * len(silent)
        n_silent += len(silent)
    assert n_differ > 40
    assert n_silent


def test_texts_come_as_drawn_in_batches_of_one_length(train: ModuleType, recipe: Any) -> None:
    size = 4
    imitation = train.imitation
    drawn = imitation.rows(imitation.questions(recipe, 16 * size), recipe.tokenizer)
    recipe.reseed(0)
    batches = list(
        itertools.islice(train.imitation.texts(recipe, size, train.imitation.questions), 16)
    )
    assert sorted(row for batch in batches for row in _rows(batch)) == sorted(_rows(drawn))
    lengths = sorted([sum(map(len, row[:3])) for row in _rows(batch)] for batch in batches)
    assert [len(of_batch) for of_batch in lengths] == [size] * 16
    assert list(itertools.chain(*lengths)) == sorted(itertools.chain(*lengths))


def _rows(rows: Any) -> list[tuple[list[Any], ...]]:
    columns = (rows.prompts, rows.answers, rows.heard, rows.letters, rows.listed)
    return list(zip(*columns, strict=True))


def test_listed_terms_of_an_answer_are_found_in_the_list(train: ModuleType, recipe: Any) -> None:
    questions = train.imitation.roll_calls(recipe, 40) + train.imitation.questions(recipe, 40)
    rows, n_found = train.imitation.rows(questions, recipe.tokenizer), 0
    for question, prompt, answer, pairs in zip(
        questions, rows.prompts, rows.answers, rows.listed, strict=True
    ):
        for in_answer, in_prompt in pairs:
            assert answer[in_answer] == prompt[in_prompt]
            assert "Keywords:" in recipe.tokenizer.decode(prompt[:in_prompt])
        found = recipe.tokenizer.decode([answer[i] for i, _ in sorted(pairs)]).split()
        said = [word.strip(".,") for word in question.answer.split()]
        assert set(found) >= {word for word in said if word in question.terms}
        n_found += len(found)
    assert n_found > 100


def test_the_guide_sees_the_attention_of_the_reference(recipe: Any, torch: ModuleType) -> None:
    decoder = recipe.model.model.language_model
    decoder.config._attn_implementation = "eager"
    embeds = torch.randn(3, 12, 256, generator=torch.Generator().manual_seed(5))
    layer, head = importlib.import_module("demo.guide").LAYER, recipe.guide.head
    attention = decoder(inputs_embeds=embeds, output_attentions=True).attentions[layer][:, head]
    rows, queries, keys = torch.tensor([[0, 11, 3], [1, 5, 5], [2, 7, 0], [2, 8, 1]]).unbind(1)
    wanted = -attention[rows, queries, keys].log().mean()
    torch.testing.assert_close(recipe.guide.loss(rows, queries, keys), wanted)
    nothing = torch.zeros(0, dtype=torch.long)
    assert recipe.guide.loss(nothing, nothing, nothing) == 0


@dataclass(frozen=True)
class Run:
    """One call of `demo.train`: the steps that it did, and what it saved."""

    steps: list[int]
    saved: dict[str, Any]


def run(train: ModuleType, work: Path, phase: str, steps: int, rate: float, *more: object) -> Run:
    done, real_rate = [], train.rate

    def counted(step: int, *others: Any) -> float:
        done.append(step)
        return real_rate(step, *others)

    options = {
        "--work": work, "--steps": steps, "--rate": rate, "--batch": 2,
        "--tokens-after": 1, "--copy-steps": 1, "--seed": SEED,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "rate", counted)
        patch.setattr(
            sys, "argv", ["train", phase, *map(str, itertools.chain(*options.items(), more))]
        )
        train.main()
    return Run(done, train.torch.load(work / f"{phase}.pt", weights_only=True))


@pytest.fixture(scope="module")
def runs(train: ModuleType, work: Path) -> dict[str, tuple[Run, Run]]:
    """Two steps of each phase, and then one more that changes no weight."""
    return {
        phase: (run(train, work, phase, 2, 1e-3), run(train, work, phase, 3, 0.0))
        for phase in PHASES
    }


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_goes_on_from_where_it_was(phase: str, runs: dict[str, tuple[Run, Run]]) -> None:
    first, second = runs[phase]
    assert (first.steps, second.steps) == ([0, 1], [2])
    assert (first.saved["step"], second.saved["step"]) == (2, 3)
    assert all(weight.isfinite().all() for weight in first.saved["model"].values())
    assert all(map(_is_statistic, _differing(first.saved["model"], second.saved["model"])))


def test_encoder_and_decoder_are_trained_apart(
    runs: dict[str, tuple[Run, Run]], recipe: Any
) -> None:
    start = recipe.model.state_dict()
    heard, written = (_differing(start, runs[p][0].saved["model"]) for p in ("encoder", "decoder"))
    assert heard
    assert not any(map(_is_text, heard))
    assert written
    assert all(map(_is_text, written))


def test_joint_training_starts_from_the_other_two(
    runs: dict[str, tuple[Run, Run]], train: ModuleType, work: Path, tmp_path: Path
) -> None:
    for path in work.iterdir():
        if path.name not in ("joint.pt", "answers.pt"):
            (tmp_path / path.name).symlink_to(path)
    joint = run(train, tmp_path, "joint", 1, 0.0)
    assert joint.steps == [0]
    encoder, decoder = (runs[phase][1].saved["model"] for phase in ("encoder", "decoder"))
    for name, weight in joint.saved["model"].items():
        source = decoder if _is_text(name) else encoder
        assert _is_statistic(name) or weight.equal(source[name]), name
    moved = _differing(joint.saved["model"], runs["joint"][0].saved["model"])
    assert {_is_text(name) for name in moved if not _is_statistic(name)} == {True, False}


@pytest.mark.parametrize("phase", ["decoder", "encoder", "answers"])
def test_any_phase_starts_from_a_checkpoint(
    phase: str,
    runs: dict[str, tuple[Run, Run]],
    train: ModuleType,
    work: Path,
    demo_checkpoint: Path,
    tmp_path: Path,
) -> None:
    for path in work.iterdir():
        if path.suffix != ".pt" or path.name == "decoder.pt" != f"{phase}.pt":
            (tmp_path / path.name).symlink_to(path)
    started = run(train, tmp_path, phase, 1, 0.0, "--checkpoint", demo_checkpoint)
    shipped = train.Model.from_pretrained(demo_checkpoint, dtype=train.torch.float32).state_dict()
    assert started.steps == [0]
    assert all(map(_is_statistic, _differing(shipped, started.saved["model"])))


def test_answers_are_learnt_by_the_decoder_alone(runs: dict[str, tuple[Run, Run]]) -> None:
    joint, answers = runs["joint"][1], runs["answers"][0]
    moved = _differing(joint.saved["model"], answers.saved["model"])
    assert moved
    assert all(map(_is_text, moved))


def test_a_mean_lies_between_its_states(
    runs: dict[str, tuple[Run, Run]], torch: ModuleType
) -> None:
    average = importlib.import_module("demo.average")
    states = [runs[phase][0].saved["model"] for phase in ("joint", "answers")]
    mean = average.mean(states)
    for name, weight in mean.items():
        if weight.is_floating_point():
            torch.testing.assert_close(weight, (states[0][name] + states[1][name]) / 2)
        else:
            assert weight.equal(states[1][name])
    with pytest.raises(ValueError, match="not of one model"):
        average.mean([states[0], {}])


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if not one[name].equal(other[name])}


def _is_text(name: str) -> bool:
    return "language_model" in name or name == "lm_head.weight"


def _is_statistic(name: str) -> bool:
    """What a BatchNorm counts, with a rate of zero as well."""
    return name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
