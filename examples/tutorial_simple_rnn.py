"""A textbook's example of a recurrent network, with the class imported instead of written out.

The first part is what tutorials show: make the network, run it over five random columns, print the output.
The second goes on where they stop and trains it: to add up the numbers of a sequence.

Run it with ``python examples/tutorial_simple_rnn.py``.
"""

# ruff: noqa: NPY002  (textbooks use NumPy's global generator, and so does this class)

import numpy as np

from fastrnn import SimpleRNN


def run_once() -> np.ndarray:
    """Run an untrained network over one sequence."""
    rnn = SimpleRNN(input_size=10, output_size=1)
    inputs = [np.random.randn(10, 1) for _ in range(5)]
    output = rnn.forward(inputs)
    print(output)
    return output


def learn_to_add() -> float:
    """Train on sums of up to eight numbers, and return the mean error on sequences that it has not seen."""
    rng = np.random.default_rng(0)

    def problems(count: int) -> tuple[list[np.ndarray], np.ndarray]:
        sequences = [rng.uniform(0, 1, (rng.integers(2, 9), 1)) for _ in range(count)]
        return sequences, np.array([sequence.sum() for sequence in sequences])

    np.random.seed(0)
    rnn = SimpleRNN(input_size=1, output_size=1, hidden_size=32)
    rnn.fit(
        *problems(512),
        epochs=60,
        seed=0,
        callback=lambda epoch, loss: print(f"epoch {epoch:3d}  loss {loss:.4f}") if epoch % 10 == 0 else None,
    )
    sequences, sums = problems(128)
    error = float(np.abs(rnn.predict(sequences)[:, 0] - sums).mean())
    print(f"mean error on new sequences: {error:.3f} (sums up to {sums.max():.1f})")

    print("a running sum, one number at a time:")
    for number in (0.5, 0.25, 1.0):
        print(f"  + {number:<4} = {rnn.step([number]).item():.2f}")
    return error


if __name__ == "__main__":
    run_once()
    learn_to_add()
