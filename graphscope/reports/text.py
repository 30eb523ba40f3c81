"""Run -> a page of text: what was trained, what was recorded, what was found (``graphscope show``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import median

from graphscope.errors import NoSuchStep
from graphscope.graph import Graph
from graphscope.reports.words import count_text, plain, shape_text
from graphscope.run import Run, TensorSummary
from graphscope.schema import BatchNormStats, DropoutStats, Finding

MOST_ROWS = 40
"""Rows of the table of layers; more are counted."""
MOST_FINDINGS = 20
MOST_NOTES = 10
MOST_RAISED = 3
MOST_RANKS = 16
MOST_LOOKED_INSIDE = 4
MOST_ATEN_NAMES = 12
UNKNOWN = "–"
_GRADIENT_STATES = {
    "final": "final: as the optimizer used them, accumulated, unscaled and clipped",
    "scaled": "scaled: as the optimizer got them from a GradScaler, to unscale them itself",
    "reduced": "reduced: the mean over the processes, read when backward was done (no optimizer was seen)",
    "local": "local: of this process, read when backward was done (no optimizer was seen)",
}
_STATISTICS = {
    "native": "the C kernel",
    "torch": "torch operations (slower: no kernel of ours was built, or none serves this device)",
    "triton": "a Triton kernel on the GPU (never measured on one by its authors)",
}


def summary_text(run: Run) -> str:
    """Everything a terminal can show of a run. Texts of the run are cut and their control characters made visible."""
    parts = [
        _head(run),
        chain(_graph(run.graph), _raised(run)),
        _scalars(run),
        _findings(run.findings),
        _layers(run),
        _inside(run),
        _notes(run),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def number(x: float | None) -> str:
    """A measured value with three significant digits, ``0.00113``, ``1,230`` or ``−1.2e−9``; unknown is a dash."""
    if x is None or math.isnan(x):
        return UNKNOWN
    size = abs(x)
    if math.isinf(x):
        text = "∞" if x > 0 else "-∞"
    elif x == 0:
        text = "0"
    elif size < 0.001 or size >= 1e6:
        mantissa, exponent = f"{x:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{x:,.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.replace("-", "−")


def percent(share: float | None) -> str:
    """``0.6 %``; a share that is not zero never reads ``0 %``, nor one below 1 ``100 %``."""
    if share is None or math.isnan(share):
        return UNKNOWN
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 < share < 1 else f"{100 * share:.1f} %".replace("-", "−")


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows, the first of them the heads -> aligned lines: first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(row)]
        yield ("  " + "  ".join(cells)).rstrip()


def _head(run: Run) -> Iterator[str]:
    header = run.header
    if header is None:
        yield "A run whose header is lost"
    else:
        yield f"{plain(header.name)} ({plain(header.model)}), recorded {plain(header.created) or 'at an unknown time'}"
    steps, captured = len(run.steps), len(run.captured_steps)
    state = "finished" if run.finished else "not finished: still recording, or its process was killed"
    yield f"  {count_text(steps)} steps, {count_text(captured)} of them captured; {state}"
    plain_passes = sum(one.repeats for one in run.passes if not one.grad_enabled)
    if plain_passes:
        yield f"  {count_text(plain_passes)} forwards without gradients, which are no steps"
    if header is not None:
        versions = [("GraphScope", header.graphscope), ("PyTorch", header.torch), ("Python", header.python)]
        known = [f"{name} {plain(version)}" for name, version in versions if version]
        known += [plain(header.device)] if header.device else []
        known += [f"{len(run.headers)} files of {header.world_size} ranks"] if len(run.headers) > 1 else []
        if known:
            yield f"  {', '.join(known)}"
    if header is not None and header.statistics in _STATISTICS:
        yield f"  Statistics by {_STATISTICS[header.statistics]}"
    yield from _ranks(run)
    overhead = run.overhead
    if overhead is not None:
        steady, every = run.steady_overhead, "" if header is None else plain(header.every)
        since = f"; {percent(steady)} without the first steps, all captured" if every == "auto" and steady else ""
        yield f"  Watching took {percent(overhead)} of the step time{since}"
        costs = [r.self_seconds for r in run.step_records if r.captured]
        if costs:
            yield f"  A captured step cost {1e3 * median(costs):,.2f} ms, at most {1e3 * max(costs):,.2f} ms"
    if dropped := sum(end.dropped for end in run.ends):
        yield f"  {count_text(dropped)} record{'s' if dropped > 1 else ''} lost: the disk was too slow or full (notes)"
    if run.damaged:
        yield f"  {count_text(run.damaged)} damaged record{'s' if run.damaged > 1 else ''} left out"


def _ranks(run: Run) -> Iterator[str]:
    """One line for each process of a run that has several."""
    ranks = run.ranks
    if len(ranks) < 2:
        return
    for one in ranks[:MOST_RANKS]:
        seen = f", last seen {plain(one.last_seen)}" if one.last_seen else ""
        last = "no step yet" if one.last_step is None else f"last step {count_text(one.last_step)}"
        restarts = f", {count_text(one.files)} files" if one.files > 1 else ""
        yield f"  Rank {one.rank}: {last}{seen}; {'finished' if one.finished else 'not finished'}{restarts}"
    if len(ranks) > MOST_RANKS:
        yield f"  and {count_text(len(ranks) - MOST_RANKS)} more ranks"


def _graph(graph: Graph | None) -> Iterator[str]:
    if graph is None:
        yield "Graph: none recorded"
        return
    modules = f"{count_text(len(graph.modules))} modules, {count_text(graph.parameter_count)} parameters"
    ops = f"{count_text(len(graph.nodes))} ops in " if graph.traced else "module tree only: "
    yield f"Graph: {ops}{modules}"
    if graph.partial:
        yield f"  The pass ended early: {plain(graph.partial, 200)}"


def _raised(run: Run) -> Iterator[str]:
    """The last passes that raised, and where."""
    failed = [one for one in run.passes if one.error]
    for one in failed[-MOST_RAISED:]:
        where = f" in {plain(one.error_fqn)}" if one.error_fqn else ""
        yield f"  Step {one.step}: a pass raised{where}: {plain(one.error or '', 200)}"
    if len(failed) > MOST_RAISED:
        yield f"  and {count_text(len(failed) - MOST_RAISED)} earlier ones"


def _scalars(run: Run) -> Iterator[str]:
    names = run.scalar_names()
    if not names:
        return
    yield "Scalars"
    rows = [["", "first", "lowest", "highest", "last", "at step"]]
    for name in names[:MOST_ROWS]:
        steps, values = run.scalars(name)
        known = [float(v) for v in values if not math.isnan(v)]
        ends = (min(known), max(known)) if known else (None, None)
        first, last = ("NaN" if math.isnan(v) else number(float(v)) for v in (values[0], values[-1]))
        rows.append([plain(name), first, number(ends[0]), number(ends[1]), last, str(steps[-1])])
    yield from table(rows)
    if len(names) > MOST_ROWS:
        yield f"  and {count_text(len(names) - MOST_ROWS)} more"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        yield "Findings: none"
        return
    yield f"Findings: {count_text(len(findings))}"
    for finding in findings[:MOST_FINDINGS]:
        step = f", first at step {finding.step}" if finding.step is not None else ""
        often = f", {count_text(finding.count)} times" if finding.count > 1 else ""
        yield f"  {finding.severity.upper()}: {plain(finding.title, 120)} ({plain(finding.rule, 60)}{step}{often})"
        yield f"    {plain(finding.message, 400)}"
        if finding.advice:
            yield f"    To do: {plain(finding.advice, 400)}"
        yield from (f"      {plain(line, 200)}" for line in finding.fix.splitlines()[:10])
    if len(findings) > MOST_FINDINGS:
        yield f"  and {count_text(len(findings) - MOST_FINDINGS)} more"


def _layers(run: Run) -> Iterator[str]:
    captured = run.captured_steps
    if not captured:
        return
    step = captured[-1]
    addresses = run.addresses("activation")
    gradients = set(run.addresses("gradient"))
    yield f"Outputs of the modules at step {step}"
    rows = [["", "shape", "mean", "std", "zeros", "NaN and Inf", "gradient rms"]]
    for address in addresses[:MOST_ROWS]:
        name = address if isinstance(address, str) else f"{address[0]} call {address[1]} output {address[2]}"
        here = _at(run, address, "activation", step)
        gradient = _at(run, address, "gradient", step) if address in gradients else None
        if here is None:
            rows.append([plain(name) or "(root)", *[UNKNOWN] * 5, UNKNOWN])
            continue
        bad = None if here.nan is None or here.inf is None else here.nan + here.inf
        rows.append(
            [
                plain(name) or "(root)",
                plain(shape_text(here.shape)),
                number(here.mean),
                number(here.std),
                percent(here.zero_share),
                UNKNOWN if bad is None else count_text(bad),
                number(gradient.rms if gradient else None),
            ]
        )
    yield from table(rows)
    if len(addresses) > MOST_ROWS:
        yield f"  and {count_text(len(addresses) - MOST_ROWS)} more"
    if (state := run.gradient_state(step)) is not None:
        yield f"  Gradients of parameters are {_GRADIENT_STATES.get(state, plain(state, 40))}"
    yield from _kinds(run)


def _inside(run: Run) -> Iterator[str]:
    """What ran inside the module calls that were looked into."""
    for fqn, call in run.looked_inside[:MOST_LOOKED_INSIDE]:
        inside = run.inside(fqn, call)
        record = inside.record
        more = f", {count_text(record.left_out)} more were not recorded" if record.left_out else ""
        which = f" call {call}" if call else ""
        times = f"{count_text(len(record.name))} aten ops"
        yield f"Inside {plain(fqn) or '(root)'}{which} at step {record.step}: {times}{more}"
        if record.error:
            yield f"  It raised: {plain(record.error, 200)}"
        counts = inside.counts()
        rows = [["", "times", "ms"], *([plain(r.name), count_text(r.times), number(1e3 * r.seconds)] for r in counts)]
        yield from table(rows[: MOST_ATEN_NAMES + 1])
        if len(counts) > MOST_ATEN_NAMES:
            yield f"  and {count_text(len(counts) - MOST_ATEN_NAMES)} more names"


def _at(run: Run, address: str | tuple[str, int, int], role: str, step: int) -> TensorSummary | None:
    try:
        return run.summary(address, role, step)
    except NoSuchStep:
        return None


def _kinds(run: Run) -> Iterator[str]:
    """One line for each layer that recorded itself, of its last step."""
    for fqn, call in run.layers[:MOST_ROWS]:
        stats = run.layer((fqn, call))
        name = plain(fqn) or "(root)"
        if isinstance(stats, DropoutStats):
            mode = "train" if stats.training else "eval"
            yield f"  {name}: Dropout set to {percent(stats.p)}, dropped {percent(stats.dropped)} ({mode} mode)"
        elif isinstance(stats, BatchNormStats):
            mode = "the batch's" if stats.training else "the running"
            yield f"  {name}: BatchNorm over {len(stats.batch_mean)} channels, normalised with {mode} statistics"


def _notes(run: Run) -> Iterator[str]:
    if not run.notes:
        return
    yield "Notes"
    yield from (f"  {plain(note.text, 400)}" for note in run.notes[:MOST_NOTES])
    if len(run.notes) > MOST_NOTES:
        yield f"  and {count_text(len(run.notes) - MOST_NOTES)} more"
