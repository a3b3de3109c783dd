DELETE FROM orders WHERE idempotency_key LIKE 'archive-%';
CREATE INDEX IF NOT EXISTS ix_orders_created_at_id ON orders (created_at, id)
