"""The networks (sections 3.1 and 3.2): the coded block, the model, its losses, its decoding and what it costs."""
