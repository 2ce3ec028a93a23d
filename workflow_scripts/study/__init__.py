"""The study on real patients: run cell by cell, kept in tables, and told in ``docs/study.md``."""
