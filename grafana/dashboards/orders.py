"""Orders: is business as it should be, and if not, which step of the saga is in the way?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

STEPS = 'service_name="order-service", span_name=~"validate_inventory|charge_payment|send_notification"'
COMPENSATIONS = 'service_name="order-service", span_name=~"release_inventory|refund_payment"'


def dashboard() -> Dashboard:
    """Rate, success and duration of orders; what payment and inventory answered; what was taken back."""
    return kit.dashboard(
        "orders",
        "Orders",
        "Start here. A dot on a line of percentiles is an order: click it for its trace and its logs.",
        {"Now": now(), "Rate and duration": rate_and_duration(), "The saga": saga(), "Why orders fail": failures()},
    )


def now() -> list[kit.Panel]:
    """The state of things in six numbers."""
    return [
        kit.number(
            "Orders per minute",
            "Orders settled, confirmed and cancelled alike. None at all? Look at Services: are requests coming in?",
            "none",
            kit.promql("sum(rate(orders_created_total[$__rate_interval])) * 60"),
        ),
        kit.number(
            "Success",
            "Share of the settled orders that were confirmed, in the time shown. Low? Row 'Why orders fail' says why.",
            "percentunit",
            kit.promql_now(
                'sum(increase(orders_created_total{status="success"}[$__range]))'
                " / sum(increase(orders_created_total[$__range]))"
            ),
            {0: "red", 0.8: "yellow", 0.95: "green"},
        ),
        kit.number(
            "P95",
            "95 of 100 orders, in the time shown, were settled within this. High? Row 'The saga' has the slow step.",
            "ms",
            kit.promql_now(kit.percentile(0.95, "orders_processing_time_milliseconds", window="$__range")),
            {0: "green", 500: "yellow", 1000: "red"},
        ),
        kit.number(
            "In progress",
            "Orders that a worker drives at this moment. Does it only grow? Then a peer hangs: see Services.",
            "none",
            kit.promql("sum(orders_active)"),
        ),
        kit.number(
            "Compensations",
            "Reservations given back and charges returned in the time shown; each belongs to a cancelled order.",
            "none",
            kit.promql_now(
                f"round(sum(increase(traces_span_metrics_calls_total{{{COMPENSATIONS}}}[$__range]))) or vector(0)"
            ),
        ),
        kit.number(
            "Notifications per minute",
            "Customers told. It follows the confirmed orders; less means that customers wait for news.",
            "none",
            kit.promql("sum(rate(notification_sent_total[$__rate_interval])) * 60"),
        ),
    ]


def rate_and_duration() -> list[kit.Panel]:
    """How many, how fast, where."""
    return [
        kit.lines(
            "Orders settled",
            "By outcome: success is CONFIRMED, failed is CANCELLED. 'failed' rises? Go to row 'Why orders fail'.",
            "ops",
            kit.promql("sum by (status) (rate(orders_created_total[$__rate_interval]))", "{{status}}"),
            stacked=True,
        ),
        kit.lines(
            "From arrival to settled",
            "Click a high dot: its trace shows where that order's time went.",
            "ms",
            *kit.percentiles("orders_processing_time_milliseconds"),
        ),
        kit.lines(
            "By region",
            "Orders by the customer's region. One falls alone? The cause lies before this service.",
            "ops",
            kit.promql("sum by (region) (rate(orders_created_total[$__rate_interval]))", "{{region}}"),
        ),
    ]


def saga() -> list[kit.Panel]:
    """The steps forward, the steps back, and what they talk to."""
    return [
        kit.lines(
            "P95 of each step",
            "The line on top is the step to look at; a dot is one order's.",
            "ms",
            kit.promql(
                kit.percentile(0.95, "traces_span_metrics_duration_milliseconds", STEPS, by="span_name"),
                "{{span_name}}",
                exemplars=True,
            ),
        ),
        kit.lines(
            "Compensations",
            "Stock given back (release_inventory) and money returned (refund_payment). They follow cancelled orders.",
            "ops",
            kit.promql(
                "sum by (span_name) "
                f"(rate(traces_span_metrics_calls_total{{{COMPENSATIONS}}}[$__rate_interval])) or on() vector(0)",
                "{{span_name}}",
            ),
        ),
        kit.lines(
            "Card processor",
            "P95 of the processor's answers, by what it answered. High? It is outside of our hands; retries will rise.",
            "ms",
            kit.promql(
                kit.percentile(0.95, "payment_processor_duration_milliseconds", by="payment_outcome"),
                "{{payment_outcome}}",
                exemplars=True,
            ),
        ),
    ]


def failures() -> list[kit.Panel]:
    """What the peers said no to, what came to a standstill, and the lines in which order-service says why."""
    return [
        kit.lines(
            "Charges",
            "Answers to charges: declined is the customer's bank, unavailable the processor (tried again).",
            "ops",
            kit.promql(
                "sum by (payment_outcome) (rate(payment_charges_total[$__rate_interval]))", "{{payment_outcome}}"
            ),
            stacked=True,
        ),
        kit.lines(
            "Reservations",
            "Answers to reservations: out-of-stock needs a delivery; repeated is a retry that was answered before.",
            "ops",
            kit.promql(
                "sum by (inventory_outcome) (rate(inventory_reservations_total[$__rate_interval]))",
                "{{inventory_outcome}}",
            ),
            stacked=True,
        ),
        kit.lines(
            "Dead letters",
            "Orders that wait for a person, by the step that was refused for good. Any? See the runbook.",
            "none",
            kit.promql(
                "max by (order_dead_letter_step) (orders_dead_letters)",
                "{{order_dead_letter_step}}",
            ),
        ),
        kit.log_lines(
            "Orders that did not go through",
            "What order-service warns of: refusals and further attempts. Open a line for its trace.",
            '{service_name="order-service"} | severity_text=~"WARN|ERROR|CRITICAL"',
            height=8,
        ),
    ]
