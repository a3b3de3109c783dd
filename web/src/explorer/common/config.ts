// What the server tells the page about the apps it shows.
import { signal } from "@preact/signals";
import { ask } from "./api.ts";

export interface Config {
  /** What this server has beside the explorer's own routes. */
  extensions: string[];
  /** Where the header and the empty views lead. */
  links: { title: string; url: string }[];
  /** The number (1-8) of a service's color. */
  colors: Record<string, number>;
  /** The shell's command that sends an app's telemetry here. */
  export: string;
  /** Languages, and what an app of each runs or contains then. */
  languages: [string, string][];
}

export const config = signal<Config>({ extensions: [], links: [], colors: {}, export: "", languages: [] });

/** Whether there are labs to practice with: a view, and a way to name a span as evidence. */
export const hasLabs = (): boolean => config.value.extensions.includes("labs");

/** Read the configuration; without an answer the page works with none. */
export async function readConfig(): Promise<void> {
  try {
    config.value = JSON.parse(await ask("/page-config.json")) as Config;
  } catch {
    // The views say what is wrong.
  }
}
