import { money } from "../shared/format.ts";
import type { Item } from "./api.ts";
import { FailureNote } from "./failure-note.tsx";
import { basket, catalogue, lines, loadCatalogue, MAX_QUANTITY, placing, setQuantity } from "./shop.ts";
import { fieldErrors } from "./words.ts";
import "./catalogue.css";

const FEW = 20;

export function Catalogue() {
  return (
    <section class="catalogue card" aria-labelledby="catalogue">
      <h2 id="catalogue" class="eyebrow">
        What is on the shelf
      </h2>
      <Shelf />
    </section>
  );
}

function Shelf() {
  const items = catalogue.value;
  if (items.state === "failed") {
    return <FailureNote title="The shelf cannot be shown" failure={items.failure} retry={loadCatalogue} />;
  }
  if (items.state === "loading") {
    return <p class="note muted">Looking at the shelf …</p>;
  }
  if (items.value.length === 0) {
    return <p class="note muted">The shelf is empty. Run `waybill migrate` to fill it.</p>;
  }
  return (
    <ul>
      {items.value.map((item) => (
        <Row key={item.sku} item={item} />
      ))}
    </ul>
  );
}

function Row({ item }: { item: Item }) {
  const quantity = basket.value[item.sku] ?? 0;
  const [name, ...details] = item.name.split(", ");
  const wrong = lineErrors(item.sku);
  const note = `${item.sku}-note`;
  return (
    <li class={quantity ? "item chosen" : "item"}>
      <div class="item-name">
        <span class="item-title">{name}</span> <span class="muted">{details.join(", ")}</span>
      </div>
      <div id={note} class="item-note">
        <Stock item={item} quantity={quantity} />
        {wrong && <strong class="wrong">{wrong}</strong>}
      </div>
      <span class="item-price number">{money(item.price, item.currency)}</span>
      <div class="stepper" role="group" aria-label={item.name}>
        <button
          type="button"
          aria-label={`One less: ${item.name}`}
          disabled={quantity === 0}
          onClick={() => setQuantity(item.sku, quantity - 1)}
        >
          −
        </button>
        <input
          type="text"
          inputMode="numeric"
          aria-label={`Quantity: ${item.name}`}
          aria-describedby={note}
          aria-invalid={wrong !== ""}
          value={quantity}
          onFocus={(event) => event.currentTarget.select()}
          onInput={(event) => {
            setQuantity(item.sku, Number(event.currentTarget.value.replace(/\D/g, "")));
            event.currentTarget.value = String(basket.value[item.sku] ?? 0);
          }}
          onKeyDown={(event) => {
            const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
            if (step) setQuantity(item.sku, quantity + step);
          }}
        />
        <button
          type="button"
          aria-label={`One more: ${item.name}`}
          disabled={quantity === MAX_QUANTITY}
          onClick={() => setQuantity(item.sku, quantity + 1)}
        >
          +
        </button>
      </div>
    </li>
  );
}

/** What is left; more than that may be ordered, to see what becomes of it. */
function Stock({ item, quantity }: { item: Item; quantity: number }) {
  if (quantity > item.stock) {
    return <span class="short">{item.stock ? `Only ${item.stock} left` : "Sold out"}: the order would be canceled.</span>;
  }
  if (item.stock === 0) return <span class="short">Sold out</span>;
  if (item.stock <= FEW) return <span class="short">{item.stock} left</span>;
  return <span>{item.stock.toLocaleString("en")} in stock</span>;
}

/** What the last answer said of this item's line. */
function lineErrors(sku: string): string {
  if (placing.value.state !== "failed") return "";
  const index = lines.value.findIndex((line) => line.item.sku === sku);
  if (index < 0) return "";
  return fieldErrors(placing.value.failure.problem, new RegExp(`^lines\\.${index}\\b`)).join(" ");
}
