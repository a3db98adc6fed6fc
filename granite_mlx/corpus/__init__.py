"""Archives: many recordings spread over workers, each transcribed exactly once.

The driver (cli/corpus.py) knows the files and is the only one that writes results; workers know a
model and nothing of folders. Ray is known to cluster.py alone.
"""
