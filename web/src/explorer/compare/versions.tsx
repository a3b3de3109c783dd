import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { time } from "../../shared/format.ts";
import { useQuery } from "../common/api.ts";
import type { Mark } from "../common/chart-marks.ts";
import { address } from "../common/router.ts";
import { serviceColor } from "../common/service-color.ts";
import { shortService } from "../common/words.ts";
import type { VersionJson } from "./comparison-api.ts";

const REFRESH_MS = 15_000;

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
export function useVersionMarks([from, to]: readonly [number, number], service = ""): readonly Mark[] {
  const versions = known.value;
  return useMemo(
    () =>
      versions
        .filter((one) => one.isNew && one.first >= from && one.first <= to && (!service || one.service === service))
        .map((one) => ({
          at: one.first,
          label: `${shortService(one.service)} ${one.version}`,
          color: serviceColor(one.service),
        })),
    [versions, from, to, service],
  );
}

/** The same as the marks, as text. */
export const VersionNotes = ({ marks }: { marks: readonly Mark[] }) =>
  marks.length > 0 && (
    <p class="muted card-note">
      New: {marks.map((mark) => `${mark.label} since ${time(mark.at, 0)}`).join(", ")}.{" "}
      <a href={address("/compare")}>Compare versions</a>
    </p>
  );
