"""Orders: whether orders are processed as expected, and if not, which step of the saga fails."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

STEPS = 'service_name="order-service", span_name=~"validate_inventory|charge_payment|send_notification"'
COMPENSATIONS = 'service_name="order-service", span_name=~"release_inventory|refund_payment"'


def dashboard() -> Dashboard:
    """Return rate, success and duration of orders, outcomes of payment and inventory, and compensations."""
    return kit.dashboard(
        "orders",
        "Orders",
        "Start here. A dot on a line of percentiles is an order: click it for its trace and its logs.",
        {"Now": now(), "Rate and duration": rate_and_duration(), "The saga": saga(), "Why orders fail": failures()},
    )


def now() -> list[kit.Panel]:
    """Return the current state in six numbers."""
    return [
        kit.number(
            "Orders per minute",
            "Settled orders, both confirmed and canceled. None? Check Services for incoming requests.",
            "none",
            kit.promql("sum(rate(orders_created_total[$__rate_interval])) * 60"),
        ),
        kit.number(
            "Success",
            "Share of settled orders that were confirmed in the selected time. Low? See row 'Why orders fail'.",
            "percentunit",
            kit.promql_now(
                'sum(increase(orders_created_total{status="success"}[$__range]))'
                " / sum(increase(orders_created_total[$__range]))"
            ),
            {0: "red", 0.8: "yellow", 0.95: "green"},
        ),
        kit.number(
            "P95",
            "95 of 100 orders in the selected time took no longer. High? Row 'The saga' shows the slow step.",
            "ms",
            kit.promql_now(kit.percentile(0.95, "orders_processing_time_milliseconds", window="$__range")),
            {0: "green", 500: "yellow", 1000: "red"},
        ),
        kit.number(
            "In progress",
            "Orders that a worker is processing now. Keeps growing? A dependency hangs: see Services.",
            "none",
            kit.promql("sum(orders_active)"),
        ),
        kit.number(
            "Compensations",
            "Released reservations and refunded charges in the selected time. Each belongs to a canceled order.",
            "none",
            kit.promql_now(
                f"round(sum(increase(traces_span_metrics_calls_total{{{COMPENSATIONS}}}[$__range]))) or vector(0)"
            ),
        ),
        kit.number(
            "Notifications per minute",
            "Notifications sent. Should follow the confirmed orders; if lower, customers are waiting.",
            "none",
            kit.promql("sum(rate(notification_sent_total[$__rate_interval])) * 60"),
        ),
    ]


def rate_and_duration() -> list[kit.Panel]:
    """Return how many orders, how fast and where."""
    return [
        kit.lines(
            "Orders settled",
            "By outcome: success is CONFIRMED, failed is CANCELLED. 'failed' rises? See row 'Why orders fail'.",
            "ops",
            kit.promql("sum by (status) (rate(orders_created_total[$__rate_interval]))", "{{status}}"),
            stacked=True,
        ),
        kit.lines(
            "From arrival to settled",
            "Click a high dot to see in its trace what took the time.",
            "ms",
            *kit.percentiles("orders_processing_time_milliseconds"),
        ),
        kit.lines(
            "By region",
            "Orders by the customer's region. Only one falls? The cause is upstream of this service.",
            "ops",
            kit.promql("sum by (region) (rate(orders_created_total[$__rate_interval]))", "{{region}}"),
        ),
    ]


def saga() -> list[kit.Panel]:
    """Return the steps, the compensations, and the card processor."""
    return [
        kit.lines(
            "P95 of each step",
            "The top line is the slowest step. A dot is one order.",
            "ms",
            kit.promql(
                kit.percentile(0.95, "traces_span_metrics_duration_milliseconds", STEPS, by="span_name"),
                "{{span_name}}",
                exemplars=True,
            ),
        ),
        kit.lines(
            "Compensations",
            "Released stock (release_inventory) and refunds (refund_payment). They follow canceled orders.",
            "ops",
            kit.promql(
                "sum by (span_name) "
                f"(rate(traces_span_metrics_calls_total{{{COMPENSATIONS}}}[$__rate_interval])) or on() vector(0)",
                "{{span_name}}",
            ),
        ),
        kit.lines(
            "Card processor",
            "P95 of the processor's responses, by outcome. High? The cause is external; expect more retries.",
            "ms",
            kit.promql(
                kit.percentile(0.95, "payment_processor_duration_milliseconds", by="payment_outcome"),
                "{{payment_outcome}}",
                exemplars=True,
            ),
        ),
    ]


def failures() -> list[kit.Panel]:
    """Return refusals of dependencies, dead letters, and the log lines of order-service with the reasons."""
    return [
        kit.lines(
            "Charges",
            "Outcomes of charges: declined is the customer's bank, unavailable is the processor (retried).",
            "ops",
            kit.promql(
                "sum by (payment_outcome) (rate(payment_charges_total[$__rate_interval]))", "{{payment_outcome}}"
            ),
            stacked=True,
        ),
        kit.lines(
            "Reservations",
            "Outcomes of reservations: out-of-stock needs a delivery; repeated is a retry of a completed request.",
            "ops",
            kit.promql(
                "sum by (inventory_outcome) (rate(inventory_reservations_total[$__rate_interval]))",
                "{{inventory_outcome}}",
            ),
            stacked=True,
        ),
        kit.lines(
            "Dead letters",
            "Orders that wait for a person, by the step that was refused permanently. Any? See the runbook.",
            "none",
            kit.promql(
                "max by (order_dead_letter_step) (orders_dead_letters)",
                "{{order_dead_letter_step}}",
            ),
        ),
        kit.log_lines(
            "Failed and delayed orders",
            "Warnings of order-service: refusals and further attempts. Open a line for its trace.",
            '{service_name="order-service"} | severity_text=~"WARN|ERROR|CRITICAL"',
            height=8,
        ),
    ]
