from __future__ import annotations

import pytest
import torch

from streamv2v_cli.diffusion import guidance


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_classifier_free() -> None:
    assert float(guidance.classifier_free(number(3.0), number(1.0), 2.5)) == pytest.approx(6.0)


def test_residual() -> None:
    assert float(guidance.residual(number(3.0), number(2.0), scale=1.5, delta=0.5)) == pytest.approx(4.0)


def test_next_residual_noise_is_what_leads_back_to_the_source() -> None:
    """The next input, seen from the source's own clean latent, is the source plus the virtual noise."""
    alpha, sigma, c_skip, c_out = (number(x) for x in (0.8, 0.6, 0.3, 0.9))
    next_alpha, next_sigma = number(0.95), number(0.31)
    source, virtual, guided, noise = (number(x) for x in (1.3, -0.4, 0.7, 0.2))
    noisy = alpha * source + sigma * virtual
    clean = c_out * (noisy - sigma * guided) / alpha + c_skip * noisy
    got = guidance.next_residual_noise(
        virtual,
        guided,
        alpha=alpha,
        sigma=sigma,
        c_skip=c_skip,
        c_out=c_out,
        next_alpha=next_alpha,
        next_sigma=next_sigma,
        next_noise=noise,
    )
    # The scalings are those of a consistency model only where c_out + alpha c_skip = 1; elsewhere the source's own
    # share is left out, as in StreamDiffusion.
    share = (c_out + alpha * c_skip - 1) * source
    wanted = noise + next_alpha / next_sigma * (clean - source - share)
    assert float(got) == pytest.approx(float(wanted))


def test_epsilon_from_velocity() -> None:
    """V = alpha eps - sigma x0 and x = alpha x0 + sigma eps give eps back, since alpha^2 + sigma^2 = 1."""
    alpha, sigma, clean, epsilon = (number(x) for x in (0.8, 0.6, 1.5, -0.3))
    velocity, noisy = alpha * epsilon - sigma * clean, alpha * clean + sigma * epsilon
    assert float(guidance.epsilon_from_velocity(velocity, noisy, alpha, sigma)) == pytest.approx(-0.3)
