"""The exact AUPIMO: functions on tensors and arrays (no anomalib import) and the torchmetrics class over them."""
