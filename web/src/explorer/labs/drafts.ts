// What is written as an answer and not judged yet. It survives a reload, and is the same in every tab.
import { signal } from "@preact/signals";

const STORED = "waybill.labs";

interface Drafts {
  attempt: string;
  values: Record<string, string>;
}

const drafts = signal<Drafts>(stored());
addEventListener("storage", (event) => {
  if (event.key === STORED) drafts.value = stored();
});

export const draftOf = (attempt: string, key: string): string | undefined =>
  drafts.value.attempt === attempt ? drafts.value.values[key] : undefined;

export function setDraft(attempt: string, key: string, value: string): void {
  const values = drafts.value.attempt === attempt ? drafts.value.values : {};
  drafts.value = { attempt, values: { ...values, [key]: value } };
  try {
    localStorage.setItem(STORED, JSON.stringify(drafts.value));
  } catch {
    // Storage may be forbidden; then the drafts last as long as the page.
  }
}

function stored(): Drafts {
  try {
    const value = JSON.parse(localStorage.getItem(STORED) ?? "") as Partial<Drafts>;
    return { attempt: value.attempt ?? "", values: value.values ?? {} };
  } catch {
    return { attempt: "", values: {} };
  }
}
