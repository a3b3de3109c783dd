import "../shared/tokens.css";
import "../shared/base.css";
import "../shared/components.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { call, type PageConfig } from "./api.ts";
import { config, loadCatalogue, loadRecent } from "./shop.ts";
import { startTelemetry } from "./telemetry.ts";

render(<App />, document.querySelector("#app")!);

try {
  config.value = (await call<PageConfig>("/page-config.json")).body;
  if (config.value.otlp_endpoint) startTelemetry(config.value.otlp_endpoint, config.value);
} finally {
  void loadCatalogue();
  void loadRecent();
}
