"""What Snakemake hands to a script, without Snakemake."""


class Named(dict):
    """Named values; iterating gives the values, flat."""

    __getattr__ = dict.__getitem__

    def __iter__(self):
        for value in self.values():
            yield from value if isinstance(value, list) else [value]
