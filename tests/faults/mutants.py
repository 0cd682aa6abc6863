"""Small mistakes in the code, and whether the fast tests notice: python -m faults.mutants, or make mutants.

Every mutant is forked from this process, which has imported what takes long and nothing of the package: the changed
module is compiled from its syntax tree and imported in the place of its file. It is tried by the tests that call the
changed function, the quickest first, until one fails. Tests that start processes of their own see the file as it is.
"""

import argparse
import ast
import contextlib
import dataclasses
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from faults import document
from faults.changes import Change, changes

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "mutants.json"
SEED = 0
FAST = 1.5  # seconds of a processor; a test that takes longer is no fast one
NEVER_ENDING = 120  # seconds of a processor, of one fast test after another
TAKE_LONG = ("torch._dynamo", "timm", "accelerate", "sklearn.model_selection", "scipy.stats", "pandas", "nbformat",
             "matplotlib.pyplot")  # fmt: skip
QUIETLY = ("-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception")
NO_SLOW_ONES = ("-m", "not slow", "-k", "not compile and not one_graph")  # what torch compiles takes seconds
# The tests that are about a module; of them those are run that call the function.
TESTS = {
    "network/block.py": ("network/test_block.py", "network/test_dense.py", "network/test_model.py",
                         "network/test_variants.py", "faults/test_numbers.py"),
    "network/losses.py": ("network/test_losses.py", "network/test_block.py", "faults/test_numbers.py"),
    "network/decoding.py": ("network/test_model.py", "early_exit/test_channel.py", "early_exit/test_router.py"),
    "early_exit/stopping.py": ("early_exit", "faults/test_numbers.py"),
    "reproduction/figures/claims.py": ("reproduction/figures/test_claims.py",
                                       "reproduction/figures/test_verdicts_again.py"),
    "reproduction/records/intervals.py": ("reproduction/records/test_intervals.py",
                                          "reproduction/figures/test_verdicts_again.py",
                                          "reproduction/figures/test_comparison.py"),
}  # fmt: skip
# Survivors that are no mistakes, by what is changed: why no test can, or need, see it.
HARMLESS = {
    "network/block.py": {
        "CodedBottleneck._last: `u.shape[1] == self.conv3.in_channels` → `u.shape[0] == self.conv3.in_channels`":
            "both ways compute the same product",
    },
    "reproduction/figures/claims.py": {
        "_row: `ours.power(theirs.effect, margin) if decide` → `ours.power(margin, theirs.effect) if decide`":
            "a power is of the sum of both",
    },
    "reproduction/records/intervals.py": {
        "rate: `len(runs), runs[0].count, over)` → `len(runs), runs[-1].count, over)`":
            "runs of a kind answer equally many images",
        "difference: `d), runs, first[0].count, over)` → `d), runs, first[-1].count, over)`":
            "runs of a kind answer equally many images",
        "of_classes: `en(seeds) == 1 < max(len(first), len(second))` → "
        "`en(seeds) == 1 <= max(len(first), len(second))`":
            "of one run each, the pair and the two means have one difference",
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the mutants of one module.

    Attributes:
        possible: how many there are.
        by: what killed it, by mutant that was tried; nothing where it survived.
    """

    possible: int
    by: dict[str, str]

    def survivors(self) -> list[str]:
        return [mutant for mutant, killer in self.by.items() if not killer]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=45, help="mutants of a module, or all that it has")
    parser.add_argument("--modules", choices=TESTS, nargs="+", default=list(TESTS), help="the others stay as they are")
    parser.add_argument("--survivors", action="store_true", help="try those alone that survived before")
    options = parser.parse_args()
    begun = time.monotonic()
    import_what_takes_long()
    outcomes = kept()
    with tempfile.TemporaryDirectory() as folder:
        make_forks_quick(folder)
        for module in options.modules:
            before = outcomes.get(module)
            if options.survivors and before:
                outcomes[module] = try_again(module, before)
            else:
                outcomes[module] = try_drawn(module, options.each)
            keep(outcomes)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    document.put("mutants", "\n".join(table(outcomes)))


def kept() -> dict[str, Outcome]:
    """What came of those that were tried before."""
    content = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    return {module: Outcome(**outcome) for module, outcome in content.items()}


def keep(outcomes: Mapping[str, Outcome]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    content = {module: dataclasses.asdict(outcome) for module, outcome in outcomes.items()}
    KEPT.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def import_what_takes_long() -> None:
    for name in TAKE_LONG:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)  # no thread is left behind by a fork


def make_forks_quick(folder: str) -> None:
    """What is compiled once is kept, only what the tests need is loaded, and nothing old is looked at for garbage."""
    tempfile.tempdir = sys.pycache_prefix = folder
    sys.dont_write_bytecode = False
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.collect()
    gc.freeze()


def try_drawn(module: str, count: int) -> Outcome:
    """Mutants drawn by the hash of their text, so that the others stay when code is added."""
    texts = [change.text for change in changes(tree_of(module))]
    drawn = sorted(texts, key=lambda text: hashlib.sha256(f"{SEED} {module} {text}".encode()).digest())[:count]
    return Outcome(len(texts), try_all(module, set(drawn)))


def try_again(module: str, before: Outcome) -> Outcome:
    """Those that survived, where there is a test more."""
    return dataclasses.replace(before, by=before.by | try_all(module, set(before.survivors())))


def try_all(module: str, texts: Set[str]) -> dict[str, str]:
    """What killed each."""
    if not texts:
        return {}
    tree, calls, by = tree_of(module), tests_by_function(module), {}
    for change in changes(tree):
        if change.text in texts:
            code = compiled(tree, module)
            by[change.text] = killer(module, code, calls(change)) if code else "the compiler"
            print(f"{module}: {change.text}: {by[change.text] or 'SURVIVED'}", file=sys.stderr, flush=True)
    return by


def tree_of(module: str) -> ast.Module:
    return ast.parse(source(module).read_text(encoding="utf-8"))


def source(module: str) -> Path:
    return ROOT / "src" / "coded_resnext" / module


def compiled(tree: ast.Module, module: str) -> CodeType | None:
    with contextlib.suppress(SyntaxError):
        return compile(ast.fix_missing_locations(ast.parse(ast.unparse(tree))), source(module), "exec")
    return None


def tests_by_function(module: str) -> Callable[[Change], list[str]]:
    """The tests that may see a change, the quickest first: from a run of the module as it is."""
    code = compile(source(module).read_bytes(), source(module), "exec")
    tests = [f"tests/{name}" for name in TESTS[module]]
    said = forked(module, code, [*tests, *NO_SLOW_ONES], Calls(str(source(module))), resource.RLIM_INFINITY)
    if said is None or said["status"] != 0:
        raise RuntimeError(f"the tests of {module} fail as it is: {said and said['failed']}")
    seconds, by_line = said["seconds"], defaultdict(list)
    fast = sorted((test for test in seconds if seconds[test] < FAST), key=seconds.__getitem__)
    for test in fast:
        for line in said["calls"][test]:
            by_line[line].append(test)
    return lambda change: by_line[change.function[1]] if change.function else fast


def killer(module: str, code: CodeType, tests: list[str]) -> str:
    """The test that fails, "time" for one that does not end, or nothing."""
    if not tests:
        return ""
    functions = dict.fromkeys(test.partition("[")[0] for test in tests)
    said = forked(module, code, [*functions, "-x"], InOrder(tests), NEVER_ENDING)
    if said is None:
        return "time"
    return "" if said["status"] == 0 else said["failed"] or "import"


def forked(module: str, code: CodeType, arguments: list[str], plugin: Any, limit: int) -> dict[str, Any] | None:
    """What pytest says in a process of its own, in which the module has this code; None if it takes longer."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            os.chdir(ROOT)
            name = f"coded_resnext.{module.removesuffix('.py').replace('/', '.')}"
            sys.meta_path.insert(0, InItsPlace(name, source(module), code))
            status = int(pytest.main([*QUIETLY, *arguments], [plugin]))
            os.write(writing, json.dumps(plugin.said | {"status": status}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


class InItsPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from other code than its file's."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)


class Calls:
    """A plugin of pytest: which functions of a file each test calls, by their first lines, and how long it takes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.said: dict[str, Any] = {"calls": {}, "seconds": {}, "failed": ""}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        lines: set[int] = set()

        def called(frame: Any, event: str, argument: Any) -> None:
            if frame.f_code.co_filename == self.path:
                lines.add(frame.f_code.co_firstlineno)

        begun = time.process_time()
        sys.settrace(called)
        yield
        sys.settrace(None)
        self.said["seconds"][item.nodeid] = time.process_time() - begun
        self.said["calls"][item.nodeid] = sorted(lines)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.said["failed"] += f"{report.nodeid} "


class InOrder:
    """A plugin of pytest: these tests, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.said: dict[str, Any] = {"failed": ""}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.place), key=lambda i: self.place[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.said["failed"] = report.nodeid


def table(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Of the document: how many were killed, and the survivors with why."""
    head = "| module | possible | tried | killed by a test | by the time it takes | survived |"
    lines = [head, "|---|--:|--:|--:|--:|--:|"]
    rows = []
    for module, outcome in outcomes.items():
        in_time = sum(killer == "time" for killer in outcome.by.values())
        tried, survived = len(outcome.by), len(outcome.survivors())
        rows.append((outcome.possible, tried, tried - in_time - survived, in_time, survived))
        lines.append(f"| `{module}` | {' | '.join(map(str, rows[-1]))} |")
    sums = [sum(column) for column in zip(*rows, strict=True)]
    lines.append(f"| all | {' | '.join(map(str, sums))} |")
    lines += ["", f"{100 * (1 - sums[-1] / sums[1]):.1f} % killed. Survivors:", "", "| mutant | why |", "|---|---|"]
    for module, outcome in outcomes.items():
        for mutant in outcome.survivors():
            reason = HARMLESS.get(module, {}).get(mutant, "no reason known")
            lines.append(f"| `{module}`, {mutant} | {reason} |")
    return lines


if __name__ == "__main__":
    main()
