"""From samples of any length to pieces that the model hears one by one, and back to one text.

limits.py     how long a piece may be, and which pause ends it
activity.py   samples -> where something sounds, by energy over an adaptive floor
cuts.py       where to cut what sounds: pure functions of frames
tones.py      whether all that sounds is one tone
letters.py    what the encoder's character head hears of a stretch that energy does not tell apart
splitter.py   blocks of samples -> pieces, with a bounded look-ahead
joining.py    texts of overlapping pieces -> one text

Import from the modules: this one loads nothing. Docs: docs/long-recordings.md.
"""
