// From a version to the next one, as two searches to compare.
import { shortService } from "../common/words.ts";
import type { VersionJson } from "./comparison-api.ts";

/** `version` is the later one. */
interface VersionChange {
  service: string;
  version: string;
  label: string;
  a: string;
  b: string;
}

const quoted = (text: string): string => (/^[\w.-]+$/.test(text) ? text : JSON.stringify(text));
const queryOf = ({ service, version }: VersionJson): string => `service=${quoted(service)} service.version=${quoted(version)}`;

/** From each version to the one after it, the newest change first. */
export function versionChanges(versions: readonly VersionJson[]): VersionChange[] {
  const last = new Map<string, VersionJson>();
  const changes: VersionChange[] = [];
  for (const version of versions) {
    const before = last.get(version.service);
    if (before) {
      const label = `${shortService(version.service)} ${before.version} → ${version.version}`;
      const { service, version: name } = version;
      changes.unshift({ service, version: name, label, a: queryOf(before), b: queryOf(version) });
    }
    last.set(version.service, version);
  }
  return changes;
}
