// Each service keeps its colour, on every view and in both themes.

const KNOWN: Record<string, number> = {
  "order-service": 1,
  "payment-service": 2,
  "inventory-service": 3,
  "notification-service": 4,
  storefront: 5,
};

const COLOURS = 8;

/** The CSS colour of a service, to set as a style or to resolve for a canvas; a name it has not met gets one by its hash. */
export function serviceColour(name: string): string {
  return `var(--service-${KNOWN[name] ?? 6 + (hash(name) % (COLOURS - 5))})`;
}

function hash(text: string): number {
  let value = 0;
  for (const letter of text) value = (value * 31 + letter.codePointAt(0)!) >>> 0;
  return value;
}
