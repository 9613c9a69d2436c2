import { expect, test } from "bun:test";
import * as fc from "fast-check";

import { composeRss, type RssItem } from "../../../src/modules/conda/rss.ts";

const FEED = { title: "alice/main", link: "https://host/alice/main" };
const item = (name: string, publishedAt: number): RssItem => ({
  title: name,
  link: `https://host/alice/main/${name}`,
  description: `About ${name}`,
  publishedAt,
});

test("the RSS feed of an empty channel has no items", () => {
  expect(composeRss({ ...FEED, items: [] })).toBe(
    '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel><title>alice/main</title>' +
      "<link>https://host/alice/main</link><description>alice/main</description></channel></rss>\n",
  );
});

test("the RSS feed has the newest item first, with RFC 822 dates", () => {
  const { description: _, ...plain } = item("b", 0);
  const text = composeRss({ ...FEED, items: [plain, item("a", 1_700_000_000_123)] });
  expect(text).toContain(
    "<lastBuildDate>Tue, 14 Nov 2023 22:13:20 GMT</lastBuildDate>" +
      "<item><title>a</title><link>https://host/alice/main/a</link><description>About a</description>" +
      "<guid>https://host/alice/main/a</guid><pubDate>Tue, 14 Nov 2023 22:13:20 GMT</pubDate></item>" +
      "<item><title>b</title><link>https://host/alice/main/b</link>" +
      "<guid>https://host/alice/main/b</guid><pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate></item></channel>",
  );
});

test("the RSS feed escapes markup and drops characters that XML forbids", () => {
  const hostile = `</title><script>"'&amp;]]>\u0000\u0008\u000b\u001b\u007f\u0085\ufffe\uffff\ud800é\u{1f600}\n\t.`;
  const text = composeRss({ title: hostile, link: "https://h/?a=1&b=<", items: [{ ...item("a", 0), title: hostile }] });
  const safe = "&lt;/title&gt;&lt;script&gt;&quot;&#39;&amp;amp;]]&gt;é\u{1f600}\n\t.";
  expect(text.split(`<title>${safe}</title>`)).toHaveLength(3);
  expect(text).toContain("<link>https://h/?a=1&amp;b=&lt;</link>");
  expect(text).not.toMatch(/[^\P{Cc}\n\t]|[\p{Cs}\ufffe\uffff]/u);
  expect(text).not.toContain("<script");
});

test("the RSS feed is the same for any order of the items", () => {
  const items = [item("a", 5), item("b", 5), item("c", 6), item("d", 1)];
  const expected = composeRss({ ...FEED, items });
  fc.assert(
    fc.property(fc.shuffledSubarray(items, { minLength: items.length }), (shuffled) => {
      expect(composeRss({ ...FEED, items: shuffled })).toBe(expected);
    }),
  );
});
