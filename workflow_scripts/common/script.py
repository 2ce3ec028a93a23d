"""What every rule's script does around its work."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from workflow_scripts.common.files import UserError


def run_script(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call ``main(snakemake)`` with its messages going to the rule's log and to the screen.

    A ``UserError`` ends the script with one line and exit code 1 in place of a traceback.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        handlers.append(logging.FileHandler(snakemake.log[0], mode="a"))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True
    )
    try:
        main(snakemake)
    except UserError as error:
        logging.getLogger(__name__).error("Error: %s", error)
        sys.exit(1)
    except Exception:
        logging.getLogger(__name__).exception("%s failed", snakemake.rule)
        sys.exit(1)
