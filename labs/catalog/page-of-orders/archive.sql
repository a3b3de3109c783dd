WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < @rows@)
INSERT INTO orders (
    id, idempotency_key, fingerprint, customer_id, region, payment_token, status, currency, total, attempts,
    created_at, updated_at, notified_at
)
SELECT
    lower(hex(randomblob(16))), 'archive-' || n, '', 'cus_' || (n % 1000), 'eu', 'tok_approve', 'CONFIRMED', 'EUR', 1000, 1,
    datetime('2025-01-01', '+' || n || ' minutes') || '.000000',
    datetime('2025-01-01', '+' || n || ' minutes') || '.000000',
    datetime('2025-01-01', '+' || n || ' minutes') || '.000000'
FROM numbers;
DROP INDEX ix_orders_created_at_id
