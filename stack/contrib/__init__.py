"""What programs written for aiortc import from `aiortc.contrib`, under the same names."""
