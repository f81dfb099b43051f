"""The training engine of ``finetune``: settings, components by name, steps, checkpoints."""
