"""The study on real patients: run cell by cell, stored in tables, and reported in
``docs/study.md``."""
