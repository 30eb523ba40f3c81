"""Graphs and runs -> things to keep: a static picture, a text page, one self-contained HTML file."""
