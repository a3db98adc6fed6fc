"""An app that stays responsive while recordings are transcribed: the model works for a thread.

    python docs/examples/engine_in_a_thread.py call.m4a talk.flac

The main thread, which in an app draws its windows, looks at a queue now and then. Nothing needs a
lock: a model may be asked from any thread, and what several threads ask is worked on together.
"""

import queue
import sys
import threading

import granite_mlx
from granite_mlx import Cancelled, CancelToken, GraniteError, GraniteSpeech

LOOK_EVERY_S = 0.1


class Job(threading.Thread):
    """A recording at work. `news` gets (path, what happened), and at last (path, None)."""

    def __init__(self, model: GraniteSpeech, path: str, news: queue.Queue) -> None:
        super().__init__(daemon=True)
        self.cancel = CancelToken(timeout_s=3600)  # a Cancel button calls self.cancel.cancel()
        self._model, self._path, self._news = model, path, news

    def run(self) -> None:
        try:
            self._model.transcribe(self._path, cancel=self.cancel, on_segment=self._tell)
        except GraniteError as error:
            self._tell(error)
        except Cancelled:
            self._tell("cancelled")
        finally:
            self._tell(None)

    def _tell(self, event: object) -> None:
        self._news.put((self._path, event))


def main(paths: list[str]) -> int:
    """Transcribe all of them at once -> exit code."""
    news: queue.Queue = queue.Queue()
    has_failed = False
    with granite_mlx.load() as model:
        jobs = [Job(model, path, news) for path in paths]
        for job in jobs:
            job.start()
        n_left = len(jobs)
        while n_left:
            try:
                path, event = news.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                continue  # an app would handle clicks here
            if event is None:
                n_left -= 1
            elif isinstance(event, granite_mlx.Segment):
                print(f"{path} {event.start_s:.1f} s: {event.text}", flush=True)
            else:
                has_failed = True
                print(f"{path}: {event}", file=sys.stderr)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
