"""What the documentation and the protocols say: editions, targets, exchanges, strict JSON, schemas, errors."""
