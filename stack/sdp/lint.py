"""What is wrong or unwise in a description: rules with an identifier, a severity, a source and the line.

>>> for finding in lint(text):
...     print(finding.line, finding.severity, finding.rule, finding.message)
"""

from dataclasses import dataclass
from typing import Final

from . import lint_media, lint_transport
from .errors import LineError, shortened
from .lint_rule import CHECKS, RULES, Context, Kind, Rule, Severity

MAX_FINDINGS: Final = 1000
"""Findings of one description: nobody reads more, and hostile text could make each pair of lines one."""

_MODULES: Final = (lint_transport, lint_media)  # importing them registers their rules


@dataclass(slots=True)
class Finding:
    """What a rule found.

    Attributes:
        rule: Identifier of the rule.
        severity: As of the rule.
        source: As of the rule.
        line: From 1; where it is best seen.
        text: That line, shortened and without secrets; empty if there is none.
        message: What is wrong here.
        section: Index of the section, or None for the session level.
    """

    rule: str
    severity: Severity
    source: str
    line: int
    text: str
    message: str
    section: int | None = None


def lint(text: str, kind: Kind | None = None) -> list[Finding]:
    """Return what is wrong or unwise, in the order of the lines, at most `MAX_FINDINGS`.

    Args:
        text: The description.
        kind: Whether it is an offer or an answer, for rules that hold for one of them.

    Raises:
        ParseError: It is larger than any description may be.
    """
    context = Context(text, kind)
    findings = [_syntax(context, error) for error in context.errors[:MAX_FINDINGS]]
    for known, check in CHECKS:
        for line, message in check(context):
            if len(findings) >= MAX_FINDINGS:
                break
            shown = shortened(context.lines[line - 1]) if 1 <= line <= len(context.lines) else ""
            section = context.section_of(line)
            findings.append(Finding(known.id, known.severity, known.source, line, shown, message, section))
    return sorted(findings, key=lambda finding: (finding.line, finding.rule))


def _syntax(context: Context, error: LineError) -> Finding:
    section = context.section_of(error.line_number)
    source = _SOURCES.get(error.reason, "RFC 8866 section 5")
    return Finding(f"syntax-{error.reason}", "error", source, error.line_number, error.line, error.explanation, section)


_SOURCES: Final = {
    "bad-attribute": "RFC 8866 section 5.13",
    "bad-bandwidth": "RFC 8866 section 5.8",
    "bad-candidate": "RFC 8839 section 5.1",
    "bad-character": "RFC 8866 section 9",
    "bad-connection": "RFC 8866 section 5.7",
    "bad-extmap": "RFC 8285 section 5",
    "bad-fingerprint": "RFC 8122 section 5",
    "bad-group": "RFC 5888 section 5",
    "bad-ice-options": "RFC 8839 section 5.6",
    "bad-ice-pacing": "RFC 8839 section 5.5",
    "bad-ice-pwd": "RFC 8839 section 5.4",
    "bad-ice-ufrag": "RFC 8839 section 5.4",
    "bad-max-message-size": "RFC 8841 section 6.2",
    "bad-media": "RFC 8866 section 5.14",
    "bad-mid": "RFC 5888 section 4",
    "bad-msid": "RFC 8830 section 2",
    "bad-origin": "RFC 8866 section 5.2",
    "bad-rtcp": "RFC 3605 section 2.1",
    "bad-rtcp-fb": "RFC 4585 section 4.2",
    "bad-rtpmap": "RFC 8866 section 6.6",
    "bad-sctp-port": "RFC 8841 section 5.2",
    "bad-setup": "RFC 4145 section 4",
    "bad-ssrc": "RFC 5576 section 4.1",
    "bad-ssrc-group": "RFC 5576 section 4.2",
    "bad-timing": "RFC 8866 section 5.9",
    "bad-tls-id": "RFC 8842 section 4",
    "bad-version": "RFC 8866 section 5.1",
    "duplicate-mid": "RFC 5888 section 4",
}
"""Where the grammar of what is wrong is written down."""

__all__ = ["MAX_FINDINGS", "RULES", "Finding", "Rule", "lint"]
