"""What waits is bounded, and whoever waits is woken."""

import threading

from granite_mlx.live.events import Draft, TurnStarted
from granite_mlx.live.mailboxes import Inbox, Outbox

ENOUGH_S = 30


def test_whoever_feeds_waits_while_too_much_sound_does() -> None:
    inbox = Inbox(sample_rate=100, most_s=1.0)
    assert inbox.put(lambda: iter(()), 101)
    assert inbox.waiting_s == 1.01
    taken = threading.Event()

    def put() -> None:
        inbox.put(lambda: iter(()), 1)
        taken.set()

    thread = threading.Thread(target=put)
    thread.start()
    assert not taken.wait(0.05)
    assert len(inbox.take(None) or []) == 1
    assert taken.wait(ENOUGH_S)
    thread.join()
    assert inbox.waiting_s == 0.01


def test_an_inbox_that_has_ended_gives_what_it_holds_and_takes_nothing() -> None:
    inbox = Inbox(16_000)
    inbox.put(lambda: iter(()), 1)
    inbox.end()
    assert not inbox.put(lambda: iter(()), 1)
    assert len(inbox.take(None) or []) == 1
    assert inbox.take(None) is None


def test_of_drafts_that_nobody_read_the_last_one_is_kept() -> None:
    outbox = Outbox()
    for event in (TurnStarted(0, 0.0), Draft(0, "a"), Draft(0, "a b"), Draft(1, "c")):
        outbox.put(event)
    assert outbox.take() == TurnStarted(0, 0.0)
    assert outbox.take_all() == [Draft(0, "a b"), Draft(1, "c")]
    outbox.end()
    assert outbox.take() is None
