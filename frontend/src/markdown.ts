/**
 * A model's Markdown as safe HTML, block by block, so that a growing answer only renders its last block anew.
 *
 * Nothing a model writes may run, load or style: raw HTML is shown as the text it is, an image becomes a link, and what is
 * left goes through DOMPurify with a short list of what may stay. No attribute survives that telemetry might pick up.
 */
import createDOMPurify, { type Config } from "dompurify";
import { Marked, type Token, type Tokens } from "marked";

export interface MarkdownBlock {
  /** The source the block was made from. */
  readonly source: string;
  /** Sanitised. */
  readonly html: string;
}

export interface Markdown {
  readonly blocks: readonly MarkdownBlock[];
  /** Link definitions (`[1]: https://…`), which may change blocks before them. */
  readonly definitions: number;
}

export const noMarkdown: Markdown = { blocks: [], definitions: 0 };

/** The blocks of `text`; those that `before` holds unchanged are the same objects. */
export function renderMarkdown(text: string, before: Markdown = noMarkdown): Markdown {
  const tokens = marked.lexer(text);
  const definitions = Object.keys(tokens.links).length;
  const known = definitions === before.definitions ? before.blocks : [];
  const blocks = tokens
    .filter((token) => token.type !== "space" && token.type !== "def")
    .map((token, at) => {
      const block = known[at];
      return block?.source === token.raw ? block : { source: token.raw, html: safeHtml(token) };
    });
  return { blocks, definitions };
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text === "" ? href : text)}</a>`,
    // The page's own headings come first: an answer's begin at the third level.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const purify = createDOMPurify(window);

const allowed: Config = {
  ALLOWED_TAGS: [
    ..."a b blockquote br code del em h3 h4 h5 h6 hr i li ol p pre s strong sub sup".split(" "),
    ..."table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "align", "start"],
  // Whole addresses only: a relative one would lead into this very page.
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  // DOMPurify measures every other attribute by that expression too.
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  } else if (node.nodeName === "PRE" || node.nodeName === "TABLE") {
    // They scroll sideways, and must do so by keyboard too.
    node.setAttribute("tabindex", "0");
  }
});

function safeHtml(token: Token): string {
  return purify.sanitize(marked.parser([token]), allowed);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
