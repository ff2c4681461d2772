import { describe, expect, test } from "vitest";

import { renderMarkdown } from "../src/markdown";

function htmlOf(text: string): string {
  return renderMarkdown(text)
    .blocks.map(({ html }) => html)
    .join("");
}

function elementOf(text: string): HTMLElement {
  const element = document.createElement("div");
  element.innerHTML = htmlOf(text);
  return element;
}

const hostile: readonly string[] = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "<svg><script>alert(1)</script></svg>",
  "<svg><style><img src=x onerror=alert(1)></style></svg>",
  "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
  "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
  "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
  "<iframe src=javascript:alert(1)>",
  "<object data=javascript:alert(1)>",
  "<embed src=javascript:alert(1)>",
  "<form action=javascript:alert(1)><input type=submit></form>",
  "<form><button formaction=javascript:alert(1)>x</button></form>",
  "<input autofocus onfocus=alert(1)>",
  "<details open ontoggle=alert(1)>",
  "<video><source onerror=alert(1)></video>",
  "<audio src=x onerror=alert(1)>",
  "<body onload=alert(1)>",
  "<base href=//evil.example/>",
  "<link rel=stylesheet href=//evil.example/x.css>",
  "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
  "<style>*{display:none}</style>",
  "<p style='background:url(//evil.example/x)'>styled</p>",
  "<div id=app class=button>clobbered</div>",
  "<a href=javascript:alert(1)>x</a>",
  "<template><script>alert(1)</script></template>",
  "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
  "<xmp><img src=x onerror=alert(1)></xmp>",
  "<textarea><img src=x onerror=alert(1)></textarea>",
  "<!--><img src=x onerror=alert(1)>-->",
  "<![CDATA[<img src=x onerror=alert(1)>]]>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](javascript&colon;alert(1))",
  "[x](\u0001javascript:alert(1))",
  "[x](vbscript:msgbox(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "[x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
  "[x](blob:https://x/1)",
  "[x](file:///etc/passwd)",
  "[x](/monitoring)",
  "[x](//evil.example)",
  '[x](https://a.example "title\\" onmouseover=alert(1) x=\\"")',
  '[x](https://a.example/"onmouseover="alert(1))',
  "![x](javascript:alert(1))",
  '![x" onerror="alert(1)](https://a.example/p.png)',
  "![<img src=x onerror=alert(1)>](https://a.example/p.png)",
  "<javascript:alert(1)>",
  "<https://a.example/?<script>alert(1)</script>>",
  "[x]: javascript:alert(1)\n\n[x]",
  "```html onload=alert(1)\n<script>alert(1)</script>\n```",
  '```"><img src=x onerror=alert(1)>\nx\n```',
  "`<img src=x onerror=alert(1)>`",
  "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
  "# <img src=x onerror=alert(1)>",
  "- <img src=x onerror=alert(1)>",
  "> <script>alert(1)</script>",
  "&lt;img src=x onerror=alert(1)&gt;",
  "\\<img src=x onerror=alert(1)>",
  "**<img src=x onerror=alert(1)//**",
  "\0<scr\0ipt>alert(1)</scr\0ipt>",
];

const tagsThatMayStay = new Set(
  "A B BLOCKQUOTE BR CODE DEL DIV EM H3 H4 H5 H6 HR I LI OL P PRE S STRONG SUB SUP TABLE TBODY TD TH THEAD TR UL".split(
    " ",
  ),
);
const attributesThatMayStay = new Set(["href", "align", "start", "target", "rel", "tabindex"]);

function expectHarmless(text: string): void {
  for (const element of elementOf(text).querySelectorAll("*")) {
    expect(tagsThatMayStay, text).toContain(element.tagName);
    for (const { name } of element.attributes) expect(attributesThatMayStay, text).toContain(name);
    const href = element.getAttribute("href");
    if (href !== null) expect(href, text).toMatch(/^(https?:\/\/|mailto:)/i);
  }
}

describe("what a model writes never runs, loads or styles", () => {
  test.each(hostile)("%j", (text) => {
    expectHarmless(text);
  });

  test.each(hostile)("at no moment of the streaming: %j", (text) => {
    for (let length = 1; length <= text.length; length += 1) expectHarmless(`Words ${text.slice(0, length)}`);
  });
});

test("raw HTML is shown as the text it is", () => {
  expect(elementOf("Use <b>bold</b>\n\n<div>block</div>").textContent).toContain("Use <b>bold</b>");
  expect(elementOf("<div>block</div>").textContent.trim()).toBe("<div>block</div>");
});

test("an image becomes a link, and nothing is fetched", () => {
  const element = elementOf("![A cat](https://a.example/cat.png)");
  const link = element.querySelector("a");
  expect([element.querySelector("img"), link?.getAttribute("href"), link?.textContent]).toEqual([
    null,
    "https://a.example/cat.png",
    "A cat",
  ]);
});

test("a link opens apart and tells nobody where from", () => {
  const link = elementOf("[x](https://a.example)").querySelector("a");
  expect([link?.target, link?.rel]).toEqual(["_blank", "noopener noreferrer nofollow"]);
});

test("headings begin below the page's own", () => {
  expect(elementOf("# One\n\n###### Six").innerHTML).toMatch(/<h3>One<\/h3>\s*<h6>Six<\/h6>/);
});

test("code, tables, lists and tasks are rendered", () => {
  const text = "```py\na < b\n```\n\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n3. three\n\n- [x] done";
  const element = elementOf(text);
  expect(element.querySelector("pre code")?.textContent).toBe("a < b\n");
  expect(element.querySelector("td")?.getAttribute("align")).toBe("center");
  expect(element.querySelector("ol")?.getAttribute("start")).toBe("3");
  expect(element.querySelector("ul li")?.textContent).toContain("☑ done");
});

test("a growing answer keeps the blocks that are done", () => {
  const before = renderMarkdown("# Title\n\nFirst.\n\nSecond");
  const after = renderMarkdown("# Title\n\nFirst.\n\nSecond, longer", before);
  expect(after.blocks.map((block, at) => block === before.blocks[at])).toEqual([true, true, false]);
});

test("a link whose address comes later becomes a link then", () => {
  const before = renderMarkdown("See [this][1].\n\nMore");
  const after = renderMarkdown("See [this][1].\n\nMore\n\n[1]: https://a.example\n", before);
  expect(after.blocks[0]?.html).toContain('href="https://a.example"');
});
