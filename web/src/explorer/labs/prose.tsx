import { type Block, type Inline, parse } from "./markdown.ts";

/** A text in Markdown. Its headings begin at `level`; a link to a file of the repository is only its text. */
export const Prose = ({ text, level = 2 }: { text: string; level?: 2 | 3 }) => (
  <div class="prose">
    {parse(text).map((block, i) => (
      <OneBlock key={i} block={block} level={level} />
    ))}
  </div>
);

function OneBlock({ block, level }: { block: Block; level: number }) {
  if (block.kind === "heading") {
    const Heading = `h${Math.min(4, level - 1 + block.level)}` as "h2";
    return (
      <Heading>
        <Line parts={block.text} />
      </Heading>
    );
  }
  if (block.kind === "code") {
    return (
      <pre class="statement" tabIndex={0}>
        {block.text}
      </pre>
    );
  }
  if (block.kind === "list") {
    return (
      <ul>
        {block.items.map((item, i) => (
          <li key={i}>
            <Line parts={item} />
          </li>
        ))}
      </ul>
    );
  }
  return (
    <p>
      <Line parts={block.text} />
    </p>
  );
}

const Line = ({ parts }: { parts: readonly Inline[] }) => (
  <>
    {parts.map((part, i) => (
      <Part key={i} part={part} />
    ))}
  </>
);

function Part({ part }: { part: Inline }) {
  if (part.kind === "code") return <code>{part.text}</code>;
  if (part.kind === "bold") return <b>{part.text}</b>;
  const { href = "" } = part;
  if (part.kind === "link" && /^(https?:|\/)/.test(href)) return <a href={href}>{part.text}</a>;
  return <>{part.text}</>;
}
