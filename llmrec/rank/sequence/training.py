"""Training of the transformer.

With a softmax over many items, which is what makes SASRec strong (Klenitskiy & Vasilev, RecSys 2023).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from llmrec.errors import TrainingError
from llmrec.progress import Progress
from llmrec.rank.log import Log, Rows
from llmrec.rank.sequence.forward import LENGTH, SCALE
from llmrec.rank.sequence.network import Network
from llmrec.runtime.threads import one_thread

Windows = tuple[Rows, NDArray[np.bool_]]
"""Items (windows, LENGTH + 1), the oldest first, and which places hold one; the empty ones come first."""

_BATCH = 16
_RATE = 4e-3
_WARM_UP = 50
"""Steps."""
_DECAY = 0.01
_AVERAGED = 0.99
"""Share of the average that stays at each step."""
_PATIENCE = 2
"""Epochs without progress after which training stops."""
_JUDGED = 500
"""Users at most of whose last events progress is judged by."""
_LAST = 5
"""So many of their last events."""
_SAMPLED = 1_000
"""Items drawn at random for the softmax of a step."""


def train(
    log: Log, vectors: NDArray[np.float32], epochs: int, seed: int, progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """Train on every user's events, until the next items of some users get no likelier.

    The weights are an average over the last steps, which needs no schedule of the learning rate and so can
    stop at any time.

    Args:
        log: its rows are those of ``vectors``; every row should have events.
        vectors: unit vectors of the items' texts, (items, dimension).
        epochs: passes over the log at most.
        seed: of everything random; the same gives the same weights.

    Returns:
        The weights by name.

    Raises:
        TrainingError: the loss became NaN or infinite; names the epoch.
    """
    rng, sampler = np.random.default_rng(seed), _Sampler(log, seed)
    held = _held_out(log, rng)
    (windows, present), judged = _windows(log.where(~held)), _judged(log, held)
    with (
        one_thread(),
        torch.random.fork_rng(devices=[]),
        progress.task("Training channel sequence", epochs, "epochs") as task,
    ):
        torch.manual_seed(seed)
        network, texts = Network(*vectors.shape), torch.from_numpy(vectors)
        averaging = get_ema_multi_avg_fn(_AVERAGED)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, multi_avg_fn=averaging)
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
        warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / _WARM_UP, total_iters=_WARM_UP)
        best, found, since = math.inf, average.module.state_dict(), 0
        for epoch in range(1, epochs + 1):
            order = rng.permutation(len(windows))
            for start in range(0, len(order), _BATCH):
                chosen = order[start : start + _BATCH]
                loss = _loss(network, texts, windows[chosen], present[chosen], sampler)
                if not torch.isfinite(loss):
                    raise TrainingError(
                        f"channel sequence: the loss became {loss.item()} in epoch {epoch}",
                        "The channels in use stay.",
                    )
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                warm_up.step()
                average.update_parameters(network)
            task.advance()
            unlikely = _judge(average.module, texts, judged)
            since += 1
            if unlikely < best or not len(judged[0]):
                best, since = unlikely, 0
                found = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
            elif since == _PATIENCE:
                break
    return {name: tensor.numpy() for name, tensor in found.items()}


class _Sampler:
    """Draws the items among which a step's softmax is taken: those of the batch, and some at random.

    All would be better by little and slower by much. ``correction`` undoes that popular items are among them
    more often (Bengio & Senécal, 2008; Yi et al., RecSys 2019).
    """

    def __init__(self, log: Log, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = log.size
        self.shares = log.counts / max(len(log), 1)

    def draw(self, windows: Rows, events: int) -> tuple[Rows, torch.Tensor, torch.Tensor]:
        """Rows drawn (rows,), the windows as positions among them, and each row's correction (rows,)."""
        count = min(_SAMPLED, self.size)
        drawn = self.rng.choice(self.size, count, replace=False)
        rows, inverse = np.unique(np.concatenate([windows.ravel(), drawn]), return_inverse=True)
        missed = (1 - count / self.size) * (1 - self.shares[rows]) ** events
        correction = torch.from_numpy(np.log1p(-missed).astype(np.float32))
        return rows, torch.from_numpy(inverse[: windows.size].reshape(windows.shape)), correction


def _loss(
    network: Network, texts: torch.Tensor, windows: Rows, present: NDArray[np.bool_], sampler: _Sampler
) -> torch.Tensor:
    """Cross-entropy of each next item among the items that are drawn."""
    rows, items, correction = sampler.draw(windows, int(present.sum()))
    shown = torch.from_numpy(present)
    table, bias = network.embeddings(texts, torch.from_numpy(rows))
    hidden = network(functional.embedding(items[:, :-1], table) * float(SCALE), shown[:, :-1])
    logits = hidden[shown[:, :-1]] @ table.T + (bias - correction)
    return functional.cross_entropy(logits, items[:, 1:][shown[:, :-1]])


@torch.no_grad()
def _judge(network: nn.Module, texts: torch.Tensor, judged: Windows) -> float:
    """Mean loss of the last ``_LAST`` items of each window, among all items; infinite of no windows."""
    assert isinstance(network, Network)
    windows, present = judged
    if not len(windows):
        return math.inf
    network.eval()
    table = network.content(texts) + network.own
    items, shown = torch.from_numpy(windows), torch.from_numpy(present)
    hidden = network(table[items[:, :-1]] * float(SCALE), shown[:, :-1])[:, -_LAST:]
    asked = shown[:, -_LAST - 1 : -1]
    logits = hidden[asked] @ table.T + network.bias
    network.train()
    return float(functional.cross_entropy(logits, items[:, -_LAST:][asked]))


def _held_out(log: Log, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The last events of some users, (events,); of none that would have too few left."""
    users = np.flatnonzero(log.lengths > 2 * _LAST)
    chosen = np.zeros(len(log.users), bool)
    chosen[rng.permutation(users)[: min(_JUDGED, len(users) // 10)]] = True
    return log.newest(_LAST) & chosen[log.at_user]


def _judged(log: Log, held: NDArray[np.bool_]) -> Windows:
    """The newest window of each user with events held out."""
    users = np.unique(log.at_user[held])
    whole = log.where(np.isin(log.at_user, users) & log.newest(LENGTH + 1))
    return _windows(whole)


def _windows(log: Log) -> Windows:
    """Every user's events cut into windows of one more than LENGTH, the empty places first."""
    windows, present = [], []
    for user in np.flatnonzero(log.lengths > 1):
        rows = log.rows[log.span(int(user))]
        for end in range(len(rows), 1, -LENGTH):
            part = rows[max(0, end - LENGTH - 1) : end]
            empty = LENGTH + 1 - len(part)
            windows.append(np.pad(part, (empty, 0)))
            present.append(np.arange(LENGTH + 1) >= empty)
    shape = (len(windows), LENGTH + 1)
    return np.array(windows, np.int64).reshape(shape), np.array(present, bool).reshape(shape)
