"""node-datachannel, libdatachannel in Node: the fastest peer measured, as one side of a `Pair`."""

import json
import shutil
import subprocess
from pathlib import Path

from .pair import ROOT, PeerProcess
from .registry import PeerMissingError

NAME = "node-datachannel"
PROGRAM = Path(__file__).with_name("peer.cjs")
PARTNERS = ROOT / "build" / "partners" / "npm"  # where the interop tests install it among others
PACKAGES = ROOT / "build" / "npm"
VERSIONS = ROOT / "tests" / "interop" / "partners" / "package.json"
INSTALLING = 180  # seconds that npm may take


def wanted():
    """The version that the interop tests name, so that there is one."""
    return json.loads(VERSIONS.read_text())["dependencies"][NAME]


def install(packages=PACKAGES, elsewhere=PARTNERS):
    """Install it by npm unless it is there, or elsewhere; return the folder that holds node_modules.

    Raises:
        PeerMissingError: There is no node or npm, or npm failed.
    """
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        raise PeerMissingError(f"{' and '.join(missing)} not found (Debian: apt-get install nodejs npm)")
    if (elsewhere / "node_modules" / NAME).exists():
        return elsewhere
    if not (packages / "node_modules" / NAME).exists():
        packages.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", packages, f"{NAME}@{wanted()}"]
        try:
            subprocess.run(command, check=True, timeout=INSTALLING, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise PeerMissingError(f"npm could not install it: {error.stderr.strip()[-200:]}") from None
        except subprocess.TimeoutExpired:
            raise PeerMissingError(f"npm did not install it within {INSTALLING} s") from None
    return packages


class NativeProcess(PeerProcess):
    """A running `peer.cjs`."""

    def arguments(self):
        return [shutil.which("node"), str(PROGRAM), str(install())]
