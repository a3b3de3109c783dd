import { Masthead } from "../shared/masthead.tsx";
import { Catalogue } from "./catalogue.tsx";
import { Checkout } from "./checkout.tsx";
import { Orders } from "./orders.tsx";
import { Outcome } from "./outcome.tsx";
import { config, hindrance, placeOrder } from "./shop.ts";
import "./app.css";

export function App() {
  const traces = config.value.traces_url;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!hindrance.value) void placeOrder(event);
  };
  return (
    <>
      <Masthead name="Waybill">
        {traces && (
          <nav aria-label="Elsewhere">
            <a class="button quiet small" href={traces}>
              Traces
            </a>
          </nav>
        )}
      </Masthead>
      <main class="shop">
        <header class="intro">
          <h1>Place an order</h1>
          <p class="muted">It becomes one trace: your click, this page’s request, four services and their SQL.</p>
        </header>
        <form class="form" onSubmit={submit} noValidate>
          <Catalogue />
          <div class="side">
            <Checkout />
            <Outcome />
          </div>
        </form>
        <Orders />
      </main>
    </>
  );
}
