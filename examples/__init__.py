"""Apps to start from: `quickstart` is the README's ten lines, `demo` the one that `make demo` kills and recovers."""
