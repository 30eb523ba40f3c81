"""What a statistic belongs to (fqn, call, output) <-> its number in a run, whichever file it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphscope.errors import UnknownAddress
from graphscope.schema import AddressTable

UNKNOWN = 0xFFFFFFFF
"""Number of a row whose address was lost with a damaged record."""


class Address(NamedTuple):
    """A module's output in one of its calls, or a parameter by its full name."""

    fqn: str
    call: int = 0
    output: int = 0

    def __str__(self) -> str:
        call = f" call {self.call}" if self.call else ""
        return (self.fqn or "(root)") + call + (f" output {self.output}" if self.output else "")


AddressLike = str | tuple[str, int] | tuple[str, int, int] | Address
"""What queries take: a plain fqn means call 0 and output 0."""


def address_of(given: AddressLike) -> Address:
    """What a user wrote -> Address. Raises UnknownAddress for something that cannot be one."""
    match given:
        case str():
            return Address(given)
        case (str(fqn), int(call)):
            return Address(fqn, call)
        case (str(fqn), int(call), int(output)):
            return Address(fqn, call, output)
    raise UnknownAddress(
        f"{given!r:.80} is no address; wanted a module path such as 'layer1.conv', or (path, call, output)"
    )


class Addresses:
    """The addresses of one run in the order of their numbers."""

    def __init__(self) -> None:
        self._entries: list[Address] = []
        self._numbers: dict[Address, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Address]:
        return iter(tuple(self._entries))

    def __getitem__(self, number: int) -> Address:
        return self._entries[number]

    def number(self, address: Address) -> int | None:
        """The number of an address; None if the run does not have it."""
        return self._numbers.get(address)

    def add(self, address: Address) -> int:
        """The number of an address, a new one if need be."""
        number = self._numbers.setdefault(address, len(self._entries))
        if number == len(self._entries):
            self._entries.append(address)
        return number

    def table(self, start: int = 0, end: int | None = None) -> AddressTable:
        """The addresses from ``start`` on as a record."""
        entries = self._entries[start:end]
        return AddressTable(
            start=start,
            fqn=tuple(entry.fqn for entry in entries),
            call=np.array([entry.call for entry in entries], np.uint32),
            output=np.array([entry.output for entry in entries], np.uint32),
        )


class FileNumbers:
    """Numbers in one file -> numbers in the run. They differ where files are merged or a table was lost."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._numbers: dict[int, int] = {}
        self._same = True

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, table: AddressTable) -> None:
        """Takes a file's AddressTable in."""
        calls, outputs = np.asarray(table.call).tolist(), np.asarray(table.output).tolist()
        for i, (fqn, call, output) in enumerate(zip(table.fqn, calls, outputs, strict=True)):
            number = self._addresses.add(Address(fqn, call, output))
            self._numbers[table.start + i] = number
            self._same &= number == table.start + i

    def translate(self, column: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Column of file numbers -> of run numbers; the same array where nothing differs."""
        known = len(self._numbers)
        if self._same and (not len(column) or int(column.max()) < known):
            return column
        return np.array([self._numbers.get(number, UNKNOWN) for number in column.tolist()], np.uint32)
