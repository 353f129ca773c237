"""The tests of published plugins run where these are installed, not here."""

collect_ignore_glob = ["tracekit-*"]
