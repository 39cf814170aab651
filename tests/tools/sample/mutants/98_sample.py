"""Wrong solutions of lesson 98; `check` must reject each of them."""

MUTANTS = {
    "my_mask": [
        (
            "one too far to the right",
            "def my_mask(T, S):\n"
            "    return torch.arange(S) <= torch.arange(T)[:, None] + S - T + 1\n",
        ),
        (
            "one too few",
            "def my_mask(T, S):\n    return torch.arange(S) < torch.arange(T)[:, None] + S - T\n",
        ),
        (
            "queries stand at the start",
            "def my_mask(T, S):\n    return torch.arange(S) <= torch.arange(T)[:, None]\n",
        ),
        (
            "turned round",
            "def my_mask(T, S):\n    return torch.arange(S) > torch.arange(T)[:, None] + S - T\n",
        ),
        (
            "numbers for truth",
            "def my_mask(T, S):\n"
            "    return (torch.arange(S) <= torch.arange(T)[:, None] + S - T).float()\n",
        ),
    ]
}
