"""The command line is an interface: other programs call these commands with these options."""

import ast
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from coded_resnext import CodingScheme
from coded_resnext import __main__ as command_line
from coded_resnext.__main__ import COMMANDS, _json_line, main
from coded_resnext.errors import on_one_line

FROZEN = {
    "reproduce": ["preset", "--force"],
    "figures": ["preset"],
    "run": ["notebook", "-p", "--parameter"],
    "train": ["preset", "run", "--data", "--like", "-p", "--parameter", "--force"],
    "evaluate": ["preset", "stages", "--force"],
    "together": ["preset", "runs", "--suffix", "-p", "--parameter"],
    "design": ["--classes", "--branches", "--active", "--seed", "--time-limit", "--output"],
    "schemes": ["--write"],
    "export": ["--checkpoint", "--model", "--classes", "--out", "--onnx", "--batch", "--energies"],
    "predict": ["images", "--model", "--json"],
    "explore": ["--model", "--images", "--out"],
    "bench": ["--rounds"],
    "bench-exits": ["preset", "run", "--rounds", "--images"],
    "weights": ["preset", "run"],
    "calibrate": ["weights"],
    "bench-subnetwork": ["--rounds"],
    "publish": ["preset"],
    "pages": [],
}


def test_commands_and_options_stay():
    found = {name: [flag for flags, _ in command.arguments for flag in flags] for name, command in COMMANDS.items()}
    assert found == FROZEN


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_example_is_one(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    said = capsys.readouterr().out
    assert "usage: python -m coded_resnext" in said
    (example,) = re.findall(r"^  python -m coded_resnext (.*)$", said, re.MULTILINE)
    assert command_line._parser().parse_args(shlex.split(example)).command == COMMANDS[name].run
    assert ("  drop_branch=0.1\n" in said) == (name in ("run", "train", "together"))


@pytest.mark.parametrize("rounds", ["1", "-3", "many"])
def test_quartiles_want_two_rounds(rounds, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench-subnetwork", "--rounds", rounds])
    assert f"--rounds: must be a whole number of at least 2, got '{rounds}'" in capsys.readouterr().err


def test_an_error_of_the_users_is_one_line(capsys):
    assert main(["figures", "digit"]) == 1
    assert capsys.readouterr().err == "error: unknown preset 'digit'; did you mean 'digits' or 'digits-codes'?\n"


def test_a_programming_error_shows_its_traceback(monkeypatch):
    """A TypeError from anywhere was taken for the user's mistake, and one line of it said nothing."""

    def broken(options):
        return len(None)

    monkeypatch.setitem(COMMANDS, "figures", COMMANDS["figures"]._replace(run=broken))
    with pytest.raises(TypeError, match="has no len"):
        main(["figures"])


def test_what_commands_import_is_there():
    """They import when they run, so a name that has moved is missed by nothing else."""
    tree = ast.parse(Path(command_line.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert len(imports) > 20
    for node in imports:
        module = importlib.import_module("." * node.level + (node.module or ""), "coded_resnext")
        missing = [n.name for n in node.names if not hasattr(module, n.name)]
        for name in missing:
            importlib.import_module(f"{module.__name__}.{name}")


def test_a_scheme_that_cannot_be_written_is_printed(tmp_path, capsys):
    """The search may have taken long."""
    (tmp_path / "file").touch()
    design = ["design", "--classes", "10", "--branches", "10", "--active", "5"]
    assert main([*design, "--output", str(tmp_path / "file" / "words.txt")]) == 1
    assert len(CodingScheme.from_text(capsys.readouterr().out).words) == 10
    assert main([*design, "--output", str(tmp_path / "new" / "words.txt")]) == 0
    assert len(CodingScheme.from_text((tmp_path / "new" / "words.txt").read_text()).words) == 10


def test_names_that_are_no_unicode_can_be_printed():
    assert on_one_line("K\udce4se") == "K\\udce4se"
    assert json.loads(_json_line({"file": "K\udce4se"})) == {"file": "K\udce4se"}
