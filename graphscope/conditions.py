"""A text such as ``grad_norm('conv1') > 10 or nan()`` -> a Condition that can be asked after each step.

Read by the small grammar below, never evaluated as Python:

    condition   = all { "or" all }
    all         = part { "and" part }
    part        = "(" condition ")" | ("nan" | "inf") "(" [address] ")" | value comparator number
    value       = scalar | statistic "(" [address] ")"
    comparator  = ">" | ">=" | "<" | "<=" | "==" | "!="

An address is a module path or a parameter's name, in quotes or not; none means the whole network.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphscope.errors import TrainerError, UnknownAddress, UnknownName, did_you_mean
from graphscope.run import Run
from graphscope.run.summary import TensorSummary
from graphscope.schema import StepStats

MAX_LENGTH = 512
MAX_DEPTH = 8
SCALARS = ("loss", "accuracy", "lr", "epoch", "step")
"""Known after each step without statistics."""
OUTPUTS = ("mean", "std", "min", "max", "absmax", "l2", "zeros", "zero_share")
"""Of a module's (first) output, or of a parameter itself."""
COUNTS = ("nan", "inf")
"""How many such values the outputs, gradients, parameters and updates of a module and of those in it hold."""
NORMS = {"grad_norm": "parameter_gradient", "param_norm": "parameter", "update_norm": "update"}
"""L2 norm over all parameters of a module and of those in it, or of one parameter; by role."""
RATIO = "update_ratio"
"""update_norm / param_norm."""
STATISTICS = (*NORMS, RATIO, *COUNTS, *OUTPUTS)
COMPARATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_TOKEN = re.compile(
    r"""\s*(?:(?P<comparator>>=|<=|==|!=|>|<)|(?P<bracket>[()])|(?P<text>'[^']*'|"[^"]*")
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<word>\w[\w.]*))""",
    re.VERBOSE,
)


class Held(NamedTuple):
    """Why a condition holds at a step."""

    text: str
    """``grad_norm('conv1') = 12.5 > 10``."""
    fqn: str
    """The module or parameter it is about; empty for the whole network."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One value against one number."""

    name: str
    address: str
    comparator: str
    number: float

    def __str__(self) -> str:
        return f"{self.value_text} {self.comparator} {self.number:g}"

    @property
    def value_text(self) -> str:
        """How the value is written."""
        if self.name in SCALARS:
            return self.name
        return f"{self.name}({self.address!r})" if self.address else f"{self.name}()"

    def held(self, values: Values) -> Held | None:
        """Why it holds; None if it does not, or if its value is not known at this step."""
        value, fqn = values.of(self.name, self.address)
        if value is None or not COMPARATORS[self.comparator](value, self.number):
            return None
        return Held(f"{self.value_text} = {value:.4g} {self.comparator} {self.number:g}", fqn)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Parts joined by ``and``."""

    parts: tuple[Part, ...]

    def held(self, values: Values) -> Held | None:
        """Why all of them hold."""
        found = [part.held(values) for part in self.parts]
        if any(one is None for one in found):
            return None
        held = [one for one in found if one is not None]
        return Held(" and ".join(one.text for one in held), next((one.fqn for one in held if one.fqn), ""))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Parts joined by ``or``."""

    parts: tuple[Part, ...]

    def held(self, values: Values) -> Held | None:
        """Why the first that holds does."""
        return next((held for part in self.parts if (held := part.held(values)) is not None), None)


Part = Comparison | AllOf | AnyOf


class Values:
    """What the parts of a condition ask of one step."""

    def __init__(self, run: Run | None, step: int, scalars: Mapping[str, float | None]) -> None:
        self._run, self._step, self._scalars = run, step, scalars

    def of(self, name: str, address: str) -> tuple[float | None, str]:
        """A value (None: not known at this step) and what it is about."""
        if name in SCALARS:
            return self._scalars.get(name), ""
        if name in COUNTS:
            return self._count(name, address)
        if name in NORMS:
            return self._norm(NORMS[name], address), address
        if name == RATIO:
            update, size = self._norm("update", address), self._norm("parameter", address)
            return (update / size if update is not None and size else None), address
        for summary in self._below(address):
            exact = (summary.fqn, summary.call, summary.output) == (address, 0, 0)
            if exact and summary.role in ("activation", "parameter"):
                value = getattr(summary, name)
                return (None if value is None or math.isnan(value) else float(value)), address
        return None, address

    def _count(self, name: str, address: str) -> tuple[float | None, str]:
        total, first, known = 0, "", False
        for summary in self._below(address):
            count = getattr(summary, name)
            if count is not None:
                known = True
                first = first or (summary.fqn if count else "")
                total += int(count)
        return (float(total) if known else None), first or address

    def _norm(self, role: str, address: str) -> float | None:
        norms = [summary.l2 for summary in self._below(address) if summary.role == role]
        known = [norm for norm in norms if not math.isnan(norm)]
        return math.sqrt(sum(norm * norm for norm in known)) if known else None

    def _below(self, address: str) -> Iterator[TensorSummary]:
        """What was measured at this step of an address and of everything in it, the last pass of each."""
        if self._run is None:
            return
        last: dict[tuple[int, int], tuple[StepStats, int]] = {}
        for stats in self._run.records_at(self._step):
            if isinstance(stats, StepStats):
                for row, key in enumerate(zip(stats.address.tolist(), stats.role.tolist(), strict=True)):
                    last[key] = stats, row
        for (number, _), (stats, row) in last.items():
            fqn = self._run.address_table[number].fqn
            if not address or fqn == address or fqn.startswith(f"{address}."):
                yield self._run.summary_of_row(stats, row)


