"""The figures of a report as Vega-Lite, one family a file. `docs/architecture.md` says where it stands."""
