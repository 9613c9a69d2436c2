// The address of a PostgreSQL database, as it can be shown.

/** Without user, password and parameters. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return url;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
