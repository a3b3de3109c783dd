// What several views share: a service's name with its color, empty states, the live switch, search boxes.
import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { ago, time } from "../../shared/format.ts";
import { serviceColor } from "./service-color.ts";
import { type ApiError, heard, isLost } from "./api.ts";
import { config } from "./config.ts";
import { live, range, toggleLive } from "./now.ts";
import type { Pages } from "./pages.ts";
import { address, url, withParams } from "./router.ts";
import { ALL, rangeLabel } from "./time-range.ts";
import { shortService } from "./words.ts";
import "./parts.css";

export function Service({ name, isShort = false }: { name: string; isShort?: boolean }) {
  return (
    <span class="service" title={name}>
      <span class="dot" style={{ background: serviceColor(name) }} />
      <span class="service-name">{isShort ? shortService(name) : name}</span>
    </span>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <div class="empty-text">{children}</div>
    </div>
  );
}

/** What to do when nothing has arrived. */
export function NothingYet({ title, children }: { title: string; children?: ComponentChildren }) {
  const { export: command, languages, links } = config.value;
  return (
    <Empty title={title}>
      {children}
      <p>Send any app's telemetry here, over OpenTelemetry's protocol:</p>
      <dl class="commands">
        <dt>Every app</dt>
        <dd>
          <code>{command}</code>
        </dd>
        {languages.map(([language, code]) => (
          <Fragment key={language}>
            <dt>{language}</dt>
            <dd>
              <code>{code}</code>
            </dd>
          </Fragment>
        ))}
      </dl>
      {links.map(({ title: text, url }) => (
        <p key={url}>
          <a href={url}>{text}</a>
        </p>
      ))}
    </Empty>
  );
}

/** That a search found nothing, and what to do. */
export const NoneFits = ({ what }: { what: string }) => (
  <Empty title={`No ${what} fits`}>
    <p>
      {!isOfAll() && (
        <>
          The search is of one time: {rangeLabel(range.value)}. <a href={ofAllTime()}>Search all time</a>, or{" "}
        </>
      )}
      <a href={address(url.value.pathname)}>{isOfAll() ? "Clear the search" : "clear the search"}</a>.
    </p>
  </Empty>
);

/** That there is nothing in the time that is shown; or nothing at all, and what to do then. */
export const NotNow = ({ what }: { what: string }) =>
  isOfAll() ? (
    <NothingYet title={`No ${what} yet`} />
  ) : (
    <NothingYet title={`No ${what} in this time`}>
      <a class="button" href={ofAllTime()}>
        Show all time
      </a>
    </NothingYet>
  );

const isOfAll = (): boolean => range.value.kind === "last" && range.value.last === ALL;
const ofAllTime = (): string => withParams(url.value, { last: ALL, start: null, end: null, since: null });

/** The way to older items of a list, until there are none. */
export const Older = ({ pages, what }: { pages: Pages<unknown>; what: string }) =>
  pages.hasOlder ? (
    <button type="button" class="button more" disabled={pages.isLoadingOlder} onClick={pages.showOlder}>
      {pages.isLoadingOlder ? "Loading …" : `Show older ${what}`}
    </button>
  ) : (
    <p class="muted end">No older {what}.</p>
  );

/** What went wrong. That the server does not respond is said once, for the whole page: `LostConnection`. */
export const Failure = ({ error }: { error: ApiError }) =>
  error.status === 0 ? null : (
    <div class="failure" role="alert">
      {error.message}
    </div>
  );

export const LostConnection = () =>
  isLost.value ? (
    <div class="failure lost" role="alert">
      The explorer's server does not respond. Is it still running? What is shown is from {time(heard.value * 1000, 0)}.
    </div>
  ) : null;

const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

/** A moment (µs), with its date for programs. */
export const Time = ({ at, class: name = "" }: { at: number; class?: string }) => (
  <time class={`mono ${name}`} dateTime={new Date(at / 1e3).toISOString()}>
    {time(at)}
  </time>
);