class Condition:
    """A parsed text."""

    def __init__(self, text: str) -> None:
        """Raises TrainerError for what the grammar does not know, UnknownName for an unknown statistic."""
        self.text = text
        self._root = _Parser(text).condition()
        self._comparisons = list(_comparisons(self._root))

    @property
    def needs_statistics(self) -> bool:
        """Whether steps must be captured for it."""
        return any(one.name not in SCALARS for one in self._comparisons)

    def check(self, modules: Sequence[str], parameters: Sequence[str]) -> None:
        """Raises UnknownAddress for an address that names neither a module nor a parameter of the network."""
        known = [name for name in (*modules, *parameters) if name]
        for one in self._comparisons:
            if one.address and one.address not in known:
                there_are = ", ".join(name for name in modules if name)
                raise UnknownAddress(
                    f"break_when={self.text!r}: the network has no module or parameter {one.address!r}. Modules: "
                    f"{there_are[:400]}.{did_you_mean(one.address, known)}"
                )

    def held(self, run: Run | None, step: int, scalars: Mapping[str, float | None]) -> Held | None:
        """Why it holds at a step that is done; None if it does not, or nothing of it is known there."""
        return self._root.held(Values(run, step, scalars))


def _comparisons(part: Part) -> Iterator[Comparison]:
    if isinstance(part, Comparison):
        yield part
        return
    for inner in part.parts:
        yield from _comparisons(inner)


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > MAX_LENGTH:
            raise TrainerError(f"break_when: a text of {len(text):,} characters; wanted at most {MAX_LENGTH}.")
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._wrong(at + len(text[at:]) - len(text[at:].lstrip()), "a comparison")
            self._tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        self._at = 0
        self._depth = 0

    def condition(self) -> Part:
        """The whole text."""
        part = self._any_of()
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at][2], "and, or, or the end")
        return part

    def _any_of(self) -> Part:
        parts = [self._all_of()]
        while self._take("word", "or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all_of(self) -> Part:
        parts = [self._part()]
        while self._take("word", "and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _part(self) -> Part:
        if self._take("bracket", "("):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self._wrong(self._tokens[self._at - 1][2], f"at most {MAX_DEPTH} brackets in each other")
            part = self._any_of()
            self._expect("bracket", ")", '")"')
            self._depth -= 1
            return part
        name = self._expect("word", None, "a statistic or loss")
        if name in SCALARS:
            return self._compared(name, "")
        if name not in STATISTICS:
            hint = did_you_mean(name, (*STATISTICS, *SCALARS))
            raise UnknownName(
                f"break_when={self._text!r}: no statistic is called {name!r}. There are: {', '.join(STATISTICS)} of an "
                f"address, as in grad_norm('conv1'), and {', '.join(SCALARS)}.{hint}"
            )
        address = self._address()
        if name in OUTPUTS and not address:
            raise self._wrong(self._tokens[self._at - 1][2], f"an address: {name} is of one module or parameter")
        if name in COUNTS and not self._next_is("comparator"):
            return Comparison(name, address, ">", 0.0)
        return self._compared(name, address)

    def _address(self) -> str:
        self._expect("bracket", "(", '"("')
        address = ""
        if self._next_is("text"):
            address = self._expect("text", None, "")[1:-1]
        elif self._next_is("word") or self._next_is("number"):  # a bare number is a module of a Sequential
            address = self._tokens[self._at][1]
            self._at += 1
        self._expect("bracket", ")", '")"')
        return address

    def _compared(self, name: str, address: str) -> Comparison:
        comparator = self._expect("comparator", None, "one of " + ", ".join(COMPARATORS))
        return Comparison(name, address, comparator, float(self._expect("number", None, "a number")))

    def _next_is(self, kind: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][0] == kind

    def _take(self, kind: str, text: str) -> bool:
        found = self._next_is(kind) and self._tokens[self._at][1] == text
        self._at += found
        return found

    def _expect(self, kind: str, text: str | None, wanted: str) -> str:
        if not self._next_is(kind) or (text is not None and self._tokens[self._at][1] != text):
            at = self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)
            raise self._wrong(at, wanted)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _wrong(self, at: int, wanted: str) -> TrainerError:
        found = repr(self._text[at : at + 20]) if self._text[at:].strip() else "the end"
        return TrainerError(
            f"break_when={self._text[:80]!r}: found {found} at character {at + 1}, wanted {wanted}. "
            "For instance: grad_norm('conv1') > 10 or nan()"
        )
