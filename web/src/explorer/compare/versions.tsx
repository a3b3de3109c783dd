import { signal } from "@preact/signals";
import { Fragment } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { time } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import type { Mark } from "../common/chart-marks.ts";
import { address } from "../common/router.ts";
import { serviceColor } from "../common/service-color.ts";
import { shortService } from "../common/words.ts";
import type { VersionJson } from "./comparison-api.ts";
import { versionChanges } from "./version-changes.ts";

const REFRESH_MS = 15_000;

/** The moment at which a version of a service appeared. */
interface VersionMark extends Mark {
  service: string;
  version: string;
}

const known = signal<readonly VersionJson[]>([]);

/** Ask which version of which service was first seen when: once per view, for all of its charts. */
export function useVersions(): readonly VersionJson[] {
  const { data } = useQuery<VersionJson[]>("/api/versions", REFRESH_MS);
  useEffect(() => {
    if (data) known.value = data;
  }, [data]);
  return known.value;
}

/** Where in the time of a chart new versions appeared, of one service or of all. */
export function useVersionMarks([from, to]: readonly [number, number], service = ""): readonly VersionMark[] {
  const versions = known.value;
  return useMemo(
    () =>
      versions
        .filter((one) => one.isNew && one.first >= from && one.first <= to && (!service || one.service === service))
        .map((one) => ({
          at: one.first,
          label: `${shortService(one.service)} ${one.version}`,
          color: serviceColor(one.service),
          service: one.service,
          version: one.version,
        })),
    [versions, from, to, service],
  );
}

/** The same as the marks, as text, each with the way to what it changed. */
export function VersionNotes({ marks }: { marks: readonly VersionMark[] }) {
  if (!marks.length) return null;
  const changes = versionChanges(known.value);
  return (
    <p class="muted card-note">
      New:{" "}
      {marks.map((mark, i) => {
        const change = changes.find((one) => one.service === mark.service && one.version === mark.version);
        return (
          <Fragment key={mark.label}>
            {i > 0 && ", "}
            {mark.label} since {time(mark.at, 0)}
            {change && (
              <>
                {" "}
                (<a href={address("/compare", { a: change.a, b: change.b })}>compare {change.label}</a>)
              </>
            )}
          </Fragment>
        );
      })}
    </p>
  );
}