/** How long ago a moment (µs) was; it ticks. */
export const Ago = ({ at }: { at: number }) => <>{ago(at, Math.max(now.value, Date.now()))}</>;

/** That more has come while a list held still; a click shows it. */
export const Waiting = ({ count, onShow }: { count: number; onShow: () => void }) => (
  <p class="waiting" aria-live="polite">
    {count > 0 && (
      <button type="button" class="button small" onClick={onShow}>
        {count} new
      </button>
    )}
  </p>
);

/** Says what a search found, once its answer is there, to those who do not see it. */
export function Found({ isBusy, path, text }: { isBusy: boolean; path: string | null; text: string }) {
  const said = useMemo(() => (isBusy ? "Loading" : text), [isBusy, path]);
  return (
    <p class="visually-hidden" role="status">
      {said}
    </p>
  );
}

export function LiveSwitch() {
  return (
    <button
      type="button"
      class={`button small live ${isLost.value ? "off" : live.value ? "on" : ""}`}
      aria-pressed={live.value}
      title={live.value ? "Stop following what arrives (p)" : "Follow what arrives (p)"}
      onClick={toggleLive}
    >
      <span class="live-dot" aria-hidden="true" />
      {isLost.value ? "No connection" : live.value ? "Live" : "Paused"}
    </button>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  class?: string;
  isSearch?: boolean;
  list?: string;
}

/** A text box that says what it holds a moment after the last key. */
export function Field({ label, value, onChange, placeholder, class: name = "", isSearch = false, list }: FieldProps) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const commit = (now: string): void => {
    clearTimeout(timer.current);
    if (now !== value) onChange(now);
  };
  return (
    <label class={`field ${name}`}>
      <span class="eyebrow">{label}</span>
      <input
        class="input"
        type={isSearch ? "search" : "text"}
        value={text}
        placeholder={placeholder}
        spellcheck={false}
        autocomplete="off"
        list={list}
        {...(isSearch ? { "data-search": "", "aria-keyshortcuts": "/" } : {})}
        onInput={(event) => {
          const now = event.currentTarget.value;
          setText(now);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => commit(now), 300);
        }}
        onKeyDown={(event) => event.key === "Enter" && commit(event.currentTarget.value)}
        onBlur={(event) => commit(event.currentTarget.value)}
      />
    </label>
  );
}

interface ChoiceProps {
  label: string;
  class?: string;
  value: string;
  options: readonly string[];
  all: string;
  onChange: (value: string) => void;
  isDisabled?: boolean;
}

export function Choice({ label, class: name = "", value, options, all, onChange, isDisabled = false }: ChoiceProps) {
  const listed = value && !options.includes(value) ? [value, ...options] : options;
  return (
    <label class={`field ${name}`}>
      <span class="eyebrow">{label}</span>
      <select class="input" value={value} disabled={isDisabled} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">{all}</option>
        {listed.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Copies a text; what it shows is its name where there is no label. */
export function CopyButton({ text, name, label }: { text: string; name: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button
      type="button"
      class={`button small ${label ? "" : "quiet copy"}`}
      aria-label={isCopied ? "Copied" : name}
      title={name}
      onClick={() => void copy()}
    >
      <Icon path={isCopied ? ICONS.check : ICONS.copy} /> {label && (isCopied ? "Copied" : label)}
    </button>
  );
}

interface Tab {
  id: string;
  label: ComponentChildren;
  href: string;
}

export const Tabs = ({ tabs, current, label }: { tabs: readonly Tab[]; current: string; label: string }) => (
  <nav class="tabs" aria-label={label}>
    {tabs.map((tab) => (
      <a key={tab.id} href={tab.href} aria-current={tab.id === current ? "page" : undefined}>
        {tab.label}
      </a>
    ))}
  </nav>
);

export const Icon = ({ path }: { path: string }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={path} />
  </svg>
);
export const ICONS = {
  check: "M5 12l5 5 9-10",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 4v12m-5-5 5 5 5-5M5 20h14",
  up: "M12 16V4m-5 5 5-5 5 5M5 20h14",
};
