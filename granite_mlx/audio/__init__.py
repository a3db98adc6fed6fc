"""From a recording to what the encoder hears.

files.py      a path, bytes, a file object or an array -> float32 mono samples at 16 kHz
decoders.py   the raw frames in it, by libsndfile or ffmpeg; nothing else here decodes audio
features.py   samples -> stacked log-mel features
suffixes.py   which files of a folder are taken for recordings

Import from the modules: this one loads nothing.
"""
