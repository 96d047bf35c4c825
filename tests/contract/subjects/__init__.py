"""One module per layer; each defines SUBJECTS, a list of `Subject`. A new module here is found by itself."""
