"""The files of model versions, read where they lie and never loaded: listing, digest, download, second copies.

`location.py` says where a version's files are, `opening.py` what reads such a place, `reader.py` is what others call.
"""

from bot.gateways.artifacts.digest import ArtifactDigest
from bot.gateways.artifacts.location import LONGEST_COPY_CHAIN, logged_model_id
from bot.gateways.artifacts.reader import Artifacts

__all__ = ["LONGEST_COPY_CHAIN", "ArtifactDigest", "Artifacts", "logged_model_id"]
