"""Run, Session and model -> what is seen in Jupyter: the view, its link to the kernel, the magics, the sidebar."""
