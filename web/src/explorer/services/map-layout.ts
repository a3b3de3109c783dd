// Where the boxes and arrows of the service map stand: callers before those they call, layer by layer.
import type { ServiceMap } from "../common/api.ts";

export const NODE = { width: 176, height: 102 };
const GAP = { arrow: 250, beside: 24, label: 30 };
const INDENT = 32;

type Point = readonly [x: number, y: number];
interface Layout {
  nodes: { service: string; x: number; y: number }[];
  edges: { call: ServiceMap["calls"][number]; path: string; label: Point }[];
  width: number;
  height: number;
}

/** Layers go from left to right; on a narrow screen, everything is in one indented column. */
export function layOut(map: ServiceMap, isNarrow: boolean): Layout {
  const layers = layersOf(map);
  const most = Math.max(...layers.map((layer) => layer.length));
  const places = new Map<string, Point>();
  for (const [depth, layer] of layers.entries()) {
    for (const [i, service] of layer.entries()) {
      const beside = (i + (most - layer.length) / 2) * (NODE.height + GAP.beside);
      places.set(
        service,
        isNarrow ? [depth * INDENT, places.size * (NODE.height + GAP.label)] : [depth * (NODE.width + GAP.arrow), beside],
      );
    }
  }
  return {
    nodes: [...places].map(([service, [x, y]]) => ({ service, x, y })),
    edges: map.calls.map((call) => {
      const ends = [places.get(call.parent)!, places.get(call.child)!] as const;
      return { call, ...(isNarrow ? elbow(...ends) : curve(...ends)) };
    }),
    width: Math.max(...[...places.values()].map(([x]) => x)) + NODE.width,
    height: Math.max(...[...places.values()].map(([, y]) => y)) + NODE.height,
  };
}

function layersOf({ services, calls }: ServiceMap): string[][] {
  const depth = new Map(services.map((one) => [one.service, 0]));
  for (const { parent } of calls) if (!depth.has(parent)) depth.set(parent, 0);
  // As many rounds as there are services: enough for any chain, and an end for any circle.
  for (let round = 0; round < depth.size; round++) {
    for (const { parent, child } of calls) {
      const below = depth.get(parent)! + 1;
      if (below > depth.get(child)! && below < depth.size) depth.set(child, below);
    }
  }
  const layers: string[][] = [];
  for (const [service, at] of depth) {
    layers[at] ??= [];
    layers[at].push(service);
  }
  return layers.filter(Boolean);
}

/** A label is where the arrow has parted from its neighbors: at the one that is called. */
type Arrow = { path: string; label: Point };

function curve([fromX, fromY]: Point, [toX, toY]: Point): Arrow {
  const [startX, startY, endX, endY] = [fromX + NODE.width, fromY + NODE.height / 2, toX - 2, toY + NODE.height / 2];
  const middle = (startX + endX) / 2;
  return {
    path: `M${startX} ${startY}C${middle} ${startY} ${middle} ${endY} ${endX} ${endY}`,
    label: [endX - 14, endY + (toY > fromY ? 13 : -13)],
  };
}

function elbow([fromX, fromY]: Point, [toX, toY]: Point): Arrow {
  const [x, y] = [fromX + INDENT / 2, toY + NODE.height / 2];
  return { path: `M${x} ${fromY + NODE.height}V${y}H${toX - 2}`, label: [toX, toY - GAP.label / 2] };
}
