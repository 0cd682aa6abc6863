"""The schemes that ship with the package, made again from nothing: `make schemes`.

Table 3's two are transcribed; the others were designed, and the same arguments give the same file. What each design
took, and what the paper's own search finds for the same networks, is filed as records for notebook 01.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from ...codes.design import design_scheme
from ...codes.lexicographic import lexicographic_scheme
from ...codes.scheme import CodingScheme, scheme_path
from ...errors import Refused
from ..records.paper import ABLATION_SIZES, DESIGN, NETWORK_SIZES, SCHEME_RECORDS, SEARCH, TRANSCRIBED, Sizes, published
from ..records.records import Beginning, begin, write_record

TIME_LIMIT = 60.0  # seconds for each design
SEED = 0


class Made(NamedTuple):
    """A scheme, and which search it came from."""

    stage: str
    sizes: Sizes
    scheme: CodingScheme

    @property
    def text(self) -> str:
        """What its file holds."""
        return self.scheme.to_text(**self.scheme.header())


def remake(*, write: bool = False) -> None:
    """Design all schemes from nothing and compare them with the shipped files; run the paper's search beside.

    Files a record for each in data/results/schemes, and prints a line as soon as it is done. There are as many
    processes as processors, so numpy should have one thread (OMP_NUM_THREADS=1).

    Args:
        write: replace the shipped files that come out otherwise; the transcribed ones stay.
    Raises:
        ValueError: naming the shipped files that come out otherwise, unless they are replaced.
    """
    different = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_search, sizes, reached["minimum distance"]) for sizes, reached in published().items()]
        jobs += [pool.submit(_design, sizes) for sizes in (*NETWORK_SIZES, *ABLATION_SIZES)]
        for job in as_completed(jobs):
            made = job.result()
            verdict = ""
            if made.stage == DESIGN and made.sizes not in TRANSCRIBED:
                path = scheme_path(*made.sizes)
                same = path.is_file() and path.read_text(encoding="utf-8") == made.text
                verdict = "as shipped" if same else "written" if write else "not as shipped"
                if not same and write:
                    made.scheme.save(path)
                elif not same:
                    different.append(path.name)
            print(f"{_line(made)}  {verdict}".rstrip(), flush=True)
    if different:
        raise Refused(
            f"{', '.join(sorted(different))} came out otherwise than shipped: another version of numpy or OR-tools, a "
            f"changed designer, or a slow machine ('complete: False')? "
            f"`python -m coded_resnext schemes --write` replaces them"
        )


def _design(sizes: Sizes) -> Made:
    beginning = begin("CPU, one thread")
    scheme = design_scheme(*sizes, seed=SEED, time_limit=TIME_LIMIT)
    return _file(DESIGN, sizes, scheme, {"time_limit": TIME_LIMIT}, SEED, beginning)


def _search(sizes: Sizes, distance: int) -> Made:
    beginning = begin("CPU, one thread")
    scheme = lexicographic_scheme(*sizes, distance=distance)
    return _file(SEARCH, sizes, scheme, {"distance": distance}, None, beginning)


def _file(
    stage: str, sizes: Sizes, scheme: CodingScheme, arguments: dict[str, float], seed: int | None, beginning: Beginning
) -> Made:
    certificate = scheme.certificate()
    columns = scheme.column_sums
    write_record(
        SCHEME_RECORDS, stage, scheme_path(*sizes).stem,
        parameters=sizes._asdict() | arguments, seed=seed, checkpoint=None,
        metrics={
            **{key: certificate[key] for key in ("distance", "bound", "column_spread", "close_pairs")},
            "smallest_column": int(columns.min()), "largest_column": int(columns.max()),
        },
        beginning=beginning, seconds=float(scheme.provenance["seconds"]),
        construction=certificate["construction"],
    )  # fmt: skip
    return Made(stage, sizes, scheme)


def _line(made: Made) -> str:
    certificate, columns = made.scheme.certificate(), made.scheme.column_sums
    return (
        f"{scheme_path(*made.sizes).stem:10}  {made.stage:13}  distance {certificate['distance']:2} of at most "
        f"{certificate['bound']:2}, columns {columns.min()} to {columns.max()}, "
        f"{certificate['close_pairs']} pairs at it, {certificate['seconds']} s"
    )
