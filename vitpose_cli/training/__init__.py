"""Training: data, augmentation, losses, distillation, pre-training and the loop."""
