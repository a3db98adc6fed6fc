"""The work that transcribe and translate share: one recording after another through one model."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from granite_mlx.cli.arguments import recognition_options, subtitle_options
from granite_mlx.cli.bulk_arguments import check_bulk_arguments, options_digest
from granite_mlx.cli.inputs import Recording, recordings
from granite_mlx.cli.journal import Journal
from granite_mlx.cli.listener import Listener, Recogniser, load_model
from granite_mlx.cli.loop import Batch, groups_of
from granite_mlx.cli.manifest import Manifest, Records
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.outputs import (
    Job,
    formats_of,
    job_without_output,
    jobs_to_folder,
    jobs_to_stdout,
    make_folder,
    warn_without_words,
)
from granite_mlx.cli.pace import Pace
from granite_mlx.cli.screen import Screen
from granite_mlx.cli.template import OutputName, check_template
from granite_mlx.transcript import SubtitleOptions


def run_batch(
    arguments: argparse.Namespace, screen: Screen, load: ModelLoader, recogniser: Recogniser
) -> int:
    """Check everything, then listen to each recording and deliver it at once. -> exit code.

    Raises:
        UsageError: arguments that do not make sense; nothing was loaded or written.
    """
    # 1. What is asked.
    check_bulk_arguments(arguments)
    options, subtitles = recognition_options(arguments), subtitle_options(arguments)
    digest = options_digest(arguments, options)
    if arguments.output_template is not None:
        check_template(arguments.output_template, formats_of(arguments.output_format))

    # 2. The recordings, where each goes, and which of them are done already.
    files = recordings(arguments.files, recursive=arguments.recursive)
    if arguments.output_dir is not None:
        make_folder(arguments.output_dir)
    with contextlib.ExitStack() as stack:
        manifest = None
        if arguments.manifest is not None:
            manifest = stack.enter_context(Manifest(arguments.manifest))
        records = Records() if manifest is None else manifest.records
        jobs = _jobs(arguments, files, screen, subtitles, records)
        if arguments.highlight_words:
            jobs = [warn_without_words(job, screen) for job in jobs]
        left = [job for job in jobs if not _is_done(job, arguments, records, digest)]

        # 3. One after the other, or some together.
        listener = Listener(lambda: load_model(arguments, load, screen), recogniser, options)
        stack.callback(listener.close)
        pace = Pace(job.recording for job in left)
        n_together = 1 if recogniser.several is None else arguments.batch_size
        groups = groups_of(left, n_together, pace)
        journal = Journal(manifest, digest)
        batch = Batch(
            groups, len(jobs) - len(left), listener, screen, pace, journal, time.monotonic
        )
        return batch.run()


def _jobs(
    arguments: argparse.Namespace,
    files: Sequence[Recording],
    screen: Screen,
    subtitles: SubtitleOptions,
    records: Records,
) -> list[Job]:
    if arguments.output_dir is None:
        return jobs_to_stdout(files, arguments.output_format, screen, subtitles)
    language = getattr(arguments, "to", None) or arguments.language
    formats = formats_of(arguments.output_format)
    names = [
        OutputName(file, arguments.output_template, formats, language)
        for file in files
        if file.trouble is None
    ]
    given: list[Path | None] = [
        *(file.path for file in files),
        arguments.keywords_file,
        arguments.ranges,
        arguments.manifest,
    ]
    jobs = jobs_to_folder(
        names,
        arguments.output_dir,
        screen,
        subtitles,
        protected=[path for path in given if path is not None],
        records=records,
    )
    readable = iter(jobs)
    return [next(readable) if file.trouble is None else job_without_output(file) for file in files]


def _is_done(job: Job, arguments: argparse.Namespace, records: Records, digest: str) -> bool:
    if records.has_done(job.recording, job.outputs, digest):
        return True
    if not arguments.skip_existing or not job.outputs:
        return False
    return all(map(os.path.isfile, job.outputs))  # a name that is too long is none, and no error
