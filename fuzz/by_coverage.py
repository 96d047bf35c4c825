"""Run one target under atheris: `python -m fuzz.by_coverage TARGET [libFuzzer options]`. It never returns."""

import sys


def main() -> None:
    """Instrument the stack while it is imported, then fuzz for ever."""
    import atheris

    with atheris.instrument_imports(include=["stack"]):
        from . import targets

        found = targets()
    check = found[sys.argv.pop(1)]
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
