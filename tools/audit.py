"""Known weaknesses of the pinned dependencies, by pip-audit: `python -m tools.audit`.

It asks a database on the network. Where that cannot be reached, or knows none of the packages (a mirror), nothing was
audited, and that is said and is no failure: the same commit must not fail for want of a network.

Exit code 1 if a pinned version has a known weakness that is not in `ACCEPTED`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parents[1] / "constraints.txt"
ACCEPTED: Mapping[str, str] = {}
"""Identifier of a finding that stays -> the reason why."""
_PATIENCE = 120
"""Seconds."""


def report() -> Mapping[str, Any] | str:
    """What pip-audit found in the pinned versions, or why there is nothing."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(PINNED), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return f"there was no answer within {_PATIENCE} s"
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"pip-audit ended with exit code {done.returncode}"
    return found if isinstance(found, dict) else "pip-audit gave no report"


def judge(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(lines to print, findings that are not accepted) of a report in pip-audit's JSON."""
    packages = found["dependencies"]
    audited = [package for package in packages if "vulns" in package]
    lines, open_findings = [], []
    for package in audited:
        for finding in package["vulns"]:
            names = [finding["id"], *finding.get("aliases", ())]
            fixed = ", ".join(finding.get("fix_versions", ())) or "no version"
            text = f"{package['name']} {package['version']}: {' '.join(names)}, fixed in {fixed}"
            reason = next((ACCEPTED[name] for name in names if name in ACCEPTED), None)
            lines.append(f"{text}; accepted: {reason}" if reason else text)
            if reason is None:
                open_findings.append(text)
    if not audited:
        return ["pip-audit: skipped, nothing was audited: this database knows none of the packages"], []
    unknown = f" and does not know {count}" if (count := len(packages) - len(audited)) else ""
    known = f"{len(open_findings)} known weakness{'' if len(open_findings) == 1 else 'es'}"
    lines.append(f"pip-audit: {known}; the database knows {len(audited)} pinned versions{unknown}")
    return lines, open_findings


def main() -> None:
    """Audit and print."""
    found = report()
    if isinstance(found, str):
        print(f"pip-audit: skipped, nothing was audited: {found}")
        return
    lines, open_findings = judge(found)
    print("\n".join(lines))
    sys.exit(bool(open_findings))


if __name__ == "__main__":
    main()
