// What the server tells the page about the apps it shows.
import { signal } from "@preact/signals";
import { ask } from "./api.ts";

export interface Config {
  /** Where the header and the empty views lead. */
  links: { title: string; url: string }[];
  /** The number (1-8) of a service's color. */
  colors: Record<string, number>;
  /** The shell's command that sends an app's telemetry here. */
  export: string;
  /** Languages, and what an app of each runs or contains then. */
  languages: [string, string][];
}

export const config = signal<Config>({ links: [], colors: {}, export: "", languages: [] });

/** Read the configuration; without an answer the page works with none. */
export async function readConfig(): Promise<void> {
  try {
    config.value = JSON.parse(await ask("/page-config.json")) as Config;
  } catch {
    // The views say what is wrong.
  }
}
