"""Files that describe: JSON written with a seal, and all of them read whole or refused by name.

The seal is the sha256 of everything else in the file, in one canonical text; line breaks and the order of keys are no
part of it. It is there against accidents: who wants to deceive seals anew. A file without one is read as it is, for
checkpoints are days of training, exports were given away and records are in git since before there were seals; a seal
whose own name was damaged is still known by its value. What people write by hand is YAML, and has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, NotRequired, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from .errors import BadFile

SEAL = "seal"
SEAL_LENGTH = 64  # hexadecimal digits

T = TypeVar("T")


def to_json(content: Mapping[str, Any], *, sort_keys: bool = True) -> str:
    """A sealed text.

    Raises:
        ValueError: a number that is not finite.
    """
    content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read: lists for tuples, text for keys
    sealed = {**content, SEAL: seal(content)}
    return json.dumps(sealed, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str | bytes, source: str, remedy: str, error: type[BadFile] = BadFile) -> dict[str, Any]:
    """What `to_json` was given, or any JSON object without a seal.

    Args:
        source: named in errors.
        remedy: what to do about a damaged one.
        error: what is raised.
    Raises:
        BadFile: no UTF-8, no JSON object, a number that is not finite, or another content than was sealed.
    """
    try:
        content = json.loads(text if isinstance(text, str) else text.decode("utf-8"), parse_constant=_refuse_constant)
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} where an object should be")
        stated = content.pop(SEAL, None)
        if stated is None and (key := _misnamed_seal(content)):
            raise ValueError(f"its seal is called {key!r}")
        if stated not in (None, seal(content)):
            raise ValueError(f"its content is not what it was sealed with; after an edit, remove its {SEAL!r}")
    except (ValueError, RecursionError) as reason:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise error(f"{source} is damaged ({reason}): {remedy}") from None
    return content


def _misnamed_seal(content: Mapping[str, Any]) -> str | None:
    """The key of what would be a seal by another name."""
    hashes = [key for key, value in content.items() if isinstance(value, str) and len(value) == SEAL_LENGTH]
    rest = ((key, {other: value for other, value in content.items() if other != key}) for key in hashes)
    return next((key for key, others in rest if seal(others) == content[key]), None)


def read_json(path: Path, remedy: str, error: type[BadFile] = BadFile, source: str | None = None) -> dict[str, Any]:
    """`from_json` of a file, which is named by its path or `source`."""
    return from_json(path.read_bytes(), source or str(path), remedy, error)


def from_yaml(text: str | bytes, source: str) -> Any:
    """Plain values of a YAML text.

    Raises:
        BadFile: naming `source`.
    """
    import yaml  # what only reads JSON does without

    try:
        return yaml.safe_load(text if isinstance(text, str) else text.decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a day that is none
        raise BadFile(f"{source} is no YAML: {' '.join(str(error).split())}") from None


def seal(content: Mapping[str, Any]) -> str:
    """sha256 of a content, whatever its layout."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def typed_as(
    kind: type[T], content: Mapping[str, Any], source: str, remedy: str, error: type[BadFile] = BadFile
) -> T:
    """A dataclass or TypedDict from what a file says; what it says beyond its fields is left to later versions.

    Raises:
        BadFile: naming `source` and the field that is missing or of another type than declared.
    """
    try:
        return _made(kind, content, "")
    except _Misfit as reason:
        raise error(f"{source} is damaged ({reason}): {remedy}") from None


class _Misfit(Exception):
    pass


def _made(hint: Any, value: Any, where: str) -> Any:
    """A value as its declared type has it: tuples of lists, dataclasses of objects."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):  # X | None is all that is declared
        return None if value is None else _made(args[0], value, where)
    if origin is dict and type(value) is dict:
        return {key: _made(args[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if origin in (list, tuple) and type(value) in (list, tuple):
        return origin(_made(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if (dataclasses.is_dataclass(hint) or is_typeddict(hint)) and type(value) is dict:
        return _with_fields(hint, value, where)
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    _refuse(f"{where.lstrip('.') or 'it'} is {str(value)[:40]!r}, no {getattr(hint, '__name__', hint)}")


def _with_fields(hint: Any, value: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(hint)
    made = {key: _made(hints[key], value[key], f"{where}.{key}") for key in hints if key in value}
    for key in _needed(hint):
        if key not in value:
            _refuse(f"{where.lstrip('.') or 'it'} has no {key!r}")
    return {**value, **made} if is_typeddict(hint) else hint(**made)


def _needed(hint: Any) -> list[str]:
    if is_typeddict(hint):  # its own __required_keys__ know nothing of annotations that are text
        hints = get_type_hints(hint, include_extras=True)
        return [key for key, of in hints.items() if get_origin(of) is not NotRequired]
    nothing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(hint) if f.default is nothing and f.default_factory is nothing]


def _refuse(reason: str) -> NoReturn:
    raise _Misfit(reason)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no finite number")
