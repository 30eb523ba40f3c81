"""The design tokens that pictures without a stylesheet use; a test holds them to ``js/src/base/css/tokens.css``."""

from __future__ import annotations

LIGHT = {
    "canvas": "#f6f7f9",
    "raised": "#ffffff",
    "line": "#dfe3e8",
    "line-strong": "#b4bcc6",
    "fg": "#171a1f",
    "fg-2": "#4d5661",
    "fg-3": "#636c77",
    "edge-mid": "#848d99",
    "error": "#c4262e",
    "error-bg": "#fde8e8",
    "error-fg": "#8f1219",
}
DARK = {
    "canvas": "#16191d",
    "raised": "#24282f",
    "line": "#31373f",
    "line-strong": "#525b67",
    "fg": "#eceef1",
    "fg-2": "#b4bcc6",
    "fg-3": "#929ba7",
    "edge-mid": "#646e7a",
    "error": "#ff7b80",
    "error-bg": "#46191c",
    "error-fg": "#ffb9bb",
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif'
