"""Strict reading of the YAML files people write, with the line of every key for messages.

Only plain mappings, sequences and scalars are accepted: no tags, anchors, duplicate keys, second documents,
binary or non-UTF-8 content, and no file above `MAX_BYTES`. What cannot be a value is reported beside everything else: a
reader that collects problems passes a list as `keep` and goes on with the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.problems import InputProblems, Problem, refuse

MAX_BYTES = 1_000_000  # a shipped regime has about 40 kB; anything near this limit is not a scenario
MAX_DEPTH = 30

MERGE = "<<"

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A parsed file: `content` (plain dicts, lists, str, int, float, bool, None, date) and where each field stands."""

    path: Path
    content: Any
    lines: dict[FieldPath, int]
    spoilt: frozenset[FieldPath] = frozenset()
    """Fields whose value is unknown, already reported. One that ends in `<<`: some keys of that mapping are unknown."""

    def hides(self, field: FieldPath) -> bool:
        """True for a field in or at a spoilt one: what else is wrong there follows from what was reported."""
        return any(field[: len(gone)] == gone for gone in self.spoilt)

    def line(self, field: FieldPath) -> int:
        """Line (1-based) of a field, or of the nearest enclosing one that exists."""
        while field and field not in self.lines:
            field = field[:-1]
        return self.lines.get(field, 1)


def dotted(field: FieldPath) -> str:
    """`policy.later[0].from` for `("policy", "later", 0, "from")`."""
    text = ""
    for part in field:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def printable(path: str | Path) -> str:
    """A path as any message can show it: each byte of a file name that is no character of the system becomes `?`."""
    return re.sub("[\ud800-\udfff]", "?", str(path))


def read_text(path: Path) -> str:
    """The text of an input file. Raises `InputProblems` if it is missing, no plain file, too large, binary or not UTF-8."""
    named = printable(path)
    try:
        # Asked before opening: opening a pipe waits for its other end.
        if not path.is_file():
            raise refuse(named, _no_file(path))
        with path.open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse(named, "no such file") from None
    except OSError as error:
        raise refuse(named, f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise refuse(named, f"is larger than {MAX_BYTES:,} bytes, which no input of this kind needs")
    if b"\0" in raw:
        raise refuse(named, "holds binary data (a zero byte); a UTF-8 text file is expected")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise refuse(named, f"is not UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8", line=line) from None


def _no_file(path: Path) -> str:
    """What stands at a path that is no plain file."""
    if path.is_dir():
        return "is a folder; a file is expected"
    if path.exists():
        return "is a pipe, a socket or a device; save the text as a file and name that"
    return "is a link to a file that does not exist" if path.is_symlink() else "no such file"


def read_yaml(path: Path, keep: list[Problem] | None = None) -> YamlFile:
    """Parse one YAML file. Raises `InputProblems` naming file and line for anything but plain, single-document YAML.

    With `keep`, what is wrong with single fields is added to that list instead, and the rest is returned.
    """
    return parse_yaml(read_text(path), path, keep)


def parse_yaml(text: str, path: Path, keep: list[Problem] | None = None) -> YamlFile:
    """As `read_yaml`, from text already in memory; `path` only names the source in messages."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False  # no alias is accepted, so an anchor used again harms nobody
    named = printable(path)
    try:
        nodes = list(reader.compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise refuse(named, f"is not valid YAML: {error.problem or error.context}", line=line) from None
    except RecursionError:
        raise refuse(named, f"is nested too deeply; at most {MAX_DEPTH} levels are allowed", line=_too_deep(text)) from None
    except (YAMLError, ValueError) as error:
        raise refuse(named, f"is not valid YAML: {str(error).splitlines()[0]}") from None
    if len(nodes) != 1 or nodes[0] is None:
        raise refuse(named, "is empty" if not nodes or nodes[0] is None else "holds more than one YAML document; one is expected")

    lines: dict[FieldPath, int] = {}
    problems: list[Problem] = []
    spoilt: set[FieldPath] = set()
    seen: set[int] = set()
    plain = ("str", "int", "float", "bool", "null", "timestamp")
    constructor = reader.constructor

    def complain(node: Any, field: FieldPath, message: str) -> None:
        problems.append(Problem(named, node.start_mark.line + 1, dotted(field), message))

    def spoil(node: Any, field: FieldPath, message: str) -> None:
        complain(node, field, message)
        spoilt.add(field)

    def build(node: Any, field: FieldPath, line: int) -> Any:
        """The value of a node; `line` is where it is named, which for an alias is not where it stands."""
        if id(node) in seen:
            lines[field] = line
            problems.append(Problem(named, line, dotted(field), "uses an alias (`*name`); write the value out"))
            spoilt.add(field)
            return None
        lines[field] = node.start_mark.line + 1
        if len(field) > MAX_DEPTH:
            complain(node, field[:3], f"is nested too deeply; at most {MAX_DEPTH} levels are allowed")
            spoilt.add(field[:1])
            return None
        seen.add(id(node))
        tag = str(node.tag).rsplit(":", 1)[-1]
        if isinstance(node, MappingNode):
            if tag != "map":
                return spoil(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
            built: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                merges = str(key_node.tag).rsplit(":", 1)[-1] == "merge"
                if merges or not isinstance(key_node, ScalarNode):
                    complain(
                        key_node,
                        field,
                        "merges other keys in (`<<`); write them out" if merges else "has a key that is not plain text",
                    )
                    spoilt.add((*field, MERGE))
                    continue
                key = str(key_node.value)
                if key in built:
                    complain(key_node, (*field, key), f"is given twice (first on line {lines[(*field, key)]}); keep one")
                    continue
                built[key] = build(value_node, (*field, key), key_node.start_mark.line + 1)
                lines[(*field, key)] = key_node.start_mark.line + 1
            return built
        if isinstance(node, SequenceNode):
            if tag != "seq":
                return spoil(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
            return [build(item, (*field, index), lines[field]) for index, item in enumerate(node.value)]
        if tag not in plain:
            return spoil(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
        try:
            return constructor.construct_object(node, deep=True)
        except (YAMLError, ValueError):
            # It looks like a date or a number and is none (2024-13-45): text, which whoever expects a date or a number refuses.
            return str(node.value)

    content = build(nodes[0], (), 1)
    if keep is not None:
        keep += problems
    elif problems:
        raise InputProblems(problems)
    return YamlFile(path, content, lines, frozenset(spoilt))


def _too_deep(text: str) -> int:
    """The line on which a text first goes deeper than allowed; read without recursion."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MAX_DEPTH:
                return int(event.start_mark.line) + 1
    except (YAMLError, RecursionError):
        pass
    return 0
