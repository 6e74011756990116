"""Keyed chance: every uniform number is a pure function of what it is for, never of call order.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a bijection of a
128-bit counter under a 64-bit key. Here

    key      the seed
    counter  (entity low, entity high, aspect, replication), 32 bits each

`entity` is the 64-bit hash of a name (a project, a country, an input), taken once; `aspect` says which decision of that
entity is meant. So adding a project, a rule or a stage changes no other draw, and replication r does not depend on N.

This is the definition, for a few draws and for tests; `simulator.streams` draws the same numbers by the hundred thousand.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, lru_cache
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
ROUNDS = 10
BITS = 62
"""Uniform integers lie in [0, 2**62): they fit a signed word and compare with `units.threshold`."""

Z90 = 1.2815515655446004
"""Standard normal 90th percentile: turns a stated p50 and p90 into a lognormal spread."""
TABLE_BITS = 10
TABLE_POINTS = (1 << TABLE_BITS) + 1
TAIL = 1 / (4 << TABLE_BITS)
"""Probability cut off at either end of a quantile table"""
FRACTION_BITS = 20


class Aspect(IntEnum):
    """What a draw decides. Numbers are part of every stored result: never renumber, only add."""

    ASSUMPTION = 1
    SIZE = 2
    ROUTE = 3
    PLAN_DAY = 4
    VENDOR = 5
    SITE_SELECTION = 10
    INTERCONNECTION = 11
    PERMITTING = 12
    CONSTRUCTION = 13
    FIT_OUT = 14
    SHIPPING = 15
    INSTALLATION = 16
    COMMISSIONING = 17
    LICENCE_TIME = 20  # no longer drawn
    LICENCE_OUTCOME = 21  # pair: outcome, time to the next filing
    REFILE = 22  # no longer drawn alone
    AUTHORISATION_TIME = 23
    AUTHORISATION_OUTCOME = 24
    PATIENCE = 25
    RELOCATION = 26  # no longer drawn; the number stays taken
    LICENCE_REVIEW = 27  # pair: a reviewer's work on an application, length of the interagency clock
    LICENCE_STOP = 28  # pair: whether the clock is stopped, for how long
    OFFICE = 29  # pair: gap before an application of others, a reviewer's work on it
    BUDGET = 30
    PAUSE = 31
    PAUSE_LENGTH = 32
    COUNTRY_YEAR_POWER = 33
    COUNTRY_YEAR_CONSTRUCTION = 34
    CHOICE = 35
    WORKLOAD = 36
    FIRST_PHASE = 37
    PHASE_INCREMENT = 38
    PHASE_INTERVAL = 39
    CAMPUS_SIZE = 40
    PATIENCE_POWER = 41
    SECURITY = 42
    ONSITE_POWER = 43
    CLASSIFICATION = 44  # pair: whether a chip needs one, how long it takes
    AUTHORISATION_KEPT = 45
    NATIONAL_AUTHORISATION = 46  # pair: time to decision, outcome
    DEAL_TIME = 47


@lru_cache(maxsize=1 << 17)
def entity_key(name: str) -> int:
    """The 64-bit key of a name: the first 8 bytes of its BLAKE2b hash, little-endian."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=1 << 12)
def market_aspect(market: str) -> int:
    """The aspect under which a project's taste for one market is drawn (upper half of the aspect space)."""
    return 0x80000000 | entity_key(f"market/{market}") & 0x7FFFFFFF


def keys(names: list[str]) -> NDArray[np.uint64]:
    """Entity keys of several names. Raises ValueError if two different names share a key."""
    found = np.array([entity_key(name) for name in names], dtype=np.uint64)
    if len(np.unique(found)) != len(set(names)):
        raise ValueError("two names share a 64-bit key; rename one of them")
    return found


def philox(counter: tuple[NDArray[np.uint64], ...], key: int) -> tuple[NDArray[np.uint64], ...]:
    """Philox4x32-10 on four equally shaped arrays of 32-bit words (held as uint64); returns the four output words."""
    x0, x1, x2, x3 = counter
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0, p1 = x0 * _M0, x2 * _M1
        x0, x1, x2, x3 = (p1 >> _32) ^ x1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _32) ^ x3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return x0, x1, x2, x3


