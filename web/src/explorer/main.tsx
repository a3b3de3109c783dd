import "../shared/tokens.css";
import "../shared/base.css";
import "../shared/components.css";
import "./common/components.css";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { Masthead } from "../shared/masthead.tsx";
import { Groups } from "./compare/groups.tsx";
import { config, hasLabs, readConfig } from "./common/config.ts";
import { lazy } from "./common/lazy.tsx";
import { KeyList, KeysButton, views } from "./keys.tsx";
import { Logs } from "./logs/logs.tsx";
import { Metrics } from "./metrics/metrics.tsx";
import { hasTime } from "./common/now.ts";
import { Empty, LostConnection } from "./common/parts.tsx";
import { address, restore, url } from "./common/router.ts";
import { TimeControl } from "./common/time-control.tsx";
import { ServicePage, Services } from "./services/services.tsx";
import { TracePage } from "./trace/trace-page.tsx";
import { Transfers } from "./transfer/transfer.tsx";
import { Traces } from "./traces/traces.tsx";
import "./main.css";

const Labs = lazy(async () => (await import("./labs/labs.tsx")).Labs);

function App() {
  const [, view = "", name] = url.value.pathname.split("/").map(decode);
  useEffect(() => {
    document.title = `${name ?? (views().find(([path]) => path === `/${view}`)?.[1] || "Explorer")} · Waybill`;
  }, [view, name]);
  return (
    <>
      <a class="skip" href="#view">
        Skip to the view
      </a>
      <Masthead name="Waybill" home={address("/")}>
        <nav class="views" aria-label="Views">
          {views().map(([path, title]) => (
            <a key={path} href={address(path)} aria-current={isIn(path, view) ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        {hasTime.value && isKnown(view) && <TimeControl />}
        <Links />
        <KeysButton />
      </Masthead>
      <LostConnection />
      <div id="view" class={`view view-${view || "traces"}`}>
        <View view={view} name={name} />
      </div>
      <Transfers />
      <KeyList />
    </>
  );
}

const Links = () => (
  <>
    {config.value.links.map(({ title, url: href }) => (
      <a key={href} class="button quiet small configured-link" href={href}>
        {title}
      </a>
    ))}
  </>
);

function View({ view, name }: { view: string; name: string | undefined }) {
  if (view === "trace" && name) return <TracePage key={name} traceId={name.toLowerCase()} />;
  if (view === "services") return name ? <ServicePage key={name} name={name} /> : <Services />;
  if (view === "metrics") return <Metrics />;
  if (view === "logs") return <Logs />;
  if (view === "compare") return <Groups />;
  if (view === "labs" && hasLabs()) return <Labs />;
  if (view === "") return <Traces />;
  return (
    <main class="page">
      <Empty title="There is no such page">
        <p>
          <a href={address("/")}>All traces</a>
        </p>
      </Empty>
    </main>
  );
}

const isKnown = (view: string): boolean => views().some(([path]) => path === `/${view}`);
const isIn = (path: string, view: string): boolean => path === `/${view === "trace" ? "" : view}`;

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

await readConfig();
render(<App />, document.querySelector("#app")!);
restore();
