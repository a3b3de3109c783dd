import { expect, test } from "vitest";
import { versionChanges } from "./version-changes.ts";

const version = (service: string, name: string, first: number, isNew: boolean) => ({
  ...{ service, version: name, first, last: first, instances: 1, isNew },
});

test("each version is compared with the one before it of the same service, the newest first", () => {
  const changes = versionChanges([
    version("payment-service", "0.1", 1, false),
    version("order-service", "0.1", 2, false),
    version("payment-service", "0.2", 3, true),
    version("payment-service", "0.3 beta", 4, true),
  ]);

  expect(changes).toEqual([
    {
      service: "payment-service",
      version: "0.3 beta",
      label: "payment 0.2 → 0.3 beta",
      a: "service=payment-service service.version=0.2",
      b: 'service=payment-service service.version="0.3 beta"',
    },
    {
      service: "payment-service",
      version: "0.2",
      label: "payment 0.1 → 0.2",
      a: "service=payment-service service.version=0.1",
      b: "service=payment-service service.version=0.2",
    },
  ]);
});
