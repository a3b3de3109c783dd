import type { ComponentChildren } from "preact";
import { theme, toggleTheme } from "./theme.ts";
import "./masthead.css";

/** The head of a page: mark, name, whatever the page puts there, and the light switch. */
export function Masthead({ name, home = "/", children }: { name: string; home?: string; children?: ComponentChildren }) {
  return (
    <header class="masthead">
      <div class="masthead-inner">
        <a class="wordmark" href={home}>
          <Mark />
          {name}
        </a>
        {children}
        <div class="masthead-end">
          <ThemeToggle />
        </div>
      </div>
    </header>
  );
}

/** A parcel's tag with a route on it. */
function Mark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path
        class="mark-tag"
        d="M4 8a4 4 0 0 1 4-4h11.5a4 4 0 0 1 2.9 1.2l6.4 6.9a5.7 5.7 0 0 1 0 7.8l-6.4 6.9a4 4 0 0 1-2.9 1.2H8a4 4 0 0 1-4-4z"
      />
      <path class="mark-route" d="M9 11.5h4.5v9H19" />
      <circle class="mark-stop" cx="9" cy="11.5" r="2.2" />
      <circle class="mark-stop" cx="22" cy="16" r="2.2" />
      <circle class="mark-stop" cx="19" cy="20.5" r="2.2" />
    </svg>
  );
}

function ThemeToggle() {
  const next = theme.value === "dark" ? "light" : "dark";
  return (
    <button
      type="button"
      class="button quiet small"
      onClick={toggleTheme}
      aria-label={`Change to the ${next} theme`}
      title={`Change to the ${next} theme`}
    >
      {next === "dark" ? (
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
          <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z" />
        </svg>
      ) : (
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
          <circle cx="12" cy="12" r="4" />
          <path d="M12 2v2m0 16v2M2 12h2m16 0h2M4.9 4.9l1.4 1.4m11.4 11.4 1.4 1.4m0-14.2-1.4 1.4M6.3 17.7l-1.4 1.4" />
        </svg>
      )}
    </button>
  );
}
