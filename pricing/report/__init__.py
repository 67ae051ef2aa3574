"""The filing pack: one page that stands alone, and a CSV behind every figure.

    model's diagnostics + factor table (+ features, policies, claims) -> make.Pack -> data, validation, rated, closing
        -> report.html, tables/*.csv

`make_pack` and `write_report` in `make` are what others call; the sections are plain functions of a `Pack`.
"""
