r"""A simulated insurer's book: drivers with habits, their motion and their claims, and the truth kept apart.

    drivers -> habits -+-> conflict -> hazard -> terms -> claims
                       |      |                     \-> tariff (GLM on another book's claims)
                       +------+--> trips, manoeuvres -> sensing -> motion

Motion and claims come from the same habits through the same conflicts, and neither from the other. Everything here is
simulated, calibrated to published SBV statistics (`sbv_marginals.toml`); docs/simulation.md tells how and how far.
"""

from replay_data.portfolio.book import Book, insurer_tariff, simulate_book
from replay_data.portfolio.files import write_book
from replay_data.portfolio.motion import motion_chunk, motion_chunks

__all__ = ["Book", "insurer_tariff", "motion_chunk", "motion_chunks", "simulate_book", "write_book"]
