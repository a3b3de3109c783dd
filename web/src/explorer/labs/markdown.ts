// The Markdown of the labs as data: headings, paragraphs, lists and code; in a line code, bold and links.

export type Block =
  | { kind: "heading"; level: number; text: Inline[] }
  | { kind: "paragraph"; text: Inline[] }
  | { kind: "list"; items: Inline[][] }
  | { kind: "code"; text: string };
export interface Inline {
  kind: "text" | "code" | "bold" | "link";
  text: string;
  href?: string;
}

const ITEM = /^(?:-|\d+\.) +/;
const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

/** The blocks of a text, in their order. */
export function parse(text: string): Block[] {
  const blocks: Block[] = [];
  let lines: string[] = [];
  let fence = false;
  const end = (): void => {
    if (lines.length) blocks.push(blockOf(lines));
    lines = [];
  };
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      if (fence) blocks.push({ kind: "code", text: lines.join("\n") });
      else end();
      lines = [];
      fence = !fence;
    } else if (fence) lines.push(line);
    else if (!line.trim()) end();
    else {
      if (/^#+ /.test(line) || /^#+ /.test(lines[0] ?? "")) end();
      lines.push(line);
    }
  }
  end();
  return blocks;
}

function blockOf(lines: readonly string[]): Block {
  const [first = ""] = lines;
  const heading = /^(#+) +(.*)$/.exec(first);
  if (heading) return { kind: "heading", level: heading[1]!.length, text: inline(heading[2]!) };
  if (lines.every((line) => line.startsWith("    ")))
    return { kind: "code", text: lines.map((line) => line.slice(4)).join("\n") };
  if (ITEM.test(first)) return { kind: "list", items: itemsOf(lines).map(inline) };
  return { kind: "paragraph", text: inline(lines.map((line) => line.trim()).join(" ")) };
}

/** The items of a list; a line that begins none continues the one before. */
function itemsOf(lines: readonly string[]): string[] {
  const items: string[] = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return items;
}

/** The parts of a line. */
export function inline(text: string): Inline[] {
  const parts: Inline[] = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) parts.push({ kind: "text", text: text.slice(at, match.index) });
    const [whole, code, bold, label, href] = match;
    if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (bold !== undefined) parts.push({ kind: "bold", text: bold });
    else parts.push({ kind: "link", text: label!, href: href! });
    at = match.index + whole.length;
  }
  if (at < text.length) parts.push({ kind: "text", text: text.slice(at) });
  return parts;
}
