// Where the boxes and arrows of the map stand: callers before what they call, layer by layer.
import type { Requests, ServiceMap } from "../common/api.ts";

export const NODE = { width: 176, service: 102, dependency: 92 };
const GAP = { arrow: 250, beside: 24, label: 30 };
const INDENT = 32;

type Point = readonly [x: number, y: number];
export interface Call extends Requests {
  parent: string;
  child: string;
}
interface MapNode {
  id: string;
  height: number;
}
export interface Edge {
  call: Call;
  path: string;
  /** Where several arrows leave a box together: it belongs to none of them. */
  trunk?: string;
  label: Point;
}
interface Layout {
  nodes: (MapNode & { x: number; y: number })[];
  edges: Edge[];
  /** Calls that have no arrow, since what they call is drawn below another caller. */
  others: Call[];
  width: number;
  height: number;
}

/** A service and a dependency may have the same name. */
export const dependencyId = (id: string): string => `dependency ${id}`;

/** The calls of services and of dependencies. */
export const callsOf = ({ calls, dependencies }: ServiceMap): Call[] => [
  ...calls,
  ...dependencies.flatMap(({ id, callers }) =>
    callers.map(({ service, ...figures }) => ({ parent: service, child: dependencyId(id), ...figures })),
  ),
];

/** Layers go from left to right; on a narrow screen, everything is in one indented column. */
export function layOut(map: ServiceMap, isNarrow: boolean): Layout {
  const calls = callsOf(map);
  const heights = new Map([
    ...calls.map(({ parent }) => [parent, NODE.service] as const),
    ...map.services.map(({ service }) => [service, NODE.service] as const),
    ...map.dependencies.map(({ id }) => [dependencyId(id), NODE.dependency] as const),
  ]);
  const depths = depthsOf(heights.keys(), calls);
  return isNarrow ? inOneColumn(heights, depths, calls) : inLayers(heights, depths, calls);
}

function inLayers(heights: ReadonlyMap<string, number>, depths: ReadonlyMap<string, number>, calls: Call[]): Layout {
  const layers: string[][] = [];
  for (const [id, depth] of depths) {
    layers[depth] ??= [];
    layers[depth].push(id);
  }
  const used = layers.filter(Boolean);
  const tall = (layer: string[]): number => layer.reduce((sum, id) => sum + heights.get(id)! + GAP.beside, -GAP.beside);
  const most = Math.max(...used.map(tall));
  const places = new Map<string, Point>();
  const middle = (id: string): number => places.get(id)![1] + heights.get(id)! / 2;
  for (const [column, layer] of used.entries()) {
    // What is called is beside its callers, so that few arrows cross.
    const callers = new Map(
      layer.map((id) => [id, calls.filter(({ parent, child }) => child === id && places.has(parent)).map((one) => one.parent)]),
    );
    const level = (id: string): number => {
      const of = callers.get(id)!;
      return of.length ? of.reduce((sum, parent) => sum + middle(parent), 0) / of.length : most / 2;
    };
    let y = (most - tall(layer)) / 2;
    for (const id of layer.toSorted((a, b) => level(a) - level(b))) {
      places.set(id, [column * (NODE.width + GAP.arrow), y]);
      y += heights.get(id)! + GAP.beside;
    }
  }
  const edges = calls.map((call) => ({ call, ...curve(call, places, heights) }));
  return { ...sizedBy(places, heights), edges, others: [] };
}

/** What is called is below its first caller: no arrow passes a box that has nothing to do with it. */
function inOneColumn(heights: ReadonlyMap<string, number>, depths: ReadonlyMap<string, number>, calls: Call[]): Layout {
  const above = new Map<string, Call>();
  for (const call of calls) {
    const isDown = depths.get(call.parent)! < depths.get(call.child)!;
    if (isDown && (above.get(call.child)?.count ?? -1) < call.count) above.set(call.child, call);
  }
  const places = new Map<string, Point>();
  let y = 0;
  const stack: (readonly [id: string, depth: number])[] = [...depths.keys()]
    .filter((id) => !above.has(id))
    .reverse()
    .map((id) => [id, 0] as const);
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [id, depth] = next;
    places.set(id, [depth * INDENT, y]);
    y += heights.get(id)! + GAP.label;
    const below = [...above.values()].filter((call) => call.parent === id).map((call) => [call.child, depth + 1] as const);
    stack.push(...below.reverse());
  }
  const drawn = new Set(above.values());
  const edges = [...drawn].map((call) => ({ call, ...elbow(call, places, heights) }));
  return { ...sizedBy(places, heights), edges, others: calls.filter((call) => !drawn.has(call)) };
}

function depthsOf(ids: Iterable<string>, calls: readonly Call[]): Map<string, number> {
  const depth = new Map([...ids].map((id) => [id, 0]));
  // As many rounds as there are boxes: enough for any chain, and an end for any circle.
  for (let round = 0; round < depth.size; round++) {
    for (const { parent, child } of calls) {
      const below = depth.get(parent)! + 1;
      if (below > depth.get(child)! && below < depth.size) depth.set(child, below);
    }
  }
  return depth;
}

const sizedBy = (places: ReadonlyMap<string, Point>, heights: ReadonlyMap<string, number>) => ({
  nodes: [...places].map(([id, [x, y]]) => ({ id, x, y, height: heights.get(id)! })),
  width: Math.max(...[...places.values()].map(([x]) => x)) + NODE.width,
  height: Math.max(...[...places].map(([id, [, y]]) => y + heights.get(id)!)),
});

type Arrow = Pick<Edge, "path" | "trunk" | "label">;
type Places = ReadonlyMap<string, Point>;
type Heights = ReadonlyMap<string, number>;

/** A label is where the arrow has parted from its neighbors: at the one that is called. */
function curve({ parent, child }: Call, places: Places, heights: Heights): Arrow {
  const [[fromX, fromY], [toX, toY]] = [places.get(parent)!, places.get(child)!];
  const [startX, startY] = [fromX + NODE.width, fromY + heights.get(parent)! / 2];
  const [endX, endY] = [toX - 2, toY + heights.get(child)! / 2];
  const middle = (startX + endX) / 2;
  return {
    path: `M${startX} ${startY}C${middle} ${startY} ${middle} ${endY} ${endX} ${endY}`,
    label: [endX - 14, endY + (toY > fromY ? 13 : -13)],
  };
}

function elbow({ parent, child }: Call, places: Places, heights: Heights): Arrow {
  const [[fromX, fromY], [toX, toY]] = [places.get(parent)!, places.get(child)!];
  const [x, y] = [fromX + INDENT / 2, toY + heights.get(child)! / 2];
  return {
    trunk: `M${x} ${fromY + heights.get(parent)!}V${y}`,
    path: `M${x} ${y}H${toX - 2}`,
    label: [toX, toY - GAP.label / 2],
  };
}
