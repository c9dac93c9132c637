"""Reads a configuration of Grafana Alloy as its grammar has it: blocks, attributes, and values.

https://grafana.com/docs/alloy/latest/get-started/configuration-syntax/
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r'\s*(?://[^\n]*\n\s*)*(?:("(?:[^"\\\n]|\\.)*")|([A-Za-z_][\w.]*)|([{}\[\]()=,+])|(\Z))')

Value = str | list["Value"] | dict[str, "Value"]


@dataclass
class Block:
    """A block: its name, its label, its attributes, and the blocks in it."""

    name: str
    label: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    def only(self, name: str) -> "Block":
        """Return the only block in this one that has a name."""
        (block,) = (block for block in self.blocks if block.name == name)
        return block


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        while True:
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"no word of the language at {text[place : place + 40]!r}")
            place = match.end()
            if match[4] is not None:
                break
            self._tokens.append(match[1] or match[2] or match[3])
        self._at = 0

    def _next(self, *expected: str) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if expected and token not in expected:
            raise ValueError(f"{token!r} where one of {expected} is due")
        self._at += 1
        return token

    def _is(self, token: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] == token

    def body(self, block: Block, *, is_top: bool = False) -> Block:
        """Read what is in a block, with its closing brace."""
        while not (self._at == len(self._tokens) if is_top else self._is("}")):
            name = self._next()
            if self._is("="):
                self._next()
                block.attributes[name] = self._value()
                continue
            label = "" if self._is("{") else self._next().strip('"')
            self._next("{")
            block.blocks.append(self.body(Block(name, label)))
        if not is_top:
            self._next("}")
        return block

    def _value(self) -> Value:
        value = self._operand()
        while self._is("+"):
            self._next()
            value = f"{value}{self._operand()}"
        return value

    def _operand(self) -> Value:
        if self._is("["):
            return self._list("[", "]")
        if self._is("{"):
            return self._object()
        token = self._next()
        if self._is("("):
            return f"{token}({', '.join(map(str, self._list('(', ')')))})"
        return token[1:-1] if token.startswith('"') else token

    def _list(self, opening: str, closing: str) -> list[Value]:
        self._next(opening)
        values: list[Value] = []
        while not self._is(closing):
            values.append(self._value())
            if not self._is(closing):
                self._next(",")
        self._next(closing)
        return values

    def _object(self) -> dict[str, Value]:
        self._next("{")
        values: dict[str, Value] = {}
        while not self._is("}"):
            key = self._next().strip('"')
            self._next("=")
            values[key] = self._value()
            if not self._is("}"):
                self._next(",")
        self._next("}")
        return values


def read_alloy(text: str) -> Block:
    """Return the whole configuration as a block. Raises ValueError."""
    return _Reader(text).body(Block("", ""), is_top=True)
