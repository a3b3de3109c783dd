import { money } from "../shared/format.ts";
import type { Region } from "./api.ts";
import { hindrance, lines, placing, region, token, total } from "./shop.ts";
import { CARDS, fieldErrors, REGIONS } from "./words.ts";
import "./checkout.css";

export function Checkout() {
  return (
    <section class="checkout card" aria-labelledby="checkout">
      <h2 id="checkout" class="eyebrow">
        Your order
      </h2>
      <Lines />
      <fieldset class="choice">
        <legend>Ship to</legend>
        <div class="segments">
          {REGIONS.map(([value, name]) => (
            <label key={value}>
              <input
                type="radio"
                name="region"
                value={value}
                checked={region.value === value}
                onChange={() => (region.value = value as Region)}
              />
              <span>{name}</span>
            </label>
          ))}
        </div>
        <Wrong field={/^region\b/} />
      </fieldset>
      <fieldset class="choice">
        <legend>Pay with</legend>
        {CARDS.map((card) => (
          <label key={card.token} class="radio">
            <input
              type="radio"
              name="token"
              value={card.token}
              checked={token.value === card.token}
              onChange={() => (token.value = card.token)}
            />
            <span>
              {card.name}
              <small>{card.does}</small>
            </span>
          </label>
        ))}
        <Wrong field={/^payment_token\b/} />
      </fieldset>
      <PlaceOrder />
    </section>
  );
}

function Lines() {
  if (lines.value.length === 0) {
    return <p class="note muted">Nothing chosen yet.</p>;
  }
  const currency = lines.value[0]!.item.currency;
  return (
    <table class="lines">
      <caption class="visually-hidden">The items of your order</caption>
      <tbody>
        {lines.value.map(({ item, quantity }) => (
          <tr key={item.sku}>
            <td class="number">{quantity} ×</td>
            <th scope="row">{item.name}</th>
            <td class="number">{money(item.price * quantity, item.currency)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            Total
          </th>
          <td class="number">{money(total.value, currency)}</td>
        </tr>
      </tfoot>
    </table>
  );
}

/** It stays in the order of focus while it cannot be used, and says why. */
function PlaceOrder() {
  const sending = placing.value.state === "sending";
  const off = sending || hindrance.value !== null;
  return (
    <div class="place">
      <button type="submit" class="button primary" aria-disabled={off} aria-describedby="hindrance">
        {sending ? "Placing the order …" : placing.value.state === "failed" ? "Try again" : "Place order"}
      </button>
      <p id="hindrance" class="muted">
        {sending ? "" : hindrance.value}
      </p>
    </div>
  );
}

function Wrong({ field }: { field: RegExp }) {
  if (placing.value.state !== "failed") return null;
  const reasons = fieldErrors(placing.value.failure.problem, field);
  return reasons.length ? <strong class="wrong">{reasons.join(" ")}</strong> : null;
}
