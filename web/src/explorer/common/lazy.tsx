import { signal } from "@preact/signals";
import type { ComponentType } from "preact";

/** A component whose code is fetched when it is first shown; until then there is nothing. */
export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  const loaded = signal<ComponentType<Props> | null>(null);
  let isAsked = false;
  return (props: Props) => {
    const Loaded = loaded.value;
    if (Loaded) return <Loaded {...props} />;
    if (!isAsked) {
      isAsked = true;
      load().then(
        (component) => (loaded.value = component),
        () => (isAsked = false),
      );
    }
    return null;
  };
}
