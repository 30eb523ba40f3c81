"""Run, Session and model -> what is seen in Jupyter: the view, its link to the kernel, the magics, the sidebar."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext graphscope``. Imported late: displays of other packages come through here without IPython."""
    from graphscope.jupyter.magic import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext graphscope``."""
    from graphscope.jupyter.magic import unload_ipython_extension as unload

    unload(shell)
