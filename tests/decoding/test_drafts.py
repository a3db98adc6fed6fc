from collections.abc import Sequence

from granite_mlx.decoding.drafts import CHARACTERS_PER_TOKEN, NoDraft, TextDraft

END = 0


def encode(text: str) -> list[int]:
    """Two characters a token: where a text begins decides what its tokens are."""
    return [ord(text[n]) * 1000 + (ord(text[n + 1]) if n + 1 < len(text) else 0)
            for n in range(0, len(text), 2)]  # fmt: skip


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(i // 1000) + (chr(i % 1000) if i % 1000 else "") for i in ids)


def draft(text: str) -> TextDraft:
    return TextDraft(text, encode, decode, END)


def test_nothing_known() -> None:
    assert NoDraft().propose([1, 2], 5) == []


def test_a_draft_is_followed_to_its_end() -> None:
    one, ids = draft("abcdef"), encode("abcdef")
    assert one.propose([], 9) == [*ids, END]
    assert one.propose([], 2) == ids[:2]
    assert one.propose(ids[:2], 9) == [ids[2], END]
    assert one.propose(ids, 9) == [END]


def test_after_a_correction_it_goes_on_behind_it() -> None:
    one = draft("the cat sat")
    emitted = encode("the b")
    assert decode(one.propose(emitted, 2)) == decode(encode("at sat"))[:4]
    emitted = encode("the bat ")
    assert one.propose(emitted, 9) == [*encode("sat"), END]


def test_a_correction_may_shift_all_tokens() -> None:
    one = draft("abcdefgh")
    one.propose([], 9)
    assert one.propose(encode("abc"), 9) == [*encode("defgh"), END]


def test_behind_its_end_only_the_end_is_known() -> None:
    one = draft("ab")
    assert one.propose(encode("ab and on"), 9) == [END]
    assert one.propose(encode("ab and on and on"), 9) == [END]


def test_half_a_character_is_no_text() -> None:
    one = TextDraft("à la", encode, lambda ids: decode(ids[:-1]) + "\ufffd", END)
    assert one.propose([*encode("à "), 5], 9) == [*encode("la"), END]


def test_a_long_draft_is_turned_into_tokens_bit_by_bit() -> None:
    text = "".join(chr(ord("a") + (n * n + n // 7) % 26) for n in range(200 * CHARACTERS_PER_TOKEN))
    one, ids = draft(text), encode(text)
    emitted: list[int] = []
    while proposed := one.propose(emitted, 32):
        if proposed[-1] == END:
            emitted += proposed[:-1]
            break
        assert len(proposed) == 32
        emitted += proposed
    assert emitted == ids
    assert draft(text).propose([], len(ids) + 1) == [*ids, END]  # or all of it


def test_an_empty_draft_ends_at_once() -> None:
    assert draft("").propose([], 9) == [END]
