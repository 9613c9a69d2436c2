// `rss.xml`: the newest packages of a channel, for feed readers. https://www.rssboard.org/rss-specification

export type RssItem = {
  readonly title: string;
  /** Absolute URL; also identifies the item. */
  readonly link: string;
  readonly description?: string | undefined;
  /** ms UTC. */
  readonly publishedAt: number;
};

export type RssFeed = {
  readonly title: string;
  /** Absolute URL. */
  readonly link: string;
  readonly items: Iterable<RssItem>;
};

/** Newest first; equal items give equal text, in any order. */
export function composeRss({ title, link, items }: RssFeed): string {
  const sorted = [...items].sort((a, b) => b.publishedAt - a.publishedAt || compareLinks(a, b));
  const [newest] = sorted;
  const channel = [
    element("title", title),
    element("link", link),
    // RSS requires a description; channels have none, so the title is repeated.
    element("description", title),
    ...(newest === undefined ? [] : [element("lastBuildDate", dateOf(newest))]),
    ...sorted.map(composeItem),
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel>${channel.join("")}</channel></rss>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function composeItem(item: RssItem): string {
  const { title, link, description } = item;
  const members = [
    element("title", title),
    element("link", link),
    ...(description === undefined ? [] : [element("description", description)]),
    element("guid", link),
    element("pubDate", dateOf(item)),
  ];
  return `<item>${members.join("")}</item>`;
}

function element(name: string, text: string): string {
  return `<${name}>${escapeXml(text)}</${name}>`;
}

/** Escapes text; drops control characters and those that XML cannot represent. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\P{Cc}\t\n]|[\p{Cs}\ufffe\uffff]/gu, "")
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}

/** Date in RFC 822 form. */
function dateOf(item: RssItem): string {
  return new Date(item.publishedAt).toUTCString();
}

function compareLinks(a: RssItem, b: RssItem): number {
  if (a.link === b.link) return 0;
  return a.link < b.link ? -1 : 1;
}
