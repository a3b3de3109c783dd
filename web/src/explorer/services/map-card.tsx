import { useMemo } from "preact/hooks";
import { duration, percent } from "../../shared/format.ts";
import type { Dependency, Requests, ServiceMap } from "../common/api.ts";
import { address, serviceLink } from "../common/router.ts";
import { isNarrow } from "../common/screen.ts";
import { serviceColor } from "../common/service-color.ts";
import { rate } from "../common/words.ts";
import { type Call, dependencyId, layOut, NODE } from "./map-layout.ts";
import "./map-card.css";

interface Box extends Requests {
  name: string;
  href: string;
  dependency?: Dependency;
}

/** What is shown of a dependency beside its name: `sqlite database`, `http`. */
export const kindOf = ({ kind, system }: Dependency): string =>
  [...new Set([system, kind === "other" ? "" : kind])].filter(Boolean).join(" ");

/** Who calls whom and what: services, and the databases, caches and other systems that they depend on. */
export function MapCard({ map }: { map: ServiceMap }) {
  const { nodes, edges, others, width, height } = useMemo(() => layOut(map, isNarrow.value), [map, isNarrow.value]);
  const boxes = new Map<string, Box>([
    ...map.services.map((one) => [one.service, { ...one, name: one.service, href: serviceLink(one.service) }] as const),
    ...map.dependencies.map(
      (one) => [dependencyId(one.id), { ...one, href: address("/", { q: one.query }), dependency: one }] as const,
    ),
  ]);
  const nameOf = (id: string): string => boxes.get(id)?.name ?? id;
  return (
    <section class="card map-card" aria-label="Map of services">
      <div class="map" style={{ width: `${width}px`, height: `${height}px` }}>
        <svg width={width} height={height} aria-hidden="true">
          <defs>
            <marker
              id="arrow"
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerWidth="10"
              markerHeight="10"
              markerUnits="userSpaceOnUse"
              orient="auto-start-reverse"
            >
              <path d="M0 0.5 8 4 0 7.5z" />
            </marker>
          </defs>
          {edges.map(({ call, trunk }) => trunk && <path key={keyOf(call)} class="edge" d={trunk} />)}
          {edges.map(({ call, path }) => (
            <path
              key={keyOf(call)}
              class={`edge ${call.errors > 0 ? "failing" : ""}`}
              d={path}
              marker-end="url(#arrow)"
              style={{ strokeWidth: `${1.25 + Math.min(3, Math.log10(1 + call.count))}px` }}
            />
          ))}
        </svg>
        {edges.map(({ call, label }) => (
          <span key={keyOf(call)} class="edge-label" style={{ left: `${label[0]}px`, top: `${label[1]}px` }}>
            <span class="visually-hidden">
              {call.parent} calls {nameOf(call.child)}:{" "}
            </span>
            <CallFigures call={call} />
          </span>
        ))}
        {nodes.map(({ id, x, y, height: tall }) => {
          const place = { left: `${x}px`, top: `${y}px`, width: `${NODE.width}px`, height: `${tall}px` };
          const box = boxes.get(id);
          return box ? (
            <NodeBox key={id} box={box} place={place} />
          ) : (
            <span key={id} class="map-node" style={place} children={<b>{id}</b>} />
          );
        })}
      </div>
      {others.length > 0 && (
        <ul class="map-others">
          {others.map((call) => (
            <li key={keyOf(call)}>
              {call.parent} → {nameOf(call.child)}{" "}
              <span class="muted">
                <CallFigures call={call} />
              </span>
            </li>
          ))}
        </ul>
      )}
      <p class="muted map-key">
        Requests, share of errors (failures), refusals and P95: inside a box of all that reached it, beside an arrow of those
        calls.
        {map.dependencies.length > 0 && " Boxes with a dashed line send no spans: their figures are what their callers saw."}
      </p>
    </section>
  );
}

const keyOf = (call: Call): string => `${call.parent} ${call.child}`;

const CallFigures = ({ call }: { call: Requests }) => (
  <>
    {rate(call.rate ?? NaN)}
    <span class={call.errors ? "bad-text" : ""}> · {percent(call.errors)}</span>
    {call.refused > 0 && <span class="warn-text"> · {percent(call.refused)} refused</span>} · {duration(call.p95 ?? 0)}
  </>
);

const NodeBox = ({ box, place }: { box: Box; place: Record<string, string> }) => {
  const { dependency } = box;
  const style = dependency ? place : { ...place, "--service": serviceColor(box.name) };
  const kind = dependency && kindOf(dependency);
  return (
    <a
      class={`map-node ${dependency ? "dependency" : ""} ${box.errors > 0 ? "failing" : ""}`}
      href={box.href}
      style={style}
      title={dependency ? [box.name, kind, dependency.address].filter(Boolean).join(" · ") : box.name}
    >
      <b>{box.name}</b>
      {kind && kind !== box.name && <span class="map-kind">{kind}</span>}
      <span class="map-figures">
        <span>{rate(box.rate ?? NaN)}</span>
        <span>P95 {duration(box.p95 ?? 0)}</span>
        <span class={box.errors ? "bad-text" : ""}>{percent(box.errors)} errors</span>
        {box.refused > 0 && <span class="warn-text">{percent(box.refused)} refused</span>}
      </span>
    </a>
  );
};
