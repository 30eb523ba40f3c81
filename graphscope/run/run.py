"""Run: answers about one run; live while a recorder adds to it, and the same when it is read from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from graphscope.errors import NoSuchStep, RunFileError, UnknownAddress, UnknownName, did_you_mean
from graphscope.graph import Graph, OpNode
from graphscope.run.addresses import Address, AddressLike, address_of
from graphscope.run.dataframe import dataframe_of
from graphscope.run.inside import Inside
from graphscope.run.op_gradients import as_table
from graphscope.run.overview import Overview, overview
from graphscope.run.ranks import NEEDS, RankSeen, aligned, merged, ranks_of
from graphscope.run.records import MAX_BYTES, RunRecords
from graphscope.run.stats import key_of
from graphscope.run.steps import StepRecords
from graphscope.run.summary import TensorSummary, summary_of
from graphscope.run.words import listed, nearest, shown
from graphscope.schema import (
    DENSE_STEPS,
    LOG_SPACED,
    PARAMETER_STATISTICS,
    ROLES,
    STATISTICS,
    Finding,
    LayerStats,
    PassRecord,
    RunHeader,
    StepRecord,
    StepStats,
)

if TYPE_CHECKING:
    import pandas

_SEVERITY = {"error": 0, "warning": 1, "info": 2}
Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class Run(RunRecords):
    """All records of one run and the questions one can ask them. Any thread may query while one thread adds."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(max_bytes=max_bytes)
        self._graphs: dict[str, Graph] = {}
        self._load_rank: Callable[[int], Run] | None = None
        """Reads the files of one rank of a run that has several."""
        self._ranks: dict[int, Run] = {}

    # What the run is

    @property
    def header(self) -> RunHeader | None:
        """The header of the first file; None if it was damaged."""
        return self.headers[0] if self.headers else None

    @property
    def finished(self) -> bool:
        """Whether every file was closed; False while it is recorded, or if it was killed."""
        return bool(self.ends) and len(self.ends) >= len(self.headers)

    @property
    def thinned(self) -> int:
        """Steps whose histograms were given up to bound the memory of a run that has no file."""
        return self._stats.thinned

    @property
    def steps(self) -> list[int]:
        """All steps that were recorded, captured or not, rising."""
        with self._lock:
            return sorted({*self._columns.step, *self._stats.steps()})

    @property
    def captured_steps(self) -> list[int]:
        """Steps of which statistics were recorded, rising."""
        with self._lock:
            return self._stats.steps()

    @property
    def step_records(self) -> Sequence[StepRecord]:
        """One StepRecord a step in the order in which they came."""
        with self._lock:
            return StepRecords(self._columns)

    @property
    def overhead(self) -> float | None:
        """What watching took over what all steps themselves took; None where it is not known."""
        with self._lock:
            return self._columns.overhead()

    @property
    def steady_overhead(self) -> float | None:
        """The same without the first steps, which ``every="auto"`` captures anyway; None if there are no others."""
        if self.header is None or self.header.every != "auto":
            return self.overhead
        with self._lock:
            return self._columns.overhead(without={*range(DENSE_STEPS + 1), *LOG_SPACED})

    @property
    def findings(self) -> list[Finding]:
        """What the rules found, the latest of each (rule, fqn, call), errors first."""
        with self._lock:
            return sorted(self._findings.values(), key=lambda finding: _SEVERITY[finding.severity])

    # Processes

    @property
    def ranks(self) -> list[RankSeen]:
        """The processes of the run, how far each of them came and when it was last seen."""
        with self._lock:
            return ranks_of(self._files)

    def rank(self, number: int) -> Run:
        """What one process recorded, as a run of its own. Raises UnknownName for a rank that has no file here."""
        known = [one.rank for one in self.ranks]
        if number not in known:
            raise UnknownName(f"run.rank({number!r:.40}): this run has files of the ranks {listed(known) or 'none'}.")
        if len(known) == 1 or self._load_rank is None:
            return self
        if number not in self._ranks:
            self._ranks[number] = self._load_rank(number)
        return self._ranks[number]

    def rank_series(
        self, address: AddressLike, stat: str, role: str = "activation"
    ) -> tuple[Steps, list[int], npt.NDArray[np.float64]]:
        """One statistic of each process: steps, ranks, and [ranks, steps] with NaN where one did not measure it.

        Raises as :meth:`series`.
        """
        self.series(address, stat, role)
        steps, values = self._of_ranks(address, stat, role)
        return steps, [one.rank for one in self.ranks], values

    def merged_series(self, address: AddressLike, stat: str, role: str = "activation") -> tuple[Steps, Values]:
        """One statistic of all processes, as if their tensors were one: steps and values.

        Counts are sums, ``l2`` the root of the sum of squares, ``min``, ``max`` and ``absmax`` the extremes, ``mean``
        and ``std`` combined by the number of finite elements. That is what is meant for activations and for what is
        sharded; of tensors that every rank holds alike (parameters, reduced gradients) counts and ``l2`` count each
        copy. A step that only some ranks measured is that of those. Raises as :meth:`series`.
        """
        if stat not in NEEDS:
            self.series(address, stat, role)
            raise UnknownName(f"run.merged_series(..., {stat!r:.60}): merged are {', '.join(NEEDS)}.")
        steps, _, _ = self.rank_series(address, stat, role)
        parts: dict[str, Any] = {}
        for name in NEEDS[stat]:
            if name == "finite":
                counts, bad = (self._of_ranks(address, part, role)[1] for part in ("count", "nan"))
                parts[name] = counts - bad - self._of_ranks(address, "inf", role)[1]
            else:
                parts[name] = self._of_ranks(address, name, role)[1]
        return steps, merged(stat, parts)

    def _of_ranks(self, address: AddressLike, stat: str, role: str) -> tuple[Steps, Values]:
        """Like rank_series, for any column."""
        found = address_of(address)
        none = np.zeros(0, np.int64), np.zeros(0)
        parts = []
        for one in self.ranks:
            run = self.rank(one.rank)
            with run._lock:
                number = run.address_table.number(found)
                key = None if number is None else key_of(number, ROLES.index(role))
                parts.append(run._stats.series(key, stat) if key in run._stats.keys and key is not None else none)
        return aligned(parts)

    # Graphs

    @property
    def graphs(self) -> dict[str, Graph]:
        """Distinct graphs by id, in the order in which they were first seen."""
        with self._lock:
            new = [record for graph_id, record in self._graph_records.items() if graph_id not in self._graphs]
        for record in new:
            try:
                graph = Graph.from_record(record)
            except RunFileError:
                with self._lock:
                    self.damaged += self._graph_records.pop(record.graph_id, None) is not None
                continue
            with self._lock:
                self._graphs.setdefault(record.graph_id, graph)
        with self._lock:
            return {graph_id: self._graphs[graph_id] for graph_id in self._graph_records if graph_id in self._graphs}

    @property
    def graph(self) -> Graph | None:
        """The graph of the last recorded pass (with gradients, if there was one); None before any.

        A pass that raised has a graph up to there: it counts only where no whole one was recorded.
        """
        graphs = self.graphs
        whole = [one for one in self.passes if (g := graphs.get(one.graph_id or "")) is not None and not g.partial]
        if found := self._graph_of(whole or self.passes):
            return found
        return list(graphs.values())[-1] if graphs else None

    def _forget_graph(self, graph_id: str) -> None:
        self._graphs.pop(graph_id, None)

    def graph_at(self, step: int) -> Graph | None:
        """The graph of a step: of its last recorded pass, else of the topology its fingerprint says.

        None where that topology was never recorded: the step ran another graph than those of this run. In a step
        without a fingerprint (an older file, or steps still to come) it is the graph in force: of the last recorded
        pass up to it, else of the first one. Raises NoSuchStep for a step outside the run.
        """
        steps = self.steps
        if steps and not steps[0] <= step <= steps[-1]:
            raise NoSuchStep(f"run.graph_at({step}): this run holds steps {steps[0]} to {steps[-1]}.")
        passes = [one for one in self.passes if one.graph_id]
        if found := self._graph_of([one for one in passes if one.step == step and one.grad_enabled]):
            return found
        with self._lock:
            topology = self._columns.topology_at(step)
        if topology is not None:
            passes = [one for one in passes if one.topology == topology]
            return self._graph_of([one for one in passes if one.step <= step]) or self._graph_of(passes[:1])
        if found := self._graph_of([one for one in passes if one.step <= step]) or self._graph_of(passes[:1]):
            return found
        graphs = self.graphs
        return list(graphs.values())[-1] if graphs else None

    def _graph_of(self, passes: Sequence[PassRecord]) -> Graph | None:
        """Graph of the last of these passes that has one; with gradients, if one had."""
        graphs = self.graphs
        fallback: Graph | None = None
        for one in reversed(passes):
            graph = graphs.get(one.graph_id or "")
            if graph is not None and one.grad_enabled:
                return graph
            fallback = fallback or graph
        return fallback

    # Statistics

    def addresses(self, role: str | None = None) -> list[str | tuple[str, int, int]]:
        """What was measured (in that role): plain paths, and (path, call, output) where one of these is not 0.

        Raises UnknownName for an unknown role.
        """
        code = None if role is None else self._role(role, f"run.addresses({role!r})")
        with self._lock:
            numbers = sorted({key >> 8 for key in self._stats.keys if code is None or key & 255 == code})
            return [
                address.fqn if not (address.call or address.output) else (address.fqn, address.call, address.output)
                for address in (self.address_table[number] for number in numbers if number < len(self.address_table))
            ]

    def series(self, address: AddressLike, stat: str, role: str = "activation") -> tuple[Steps, Values]:
        """Captured steps, rising, and one statistic there; NaN where this tensor was not measured.

        Parameters have ``update_ratio`` (role ``update``: norm of the update over that of the weights before it) and
        ``cosine`` (role ``parameter_gradient``: with the captured gradient before it) besides. A step with several
        passes shows the last. Raises UnknownAddress, UnknownName.
        """
        asked = f"run.series({shown(address)}, {stat!r}, {role!r})"
        names = (*STATISTICS, *PARAMETER_STATISTICS)
        if stat not in names:
            raise UnknownName(
                f"{asked}: no statistic is called {stat!r:.60}. Recorded: {', '.join(STATISTICS)}. "
                f"Of parameters also {', '.join(PARAMETER_STATISTICS)}." + did_you_mean(str(stat), names)
            )
        wanted = dict(zip(PARAMETER_STATISTICS, ("update", "parameter_gradient"), strict=True)).get(stat, role)
        if role != wanted:
            raise UnknownName(
                f"{asked}: {stat} belongs to role {wanted!r}: run.series({shown(address)}, {stat!r}, {wanted!r})."
            )
        with self._lock:
            key = self._key(address, role, asked)
            if stat != "update_ratio":
                return self._stats.series(key, stat)
            steps, change = self._stats.series(key, "l2")
            _, size = self._stats.series(self._key(address, "parameter", asked), "l2")
            return steps, np.divide(change, size, out=np.full(len(steps), np.nan), where=size > 0)

    def overview(self, address: AddressLike, stat: str, role: str = "activation", buckets: int = 256) -> Overview:
        """A series in at most so many stretches of steps with lowest, mean and highest value: for a picture of it.

        Raises as :meth:`series`.
        """
        return overview(*self.series(address, stat, role), max(1, int(buckets)))

    def summary(self, address: AddressLike, role: str = "activation", step: int | None = None) -> TensorSummary:
        """All statistics of one tensor at a captured step; without a step, at the last one that has it.

        Raises UnknownAddress, UnknownName, NoSuchStep.
        """
        asked = f"run.summary({shown(address)}, {role!r}, {step})"
        with self._lock:
            key = self._key(address, role, asked)
            candidates = (step,) if step is not None else reversed(self._stats.steps())
            at = next((candidate for candidate in candidates if self._stats.has(key, candidate)), None)
            found = None if at is None else self._stats.find(key, at)
            if found is None:
                raise self._no_such_step(asked, step, key)
            return summary_of(*found, address_of(address))

    def summary_of_row(self, stats: StepStats, row: int) -> TensorSummary:
        """One row of a StepStats of this run (``records``, ``records_at``) as its summary."""
        return summary_of(stats, row, self.address_table[int(stats.address[row])])

    def histogram(
        self, address: AddressLike, role: str = "activation", step: int | None = None
    ) -> npt.NDArray[np.uint32] | None:
        """[128] counts in the log2 bins of ``schema.HISTOGRAM_BINS``; None if that tensor has none at that step.

        ``graphscope.run.histogram_edges()`` are the edges of the bins. Raises as :meth:`summary`.
        """
        return self.summary(address, role, step).histogram

    def gradient_state(self, step: int | None = None) -> str | None:
        """What the gradients of parameters recorded at a step are; without a step, at the last captured one.

        ``final``: as the optimizer used them, after accumulation, unscaling, clipping and reduction; ``scaled``: as it
        got them, and it unscaled them itself; ``reduced`` or ``local``: at the end of backward, where no optimizer
        updates the model (``schema.GRADIENT_STATES``). None: none were recorded, or it is not known (an older file, a
        step with a closure). Raises NoSuchStep.
        """
        with self._lock:
            steps = self._stats.steps()
            at = steps[-1] if step is None and steps else step
            if at is None or at not in steps:
                where = f"captured were {listed(steps) or 'none'}{nearest(step, steps) if step is not None else ''}"
                raise NoSuchStep(f"run.gradient_state({step}): {where}.")
            return self._stats.gradient_state(at)

    def op_gradients(self, step: int | None = None) -> np.ndarray:
        """The gradients that flowed through the ops of a step's graph, one row an output of an op, in their order.

        A structured array: node (its ``OpNode.id``), output, count and every name of ``schema.STATISTICS``. An op that
        got no gradient has no row. Without a step, the last one that has any. Raises NoSuchStep.
        """
        with self._lock:
            return as_table(self._op_gradients.at(step))

    def op_gradient_series(
        self, node: int | OpNode, stat: str, output: int = 0, graph: Graph | None = None
    ) -> tuple[Steps, Values]:
        """Captured steps of a graph (the last one), rising, and one statistic of the gradient of one op's output.

        NaN where it got none. Raises UnknownName for a statistic that does not exist and an op the graph has not.
        """
        graph = graph or self.graph
        number = node.id if isinstance(node, OpNode) else node
        if graph is None or not any(op.id == number for op in graph.nodes):
            has = "no graph was recorded" if graph is None else f"the graph has the ops 0 to {len(graph.nodes) - 1:,}"
            raise UnknownName(f"run.op_gradient_series({number!r:.40}, {stat!r:.40}): no op has that number: {has}.")
        with self._lock:
            return self._op_gradients.series(node, stat, output, "" if graph is None else graph.graph_id)

    def inside(self, fqn: str, call: int = 0, step: int | None = None) -> Inside:
        """The aten ops that ran inside one call of a module which ``session.look_inside`` asked for, in order.

        Without a step, when it was last looked into. Raises UnknownAddress, NoSuchStep.
        """
        with self._lock:
            return self._inside.at(fqn, call, step)

    @property
    def looked_inside(self) -> list[tuple[str, int]]:
        """(fqn, call) that ``inside`` takes."""
        with self._lock:
            return self._inside.calls

    def layer(self, address: AddressLike, step: int | None = None) -> LayerStats:
        """What a layer recorded of itself at a step, for instance BatchNormStats; without a step, the last one.

        Raises UnknownAddress, NoSuchStep.
        """
        fqn, call, _ = address_of(address)
        with self._lock:
            steps = self._layers.get((fqn, call))
            asked = f"run.layer({shown(address)}, {step})"
            if steps is None:
                known = [name for name, _ in self._layers]
                raise UnknownAddress(
                    f"{asked}: no layer of that path recorded itself. "
                    f"Recorded: {listed(known) or 'none'}.{did_you_mean(fqn, known)}"
                )
            found = len(steps.steps) - 1 if step is None else steps.find(step)
            if found is None:
                near = nearest(step or 0, steps.steps)
                raise NoSuchStep(f"{asked}: it was recorded at {listed(steps.steps)}{near}.")
            record: LayerStats = self._filed[steps.numbers[found]]
            return record

    def layer_series(self, fqn: str, call: int = 0) -> list[LayerStats]:
        """What a layer recorded of itself, one a step, rising; empty if it never did."""
        with self._lock:
            steps = self._layers.get((fqn, call))
            return [] if steps is None else [self._filed[number] for number in steps.numbers]

    @property
    def layers(self) -> list[tuple[str, int]]:
        """(fqn, call) of the layers that recorded themselves."""
        with self._lock:
            return list(self._layers)

    def scalar_names(self) -> list[str]:
        """Names that ``scalars`` takes."""
        with self._lock:
            return self._columns.names()

    def scalars(self, name: str) -> tuple[Steps, Values]:
        """Steps at which a scalar such as ``loss`` is known, rising, and its values. Raises UnknownName."""
        with self._lock:
            names = self._columns.names()
            if name not in names:
                raise UnknownName(
                    f"run.scalars({name!r:.60}): this run holds no scalar of that name. "
                    f"Recorded: {listed(names) or 'none'}.{did_you_mean(str(name), names)}"
                )
            return self._columns.scalar(name)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a tensor and captured step: step, pass, address, role, shape, dtype and every statistic.

        Needs pandas; raises UnknownName where it is not installed.
        """
        with self._lock:
            entries = list(self._stats.entries)
        return dataframe_of((entry.stats for entry in entries), self.address_table)

    # Names

    def _role(self, role: str, asked: str) -> int:
        if role not in ROLES:
            raise UnknownName(
                f"{asked}: no role is called {role!r:.60}. Roles: {', '.join(ROLES)}.{did_you_mean(str(role), ROLES)}"
            )
        return ROLES.index(role)

    def _key(self, given: AddressLike, role: str, asked: str) -> int:
        """Address and role -> the key of its rows. Raises UnknownAddress with what there is instead."""
        code = self._role(role, asked)
        address = address_of(given)
        number = self.address_table.number(address)
        if number is not None and (key := key_of(number, code)) in self._stats.keys:
            return key
        roles = [] if number is None else [r for i, r in enumerate(ROLES) if key_of(number, i) in self._stats.keys]
        if roles:
            raise UnknownAddress(f"{asked}: {address} has no {role}. Recorded of it: {', '.join(roles)}.")
        known = [str(one) if isinstance(one, str) else str(Address(*one)) for one in self.addresses(role)]
        raise UnknownAddress(
            f"{asked}: nothing is recorded of {address}. This run holds {len(known):,} addresses with that role"
            f"{': ' + listed(known) if known else ''}.{did_you_mean(str(address), known)}"
        )

    def _no_such_step(self, asked: str, step: int | None, key: int) -> NoSuchStep:
        having = [s for s in self._stats.steps() if self._stats.has(key, s)]
        where = f"it was measured at {listed(having)}"
        return NoSuchStep(f"{asked}: {where}{nearest(step, having) if step is not None else ''}.")

    # Display

    def __repr__(self) -> str:
        header = self.header
        name = f"{header.name}" if header else "header lost"
        state = "finished" if self.finished else "unfinished"
        damaged = f", {self.damaged} damaged" if self.damaged else ""
        return f"Run({name}: {len(self._columns)} steps, {len(self.captured_steps)} captured, {state}{damaged})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from graphscope.jupyter.display import run_mimebundle

        return run_mimebundle(self, **kwargs)
