# SPDX-License-Identifier: MIT
"""What the lints share: the source tree, and a way to tell what is wrong with it."""
import os
import pathlib
import re
import sys

# tests/lint/lints lints small broken trees instead.
ROOT = pathlib.Path(os.environ.get("LINT_ROOT") or pathlib.Path(__file__).resolve().parents[2])

# Comments and literals of C, longest first, so that one never starts inside another.
TOKENS = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'", re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def files(*patterns, under=("src", "include", "tests")):
    """The files below these folders that match one of the patterns, in order."""
    found = (path for folder in under for pattern in patterns
             for path in (ROOT / folder).rglob(pattern))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def read(path):
    return path.read_text(encoding="utf-8")


def code(text):
    """C without its comments and with empty literals; line numbers stay."""
    def blank(match):
        token = match.group()
        return "\n" * token.count("\n") if token[0] == "/" else token[0] * 2
    return TOKENS.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Findings:
    def __init__(self):
        self.count = 0

    def add(self, path, line, message):
        self.count += 1
        print(f"{pathlib.Path(path).relative_to(ROOT)}:{line}: {message}")

    def exit(self):
        """Ends the lint."""
        if self.count:
            sys.exit(f"{self.count} finding{'s' if self.count > 1 else ''}")
        sys.exit(0)
