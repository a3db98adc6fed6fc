"""Speech as it comes: audio in chunks of any size, text out while somebody speaks.

events.py     what a session tells
incoming.py   chunks in any of the usual forms -> float32 samples at 16 kHz
cutting.py    samples -> pieces, decided as soon as a pause is there or a turn is committed
drafting.py   what the character head hears of the open piece, while it grows
turns.py      the core: samples in, events out, on the caller's thread
hearing.py    what assembly and recognition have to know of sound without an end
session.py    `LiveSession`: the same on a thread of its own
mailboxes.py  what waits for that thread, and for who reads its events
options.py    the options of `GraniteSpeech.live`

Import from the modules: this one loads nothing. Docs: docs/live.md.
"""
