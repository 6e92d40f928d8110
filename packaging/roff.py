# SPDX-License-Identifier: Apache-2.0
"""Text as roff, for the man pages."""

import re


def escaped(text: str) -> str:
    """Returns text as it is to be read: no hyphen becomes a dash, no line a request."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    named = re.sub(r"[^\x00-\x7f]", lambda found: rf"\[u{ord(found[0]):04X}]", safe)
    return rf"\&{named}" if named.startswith(".") else named


def marked(text: str) -> str:
    """Returns text in which `code` is bold."""
    return re.sub("`([^`]+)`", r"\\fB\1\\fP", escaped(text))


def heading(title: str, level: int = 1) -> str:
    """Returns the heading of a section, or of a part of one."""
    return f'.{"SH" if level == 1 else "SS"} "{escaped(title.upper() if level == 1 else title)}"'


def entry(term: str, text: str) -> str:
    """Returns a term and what is said of it."""
    return f".TP\n.B {escaped(term)}\n{marked(text)}"


def paragraph(text: str) -> str:
    """Returns a paragraph, whatever its lines were."""
    return f".PP\n{marked(' '.join(text.split()))}"


def example(*lines: str) -> str:
    """Returns lines that stay as they are."""
    return "\n".join((".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE"))