def pair(seed: int, replication: int, entity: ArrayLike, aspect: ArrayLike, attempt: ArrayLike = 0) -> tuple[Ints, Ints]:
    """Two independent uniform integers in [0, 2**62) for one key (both halves of its block); the first is that of `bits`.

    `entity` holds keys from `entity_key`; `attempt` (0..32767) separates repeated draws of one aspect, such as filings.
    """
    w0, w1, w2, w3 = _blocks(seed, replication, entity, aspect, attempt)
    return _joined(w0, w1), _joined(w2, w3)


def bits(seed: int, replication: int, entity: ArrayLike, aspect: ArrayLike, attempt: ArrayLike = 0) -> Ints:
    """Uniform integers in [0, 2**62) for (seed, replication, entity, aspect, attempt), broadcast over the last three.

    `entity` holds keys from `entity_key`; `attempt` (0..32767) separates repeated draws of one aspect, such as filings.
    """
    w0, w1, _, _ = _blocks(seed, replication, entity, aspect, attempt)
    return _joined(w0, w1)


def _blocks(
    seed: int, replication: int, entity: ArrayLike, aspect: ArrayLike, attempt: ArrayLike
) -> tuple[NDArray[np.uint64], ...]:
    """The four words of each key's block."""
    e, a, n = np.broadcast_arrays(
        np.asarray(entity, dtype=np.uint64), np.asarray(aspect, dtype=np.uint64), np.asarray(attempt, dtype=np.uint64)
    )
    third = np.full(e.shape, replication, dtype=np.uint64)
    return philox((e & _LOW, e >> _32, counter_word(a, n), third), seed)


def counter_word(aspect: ArrayLike, attempt: ArrayLike = 0) -> NDArray[np.uint64]:
    """The third word of the counter: a numbered aspect and the attempt, or the aspect of a market alone. Broadcasts."""
    a, n = np.asarray(aspect, dtype=np.uint64), np.asarray(attempt, dtype=np.uint64)
    return np.where(a < np.uint64(1 << 16), (n << np.uint64(16)) | a, a)


def _joined(upper: NDArray[np.uint64], lower: NDArray[np.uint64]) -> Ints:
    """The upper 62 bits of two words."""
    return (((upper << _32) | lower) >> np.uint64(2)).astype(np.int64)


def uniform(whole: Ints) -> Floats:
    """The same draws as floats strictly inside (0, 1), with 52 bits."""
    return ((whole >> 10).astype(np.float64) + 0.5) * 2.0**-52


def normal(whole: Ints) -> Floats:
    """The same draws as standard normal numbers."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform(whole)), dtype=np.float64)


def spread_table(log_sd: float, one: int = 1 << FRACTION_BITS) -> Ints:
    """Quantiles of a lognormal with median `one` at 1,025 equally spaced probabilities, as integers.

    Both engines look durations up here, so no exponential is taken inside a run. The two ends stand for the
    probabilities 1/4096 and 4095/4096: the tails beyond are cut.
    """
    return spread_tables(np.array([log_sd]), one)[0]


def spread_tables(log_sd: Floats, one: int = 1 << FRACTION_BITS) -> Ints:
    """(n, 1025) the tables of several spreads, as `spread_table` makes each."""
    tables = log_sd[:, None] * _table_normals()
    np.multiply(one, np.exp(tables, out=tables), out=tables)
    return np.rint(tables, out=tables).astype(np.int64)


@cache
def _table_normals() -> Floats:
    """(1025,) standard normal numbers at the probabilities of a quantile table."""
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(np.linspace(0.0, 1.0, TABLE_POINTS), TAIL, 1 - TAIL)), dtype=np.float64)


def look_up(table: Ints, whole: Ints) -> Ints:
    """Entries of a quantile table at uniform integers, interpolated in integers. Shapes: table (1025,), any, any."""
    i = whole >> (BITS - TABLE_BITS)
    fraction = (whole >> (BITS - TABLE_BITS - FRACTION_BITS)) & ((1 << FRACTION_BITS) - 1)
    low = table[i]
    return low + ((table[i + 1] - low) * fraction >> FRACTION_BITS)
