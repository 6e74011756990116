"""Strict reading of the YAML files people write, with the line of every key for messages.

Only plain mappings, sequences and scalars are accepted: no tags, anchors, duplicate keys, second documents,
binary or non-UTF-8 content, and no file above `MAX_BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.problems import InputProblems, Problem, refuse

MAX_BYTES = 1_000_000  # a shipped regime has about 40 kB; anything near this limit is not a scenario
MAX_DEPTH = 30

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A parsed file: `content` (plain dicts, lists, str, int, float, bool, None, date) and where each field stands."""

    path: Path
    content: Any
    lines: dict[FieldPath, int]

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


def read_text(path: Path) -> str:
    """The text of an input file. Raises `InputProblems` if it is missing, a folder, too large, binary or not UTF-8."""
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse(path, "no such file") from None
    except IsADirectoryError:
        raise refuse(path, "is a folder; a file is expected") from None
    except OSError as error:
        raise refuse(path, f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise refuse(path, f"is larger than {MAX_BYTES:,} bytes, which no input of this kind needs")
    if b"\0" in raw:
        raise refuse(path, "holds binary data (a zero byte); a UTF-8 text file is expected")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise refuse(path, f"is not UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8", line=line) from None


def read_yaml(path: Path) -> YamlFile:
    """Parse one YAML file. Raises `InputProblems` naming file and line for anything but plain, single-document YAML."""
    return parse_yaml(read_text(path), path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """As `read_yaml`, from text already in memory; `path` only names the source in messages."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    reader = YAML(typ="safe", pure=True)
    try:
        nodes = list(reader.compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise refuse(path, f"is not valid YAML: {error.problem or error.context}", line=line) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise refuse(path, f"is not valid YAML: {str(error).splitlines()[0]}") from None
    if len(nodes) != 1 or nodes[0] is None:
        raise refuse(path, "is empty" if not nodes or nodes[0] is None else "holds more than one YAML document; one is expected")

    lines: dict[FieldPath, int] = {}
    problems: list[Problem] = []
    seen: set[int] = set()
    plain = ("str", "int", "float", "bool", "null", "timestamp")
    constructor = reader.constructor

    def complain(node: Any, field: FieldPath, message: str) -> None:
        problems.append(Problem(str(path), node.start_mark.line + 1, dotted(field), message))

    def build(node: Any, field: FieldPath) -> Any:
        lines[field] = node.start_mark.line + 1
        if id(node) in seen:
            complain(node, field, "uses an alias (`*name`); write the value out")
            return None
        if len(field) > MAX_DEPTH:
            complain(node, field[:3], f"is nested deeper than {MAX_DEPTH} levels")
            return None
        seen.add(id(node))
        tag = str(node.tag).rsplit(":", 1)[-1]
        if isinstance(node, MappingNode):
            if tag != "map":
                complain(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
                return None
            built: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                if not isinstance(key_node, ScalarNode) or str(key_node.tag).rsplit(":", 1)[-1] == "merge":
                    complain(key_node, field, "has a key that is not plain text")
                    continue
                key = str(key_node.value)
                if key in built:
                    complain(key_node, (*field, key), f"is given twice (first on line {lines[(*field, key)]}); keep one")
                    continue
                built[key] = build(value_node, (*field, key))
                lines[(*field, key)] = key_node.start_mark.line + 1
            return built
        if isinstance(node, SequenceNode):
            if tag != "seq":
                complain(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
                return None
            return [build(item, (*field, index)) for index, item in enumerate(node.value)]
        if tag not in plain:
            complain(node, field, f"carries the YAML tag {node.tag}; only plain values are accepted")
            return None
        try:
            return constructor.construct_object(node, deep=True)
        except (YAMLError, ValueError) as error:
            complain(node, field, f"cannot be read as a value: {str(error).splitlines()[0]}")
            return None

    content = build(nodes[0], ())
    if problems:
        raise InputProblems(problems)
    return YamlFile(path, content, lines)
