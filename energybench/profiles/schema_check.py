"""Check JSON data against the published schema without a package for it.

Only the keywords that ``schema.json`` uses are understood, and a schema with any other is refused, so that the check
cannot fall behind the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS: Final = frozenset({"$schema", "title", "description"})
_KEYWORDS: Final = frozenset(
    {
        "type",
        "const",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "required",
        "properties",
        "additionalProperties",
        "minProperties",
        "items",
        "minItems",
    }
)


def violations(data: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What is wrong, as ``path: reason`` in words, outermost first; nothing where the data fit."""
    unknown = set(schema) - _KEYWORDS - _ANNOTATIONS
    if unknown:
        raise ValueError(f"schema keywords {sorted(unknown)} are not understood; teach them to schema_check")
    here = path or "profile"
    if "type" in schema:
        allowed = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
        if not any(_is(data, name) for name in allowed):
            yield f"{here} is {_describe(data)}, not {' or '.join(allowed)}"
            return
    if "const" in schema and not _equal(data, schema["const"]):
        yield f"{here} is {_describe(data)}, not {schema['const']!r}"
    if "enum" in schema and not any(_equal(data, option) for option in schema["enum"]):
        yield f"{here} is {_describe(data)}, not one of {', '.join(map(str, schema['enum']))}"
    if isinstance(data, str):
        yield from _string(data, schema, here)
    elif _is(data, "number"):
        yield from _number(data, schema, here)
    elif isinstance(data, dict):
        yield from _object(data, schema, path, here)
    elif isinstance(data, list):
        if len(data) < schema.get("minItems", 0):
            yield f"{here} has {len(data)} items, needs {schema['minItems']}"
        for i, item in enumerate(data):
            yield from violations(item, schema.get("items", {}), f"{here}[{i}]")


def _object(data: Mapping[str, Any], schema: Mapping[str, Any], path: str, here: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in data:
            yield f"{here} lacks {name}"
    if len(data) < schema.get("minProperties", 0):
        yield f"{here} is empty"
    properties = schema.get("properties", {})
    other = schema.get("additionalProperties", {})
    for name, value in data.items():
        inner = f"{path}.{name}" if path else name
        if name in properties:
            yield from violations(value, properties[name], inner)
        elif other is False:
            yield f"{here} has the unknown key {name!r}"
        else:
            yield from violations(value, other, inner)


def _string(data: str, schema: Mapping[str, Any], here: str) -> Iterator[str]:
    if len(data) < schema.get("minLength", 0):
        yield f"{here} is empty"
    if len(data) > schema.get("maxLength", math.inf):
        yield f"{here} is longer than {schema['maxLength']} characters"
    # `$` would let a final newline through
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), data):
        yield f"{here} is {_describe(data)}, which does not look like {schema['pattern']}"


def _number(data: float, schema: Mapping[str, Any], here: str) -> Iterator[str]:
    if not math.isfinite(data):
        yield f"{here} is {data}, which is not finite"
        return
    if data < schema.get("minimum", -math.inf):
        yield f"{here} is {data!r}, below {schema['minimum']}"
    if data > schema.get("maximum", math.inf):
        yield f"{here} is {data!r}, above {schema['maximum']}"
    if data <= schema.get("exclusiveMinimum", -math.inf):
        yield f"{here} is {data!r}, not above {schema['exclusiveMinimum']}"
    if data >= schema.get("exclusiveMaximum", math.inf):
        yield f"{here} is {data!r}, not below {schema['exclusiveMaximum']}"


def _is(data: Any, name: str) -> bool:
    if name == "integer":
        return not isinstance(data, bool) and (
            isinstance(data, int) or (isinstance(data, float) and math.isfinite(data) and data.is_integer())
        )
    if isinstance(data, bool) and name != "boolean":
        return False
    return isinstance(data, _TYPES[name])


def _equal(data: Any, other: Any) -> bool:
    return isinstance(data, bool) == isinstance(other, bool) and bool(data == other)


def _describe(data: Any) -> str:
    if isinstance(data, dict | list):
        return "an object" if isinstance(data, dict) else "an array"
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."
