// SQL laid out for reading: a line per clause, indented conditions, colored words. It never changes what is said.

export interface Token {
  text: string;
  kind: "keyword" | "string" | "number" | "plain";
}

const WORDS = new Set(
  (
    "SELECT FROM WHERE AND OR NOT IN IS NULL AS ON JOIN LEFT RIGHT INNER OUTER CROSS FULL GROUP BY ORDER HAVING LIMIT OFFSET " +
    "INSERT INTO VALUES UPDATE SET DELETE RETURNING WITH RECURSIVE UNION ALL DISTINCT CASE WHEN THEN ELSE END BETWEEN LIKE " +
    "EXISTS ASC DESC CONFLICT DO NOTHING FOR SKIP LOCKED BEGIN IMMEDIATE COMMIT ROLLBACK SAVEPOINT RELEASE CREATE TABLE INDEX"
  ).split(" "),
);
const CLAUSES =
  /^(FROM|WHERE|GROUP BY|ORDER BY|HAVING|LIMIT|OFFSET|VALUES|SET|RETURNING|UNION( ALL)?|ON CONFLICT|FOR UPDATE|((LEFT|RIGHT|INNER|CROSS|FULL) )?(OUTER )?JOIN)$/;
const PARTS =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\b\d+(?:\.\d+)?\b|%\(\w+\)s|[\w$.:]+|<=|>=|<>|!=|\|\||[^\s]/g;
const LONG_LIST = 64;

/** Tokens whose texts, joined, are the statement on several lines. */
export function formatSql(statement: string): Token[] {
  const parts = joinWords(statement.slice(0, 50_000).match(PARTS) ?? []);
  const tokens: Token[] = [];
  let depth = 0;
  let listed = 0;
  let clause = "";
  parts.forEach((part, i) => {
    const word = part.toUpperCase();
    const previous = parts[i - 1];
    if (part === ")") depth--;
    let gap = previous === undefined || hugs(previous, part) ? "" : " ";
    if (depth === 0 && previous !== undefined) {
      if (CLAUSES.test(word)) gap = "\n";
      else if (/^(AND|OR)$/.test(word) && clause !== "BETWEEN") gap = "\n  ";
      else if (previous === "," && listed > LONG_LIST) [gap, listed] = ["\n    ", 0];
    }
    if (depth === 0 && (CLAUSES.test(word) || word === "SELECT")) listed = 0;
    if (WORDS.has(word.split(" ")[0]!)) clause = word;
    listed += part.length + 1;
    if (gap) tokens.push({ text: gap, kind: "plain" });
    tokens.push({ text: part, kind: kindOf(part, word) });
    if (part === "(") depth++;
  });
  return tokens;
}

/** `GROUP BY` and its like are one word. */
function joinWords(parts: string[]): string[] {
  const joined: string[] = [];
  for (const part of parts) {
    const both = `${joined.at(-1)?.toUpperCase()} ${part.toUpperCase()}`;
    const isPair =
      /^(GROUP BY|ORDER BY|UNION ALL|ON CONFLICT|FOR UPDATE|INSERT INTO|DELETE FROM|(LEFT|RIGHT|INNER|CROSS|FULL)( OUTER)? JOIN|(LEFT|RIGHT|FULL) OUTER)$/;
    if (isPair.test(both)) joined.push(`${joined.pop()} ${part}`);
    else joined.push(part);
  }
  return joined;
}

const hugs = (before: string, part: string): boolean =>
  before === "(" ||
  part === ")" ||
  part === "," ||
  part === ";" ||
  (part === "(" && /^\w+$/.test(before) && !WORDS.has(before.toUpperCase()));

function kindOf(part: string, word: string): Token["kind"] {
  if (part.startsWith("'")) return "string";
  if (/^\d/.test(part)) return "number";
  return WORDS.has(word.split(" ")[0]!) ? "keyword" : "plain";
}
