"""YAML of plain values: reading what others wrote, and writing what can be read again."""

from typing import Any

import yaml

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.plain_json import DEEPEST, LONGEST_NUMBER, check_nesting

# A config of a run has fewer than 100 values and 1,000 characters. A comparison has a value for each prompt, and the
# largest published lists have 6,000 prompts of 60 characters (T2I-CompBench). PyYAML takes up to 0.15 ms a value and
# 2 us a character.
LARGEST = 2**20  # characters
MOST = 2**14  # values, the keys of mappings included


class _Loader(yaml.SafeLoader):
    """Reads plain values, and stops at the first one that is too many or too deep, so that its time is bounded."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias (*); a few of them can fill the memory. Write the value out")
        self._values += 1
        self._depth += 1
        if self._values > MOST:
            raise ValueError(f"it has more than {MOST} values")
        if self._depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    raise ValueError(f"it has {one_line(key.value, 80)!r} twice. Leave one out")
                names.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > LONGEST_NUMBER:
            raise ValueError(f"it has a number of {len(node.value)} digits")
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    """Writes an object that stands in several places out in each of them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = '"' if "\x85" in data else None  # a line end to YAML, which unquoted text would lose
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def parse_yaml(text: str) -> Any:
    """Read YAML whose writer is not trusted.

    Raises:
        ValueError: It is no YAML of plain values, too large, or nested too deeply.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text)} characters, more than {LARGEST}")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(one_line(str(error))) from error
    except (LookupError, ArithmeticError, AttributeError, TypeError) as error:  # of PyYAML, at a tag that does not fit
        raise ValueError(
            f"a value does not fit its type ({one_line(f'{type(error).__name__}: {error}', 80)})"
        ) from error


def to_yaml(values: Any) -> str:
    """Write plain values as YAML that `parse_yaml` reads.

    Raises:
        InputError: They are more than it reads.
    """
    try:
        check_nesting(values, MOST)  # first, since writing takes as long as reading
        text = str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
        parse_yaml(text)
    except ValueError as error:
        raise InputError(
            f"options must be few enough for a config file that can be read again: {error}. Keep long lists in files "
            "of their own."
        ) from error
    return text
