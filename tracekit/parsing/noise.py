"""Noise: what a serial line, a terminal, a web page or a paste leaves in lines. Which kinds a source has is settled on its first lines."""

from collections.abc import Iterable, Sequence

import polars as pl

from tracekit.speed import compiled

_SEVERAL = 8  # sources whose signs Python has found before polars has made the expression of all signs ready
STAMPED = r"(?:<[0-9]+>)?\[ *[0-9]+\.[0-9]{6}\]"
# How a line of a log begins: printk, Xen, dmesg's other stamps, syslog daemons and journalctl, a collector's tag, QEMU.
_BEGINS = (
    rf"{STAMPED}|\((?:XEN|d[0-9]+)\)|<[0-9]{{1,3}}>|\[ *\+[0-9]|\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
    r"|(?:kern|user|daemon|syslog) *:[a-z]+ *: "
    r"|[A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"|(?:[^\s:\"'`]+ )?kernel: ?|(?:/[^\s:]*/)?qemu-[a-z0-9_-]+: "
)
# A kernel's record that stands in a field of a line: CSV, logfmt, an object behind a collector's own stamp.
_RECORD = rf"(?:{STAMPED} |(?:[A-Z][a-z]{{2}} {{1,2}}[0-9]{{1,2}}|[0-9-]{{10}}T)[^ ]* [^ \"]+ (?:[^ \"]+ )?kernel: )"
_ITEM = r"(?:[-*+|]|[0-9]{1,4}[.)])[ \t]+"  # the mark of a list or a table
# What grep puts before each line: the file, the number of the line, both; `cat -n` the number and a tab.
_FILE = (
    r"(?:[\w.~+@\-]*/)*[\w.+@\-]*\.(?:log|txt|out|[0-9]{1,3})(?:\.[0-9]{1,3})?|/(?:[A-Za-z0-9_.+@\-]{1,80}/){1,12}[A-Za-z0-9_.+@\-]{1,80}"
    r"|(?:messages|syslog|kern|dmesg)(?:-[0-9]{8})?|\(standard input\)"
)
# xenconsoled stamps what it reads, which may be the rest of a line: `entry 0[2025-01-09 06:52:59] x0)`.
_READ_AT = r"\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\] "
_COUNTED = r"[0-9]{1,7}(?:[:\-]|\t)"
_TAGS = (
    ("<>", r"</?(?:pre|code|samp|tt|p|br|span|div|td|tr|li|font|b|details|summary)(?: [^<>\n]*)?/?>"),
    ("[]", r"\[/?(?:code|quote|pre|spoiler)(?:=[^\[\]\n]*)?\]"),
    ("{}", r"\{(?:code|noformat)(?::[^{}\n]*)?\}"),
)
_ENTITY = r"&(?:[lg]t|amp|quot|nbsp|apos|#[0-9x])"
_ENTITIES = (
    (r"&lt;", "<"),
    (r"&gt;", ">"),
    (r"&(?:quot|#34|#x22);", '"'),
    (r"&(?:apos|#0?39|#x27);", "'"),
    (r"&nbsp;", " "),
    (r"&amp;", "&"),
)


def _recorded(mark: str) -> tuple[str, str, str, str]:
    """Return a kernel's record in quotes, and what stands around it."""
    return mark, rf"{mark}{_RECORD}", rf"""^.*?{mark}({_RECORD}(?:[^{mark}\\]|\\.)*?)(?:\\n)?{mark}(?:[^"'`\\ ].*)?$""", "${1}"


def _quoted(mark: str) -> tuple[str, str, str, str]:
    """Return a whole line in quotes, also as an item of a list: how lists of Markdown, YAML and Ansible print one."""
    sign = rf"\n[ \t]*(?:{_ITEM})?{mark}(?:{_BEGINS})"
    return mark, sign, rf"^[ \t]*(?:{_ITEM})?{mark}((?:{_BEGINS}).*?)(?:\\n)?{mark}[,;.]?[ \t]*$", "${1}"


# (characters that every match of the sign holds, sign, expression, replacement) in the order in which they are cleaned. Most logs lack one
# of these characters. Signs are looked for behind line breaks, and begin with one character: an expression that begins with a fixed text is
# found ten times as fast as one that begins with `^` or with one of several.
_KINDS: tuple[tuple[str, str, str, str], ...] = (
    ("\r", r"\r", r"\r+$", ""),
    ("\r", r"\r", rf"^.*\r({STAMPED})", "${1}"),
    # A terminal's blanks up to its edge, in a part of the log: where most lines have them that is a mail (`is_padded`). The heads of traces
    # have some, and the kernel's own messages one.
    ("", r"   \n[^#\n][^\n]*   \n[^#\n][^\n]*   (?:\n|\Z)", r"[ \t]+$", ""),
    ("\x1b", r"\x1b", r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_78=>c])", ""),
    ("\0", r"\x00", r"\x00+", ""),
    ("\b", r"\x08", "\x08", ""),
    ("[]-:", rf"\n{_READ_AT}[^\n]*[0-9A-Za-z]{_READ_AT}", rf"^({_READ_AT}.*?[0-9A-Za-z]){_READ_AT}", "${1}"),
    ("", "[\u00a0\u2007\u202f]", "[\u00a0\u2007\u202f]", " "),
    # What forums and word processors make of what was typed: can\u2019t, \u201cirqpoll\u201d, error \u201328, and marks that nobody sees.
    ("", "[\u2018\u2019]", "[\u2018\u2019]", "'"),
    ("", "[\u201c\u201d\u201e]", "[\u201c\u201d\u201e]", '"'),
    ("\u2026", "\u2026", "\u2026", "..."),
    ("", "[\u2010-\u2013\u2212]", "[\u2010-\u2013\u2212]", "-"),
    ("", "[\u200b-\u200d\u2060\ufeff]", "[\u200b-\u200d\u2060\ufeff]", ""),
    *(("&", _ENTITY, *kind) for kind in _ENTITIES),
    ("#0", r"#0(?:33|11)", r"#033\[[0-9;]*m", ""),
    ("#0", r"#0(?:33|11)", r"#011", "\t"),
    ("^[", r"\^\[\[", r"\^\[\[[0-9;]*[mK]", ""),
    ("\\[", r"\\(?:x1b|e|033|u001b)\[", r"\\(?:x1b|e|033|u001b)\[[0-9;]*[mK]", ""),
    # dmesg --color, whose escapes a browser left out: `[32m[   20.445803] [0m[33mirq 26: [0mnobody cared`
    ("m[.]", r"\[[0-9;]{1,12}m\[ *[0-9]+\.[0-9]{6}\]", r"\[[0-9;]{0,12}m", ""),
    # Markdown's escapes, as forums store them: `\[   12.345678\] nvme\_core`; the `\_SB` of ACPI is none.
    ("\\[.]", r"\\\[ *[0-9]+\.[0-9]{6}\\\]", r"\\([\[\]_*<>#()~.`+!\-])", "${1}"),
    ("\\_", r"[a-z0-9]\\_[a-z0-9]", r"\\_", "_"),
    *((marks, tag, tag, "") for marks, tag in _TAGS),
    ("`", "```", "```", ""),
    ("\\", rf"\n(?:{_BEGINS})[^\n]*[ \t]\\[ \t]*(?:\n|$)", rf"^((?:{_BEGINS}).*?)[ \t]+\\[ \t]*$", "${1}"),
    *map(_recorded, ('"', "'", "`")),
    *map(_quoted, ("`", '"', "'")),
    ("", rf"\n[ \t]*[*_]{{1,3}}(?:{_BEGINS})", rf"^[ \t]*[*_]{{1,3}}((?:{_BEGINS}).*?)[*_]{{1,3}}[ \t]*$", "${1}"),
    ("", rf"\n(?:{_FILE})[:\-](?:{_COUNTED})?(?:{_BEGINS})", rf"^(?:{_FILE})[:\-](?:{_COUNTED})?({_BEGINS})", "${1}"),
    ("", rf"\n[ \t]*{_COUNTED}(?:{_BEGINS})", rf"^[ \t]*{_COUNTED}({_BEGINS})", "${1}"),
    ('"\\', rf'\n[ \t]*(?:{_ITEM})?"?(?:{_BEGINS})[^\n]*\\"', r"\\\"", '"'),
    ("|", rf"\n[ \t]*\|(?:[^|\n]*\|)?[ \t]*(?:{_BEGINS})", rf"^[ \t]*\|(?:[^|]*\|)?[ \t]*((?:{_BEGINS}).*?)[ \t]*(?:\|[ \t]*)?$", "${1}"),
    ("|", r" \|[ \t]*\n", rf"^((?:{_BEGINS}).*?)[ \t]+\|[ \t]*$", "${1}"),
    ("", rf"\n[ \t]*{_ITEM}(?:{_BEGINS})", rf"^[ \t]*{_ITEM}({_BEGINS})", "${1}"),
    *(("\t", r"\A\n\t[^\n]*(?:\n(?:\t[^\n]*)?)*\Z", r"^\t", ""),) * 2,  # a paste's indentation, of every line
    *((blank.strip(" "), rf"\n{blank}[ \t]*(?:{_BEGINS})", rf"^[ \t]+({_BEGINS})", "${1}") for blank in (" ", "\t")),
)
_BACKSPACES = next(i for i, kind in enumerate(_KINDS) if kind[0] == "\b")
# One expression of polars for all signs; it writes the end of a text otherwise.
_ANY_SIGN = "|".join(f"(?:{sign})" for _, sign, _, _ in _KINDS).replace(r"\Z", r"\z")


def settle_together(samples: Sequence[Sequence[str]]) -> list[tuple[tuple[int, ...], list[str]]]:
    """Do as `settle` for some sources. Of several, polars tells those with a sign: saves 4 % of a small log in a batch, as few have one."""
    if len(samples) < _SEVERAL:
        return list(map(settle, samples))
    signs = pl.Series(map(_whole, samples), dtype=pl.String).str.contains(_ANY_SIGN)
    return [settle(sample) if sign else ((), list(sample)) for sample, sign in zip(samples, signs, strict=True)]


def settle(sample: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """Return the kinds of noise that some lines have, and the lines without them. A sign alone is none: something must come off."""
    lines, found = list(sample), []
    whole = _whole(lines)
    plain = whole.isascii()
    for i, (marks, sign, _, _) in enumerate(_KINDS):
        if (sign.isascii() or not plain) and all(map(whole.__contains__, marks)) and compiled(sign).search(whole):
            cleaned = clean(pl.Series("text", lines, dtype=pl.String), [i]).to_list()
            if cleaned != lines:
                found.append(i)
                lines, whole = cleaned, _whole(cleaned)
    return tuple(found), lines


def _whole(lines: Iterable[str]) -> str:
    return "\n".join(["", *lines])


def clean(text: pl.Series, kinds: Sequence[int]) -> pl.Series:
    """Take these kinds of noise off, each to its end."""
    for i in kinds:
        _, _, expression, replacement = _KINDS[i]
        if i == _BACKSPACES:
            text = _retyped(text)
        else:
            text = (
                text.str.replace(expression, replacement) if expression.startswith("^") else text.str.replace_all(expression, replacement)
            )
    return text


def _retyped(text: pl.Series) -> pl.Series:
    """Return lines as they stood on the terminal: each backspace takes the character before it."""
    rows = text.str.contains("\x08", literal=True).arg_true()
    return text.scatter(rows, [_without_backspaces(line) for line in text[rows]]) if len(rows) else text


def _without_backspaces(line: str) -> str:
    kept: list[str] = []
    for character in line:
        if character != "\x08":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)
