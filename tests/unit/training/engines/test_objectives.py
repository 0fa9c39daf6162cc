"""What methods minimise, on numbers that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from paceline.engines.base import IGNORED
from paceline.engines.objectives.answers import Answers
from paceline.engines.objectives.base import Terms
from paceline.engines.objectives.preference import DirectPreference
from paceline.engines.objectives.reward import Reward, last_tokens
from paceline.engines.torch.loss import summed_cross_entropy, token_cross_entropy
from paceline.engines.torch.mesh import ALONE
from paceline.engines.torch.predictions import PassPredictions

NONE = torch.zeros(2, 4, dtype=torch.int64)


@dataclass
class Said:
    """What a model would say."""

    by_sequence: Tensor | None = None
    by_position: Tensor | None = None

    def nats(self) -> Tensor:
        assert self.by_sequence is not None
        return self.by_sequence.sum()

    def nats_by_sequence(self) -> Tensor:
        assert self.by_sequence is not None
        return self.by_sequence

    def scores(self) -> Tensor:
        assert self.by_position is not None
        return self.by_position


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_a_preference_is_rewarded_for_what_became_likelier() -> None:
    objective = DirectPreference(pairs=1, beta=0.5, label_smoothing=0.0)
    terms = objective.terms(Said(by_sequence=torch.tensor([3.0, 9.0])), NONE, torch.tensor([5.0, 7.0]))
    assert terms.loss.item() == pytest.approx(-log_sigmoid(0.5 * (2.0 - -2.0)))
    seen = {name: value.item() for name, value in terms.metrics.items()}
    assert seen == {"reward_margin": 2.0, "reward_accuracy": 1.0, "preferred_reward": 1.0, "other_reward": -1.0}


def test_a_step_against_the_gradient_of_a_preference_raises_its_margin() -> None:
    """Two tokens, one answer each; by Rafailov et al. (2023), section 4, the gradient of the loss is
    -beta * sigmoid(-margin) * (gradient of the preferred answer's log-likelihood - that of the other one's)."""
    beta, logits = 0.5, torch.tensor([[[0.3, -0.2]], [[0.3, -0.2]]], requires_grad=True)
    targets, reference = torch.tensor([[1], [0]]), torch.tensor([1.0, 0.4])

    def terms(at: Tensor) -> Terms:
        said = PassPredictions(output=at, targets=targets, tp=ALONE, vocabulary=2)
        return DirectPreference(pairs=1, beta=beta, label_smoothing=0.0).terms(said, targets, reference)

    before = terms(logits)
    p = math.exp(0.3) / (math.exp(0.3) + math.exp(-0.2))  # of token 0
    margin = beta * ((1.0 + math.log(1 - p)) - (0.4 + math.log(p)))
    assert before.loss.item() == pytest.approx(-log_sigmoid(margin))
    assert before.metrics["reward_margin"].item() == pytest.approx(margin)
    [gradient] = torch.autograd.grad(before.loss, logits)
    weight = -beta / (1 + math.exp(margin))
    expected = [[[weight * -p, weight * p]], [[weight * (p - 1), weight * (1 - p)]]]
    torch.testing.assert_close(gradient, torch.tensor(expected))
    after = terms(logits.detach() - 0.1 * gradient)
    assert after.metrics["reward_margin"] > before.metrics["reward_margin"]
    assert after.metrics["preferred_reward"] > before.metrics["preferred_reward"]
    assert after.metrics["other_reward"] < before.metrics["other_reward"]


def test_smoothed_labels_count_the_other_way_too() -> None:
    objective = DirectPreference(pairs=1, beta=1.0, label_smoothing=0.1)
    terms = objective.terms(Said(by_sequence=torch.tensor([0.0, 1.0])), NONE, torch.tensor([0.0, 0.0]))
    assert terms.loss.item() == pytest.approx(-0.9 * log_sigmoid(1.0) - 0.1 * log_sigmoid(-1.0))


def test_a_score_is_that_of_the_answers_last_token() -> None:
    targets = torch.tensor([[IGNORED, 5, 6, IGNORED], [IGNORED, IGNORED, 5, IGNORED]])
    assert last_tokens(targets).tolist() == [3, 3]
    scores = torch.tensor([[0.0, 0.0, 9.0, 4.0], [0.0, 0.0, 9.0, 1.0]])
    terms = Reward(pairs=1).terms(Said(by_position=scores), targets, None)
    assert terms.loss.item() == pytest.approx(-log_sigmoid(3.0))
    assert terms.metrics["reward_margin"].item() == 3.0


def test_a_step_against_the_gradient_of_a_reward_raises_the_preferred_score_alone() -> None:
    """The gradient is -sigmoid(-margin) where the preferred answer ends, and its opposite where the other one does."""
    targets = torch.tensor([[5, IGNORED, IGNORED], [IGNORED, 5, IGNORED]])
    scores = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 3.0]], requires_grad=True)
    terms = Reward(pairs=1).terms(Said(by_position=scores), targets, None)
    [gradient] = torch.autograd.grad(terms.loss, scores)
    weight = 1 / (1 + math.exp(-2.0))
    torch.testing.assert_close(gradient, torch.tensor([[0.0, -weight, 0.0], [0.0, 0.0, weight]]))


def test_answers_are_counted() -> None:
    assert Answers().count_in(torch.tensor([[IGNORED, 5], [6, IGNORED]])) == 2


def test_targets_that_are_ignored_add_nothing_to_any_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 11, generator=generator)
    targets = torch.randint(0, 11, (2, 5), generator=generator)
    targets[:, :2] = IGNORED
    nats = token_cross_entropy(logits, targets, ALONE, vocabulary=11)
    assert nats[:, :2].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert summed_cross_entropy(logits, targets, ALONE, vocabulary=11).item() == pytest.approx(nats.sum().item())
