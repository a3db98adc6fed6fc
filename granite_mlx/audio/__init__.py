"""From a recording to what the encoder hears.

files.py      a path, bytes, a file object or an array, opened; all of it as one array
stream.py     a part of it in blocks of float32 samples at 16 kHz, channels averaged or apart
decoders.py   the raw frames in it, by libsndfile or ffmpeg; nothing else here decodes audio
features.py   samples -> stacked log-mel features
suffixes.py   which files of a folder are taken for recordings

Import from the modules: this one loads nothing.
"""
